#include "client/body_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "gpu/host_device.h"
#include "tests/client/test_worker.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr uint64_t kRingBytes = 1 << 20;

class BodyRingTest : public testing::Test {
 protected:
  void SetUp() override {
    auto ring = BodyRing::Make(MakeHostDevice(), kRingBytes);
    ASSERT_OK(ring);
    ring_ = *ring;
  }
  std::shared_ptr<BodyRing> ring_;
};

TEST_F(BodyRingTest, WhatComesTogetherLiesTogether) {
  const PooledBytes first = ring_->TryTake(1000);
  const PooledBytes second = ring_->TryTake(5000);
  const PooledBytes third = ring_->TryTake(1);
  ASSERT_EQ(third.size(), 1u);
  EXPECT_EQ(ring_->OffsetOf(first.view()) % kGpuAlignment, 0u);
  EXPECT_EQ(second.data(), first.data() + 1024);
  EXPECT_EQ(third.data(), second.data() + 5120);
  EXPECT_TRUE(ring_->Holds(third.view()));
  EXPECT_FALSE(ring_->Holds({ring_->data() + kRingBytes - 1, 2}));
  const uint8_t elsewhere = 0;
  EXPECT_FALSE(ring_->Holds({&elsewhere, 1}));
}

TEST_F(BodyRingTest, WithoutRoomItSaysSoAtOnce) {
  PooledBytes all = ring_->TryTake(kRingBytes);
  EXPECT_EQ(all.size(), kRingBytes);
  EXPECT_EQ(ring_->TryTake(1).size(), 0u);
  all = PooledBytes();
  EXPECT_EQ(ring_->TryTake(kRingBytes + 1).size(), 0u);
  EXPECT_EQ(ring_->TryTake(kRingBytes).size(), kRingBytes);
}

TEST_F(BodyRingTest, BytesMayOutliveTheirRing) {
  PooledBytes bytes = ring_->TryTake(100);
  ring_.reset();
  std::memset(bytes.data(), 1, bytes.size());
}

// In any order: no two share a byte, and all of it is free in the end.
TEST_F(BodyRingTest, WhatComesBackInAnyOrderIsWhole) {
  Random random(1);
  std::vector<PooledBytes> held;
  uint64_t refused = 0;
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t size = 1 + random.Below(kRingBytes / 8);
    PooledBytes bytes = ring_->TryTake(size);
    if (bytes.size() > 0) {
      for (const PooledBytes& other : held) {
        ASSERT_TRUE(bytes.data() + size <= other.data() ||
                    other.data() + other.size() <= bytes.data());
      }
      held.push_back(std::move(bytes));
    } else {
      ++refused;
      std::swap(held[random.Below(held.size())], held.back());
      held.pop_back();
    }
  }
  EXPECT_GT(refused, 1000u);
  held.clear();
  EXPECT_EQ(ring_->TryTake(kRingBytes).size(), kRingBytes);
}

}  // namespace
}  // namespace reprise
