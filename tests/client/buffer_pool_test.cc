#include "client/buffer_pool.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace reprise {
namespace {

constexpr size_t kBig = 1 << 20;

TEST(BufferPoolTest, GivesWhatCameBackLast) {
  const auto pool = BufferPool::Make(16 * kBig);
  const uint8_t* address = nullptr;
  {
    PooledBytes first = pool->Take(kBig);
    PooledBytes second = pool->Take(kBig);
    address = first.data();
    second = PooledBytes();
    EXPECT_GT(pool->free_bytes(), kBig);
  }
  const PooledBytes again = pool->Take(kBig - 100);
  EXPECT_EQ(again.data(), address);
  EXPECT_EQ(again.size(), kBig - 100);
  EXPECT_EQ(again.view().size(), kBig - 100);
}

TEST(BufferPoolTest, KeepsNoMoreThanItMay) {
  const auto pool = BufferPool::Make(3 * kBig);
  std::vector<PooledBytes> taken;
  for (int i = 0; i < 8; ++i) taken.push_back(pool->Take(kBig));
  EXPECT_EQ(pool->free_bytes(), 0u);
  taken.clear();
  EXPECT_LE(pool->free_bytes(), 3 * kBig);
  EXPECT_GE(pool->free_bytes(), 2 * kBig);
}

TEST(BufferPoolTest, SizesThatNobodyAsksForMakeRoom) {
  const auto pool = BufferPool::Make(4 * kBig);
  { const PooledBytes large = pool->Take(3 * kBig); }
  {
    // It would be a waste for so little.
    const uint64_t before = pool->free_bytes();
    const PooledBytes small = pool->Take(kBig / 8);
    EXPECT_EQ(pool->free_bytes(), before);
  }
  for (int i = 0; i < 3; ++i) {
    PooledBytes one = pool->Take(kBig);
    const PooledBytes two = pool->Take(kBig);
    one.data()[0] = 1;
  }
  EXPECT_LE(pool->free_bytes(), 4 * kBig);
  const uint64_t before = pool->free_bytes();
  const PooledBytes one = pool->Take(kBig);
  EXPECT_LT(pool->free_bytes(), before);
}

TEST(BufferPoolTest, SmallBytesAreNotKept) {
  const auto pool = BufferPool::Make(kBig);
  { const PooledBytes small = pool->Take(100); }
  { const PooledBytes none = pool->Take(0); }
  EXPECT_EQ(pool->free_bytes(), 0u);
}

TEST(BufferPoolTest, BytesOutliveThePool) {
  auto pool = BufferPool::Make(kBig);
  PooledBytes bytes = pool->Take(kBig);
  pool.reset();
  bytes.data()[kBig - 1] = 7;
  const PooledBytes moved = std::move(bytes);
  EXPECT_EQ(moved.view()[kBig - 1], 7);
}

}  // namespace
}  // namespace reprise
