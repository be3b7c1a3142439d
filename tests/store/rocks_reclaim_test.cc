// Space comes back after removals, nothing that lives is lost by it, and a
// damaged object costs the space of its kind, not the store.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "store/rocks_engine.h"
#include "tests/store/scratch_directory.h"

namespace reprise {
namespace {

constexpr int kObjects = 200;
constexpr size_t kObjectBytes = 20'000;
constexpr ObjectSpace kSpace = ObjectSpace::kFrameExact;

class RocksReclaimTest : public testing::Test {
 protected:
  RocksReclaimTest() {
    Open();
    for (int i = 0; i < kObjects; ++i) Put(i);
  }

  void Open() {
    engine_.reset();
    RocksOptions options;
    options.directory = directory_.path();
    auto opened = OpenRocksEngine(options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    engine_ = *std::move(opened);
  }
  static std::string KeyOf(int i) { return "object-" + std::to_string(i); }
  static std::string ValueOf(int i) {
    std::mt19937 random(static_cast<uint32_t>(i));
    std::string value = KeyOf(i) + "!";
    while (value.size() < kObjectBytes) {
      value.push_back(static_cast<char>(random()));
    }
    return value;
  }
  void Put(int i, ObjectSpace space = kSpace) {
    const std::string key = KeyOf(i);
    const std::string value = ValueOf(i);
    const ObjectPut put{space, key, AsBytes(value)};
    const Status status =
        engine_->Put(std::span(&put, 1), 1, Durability::kWritten);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  void Remove(int i) {
    const std::string key = KeyOf(i);
    const ObjectRef ref{kSpace, key};
    const auto removed = engine_->RemoveIfUntouched(std::span(&ref, 1), 2);
    ASSERT_TRUE(removed.ok()) << removed.status().ToString();
    ASSERT_EQ(*removed, 1u);
  }
  void RemoveTwoOfThree() {
    for (int i = 0; i < kObjects; ++i) {
      if (i % 3 != 0) Remove(i);
    }
  }
  void ExpectHolds(int i) {
    const std::string key = KeyOf(i);
    const auto value = engine_->Get({kSpace, key});
    ASSERT_TRUE(value.ok()) << i << ": " << value.status().ToString();
    EXPECT_EQ(AsText(value->view()), ValueOf(i));
  }
  void ExpectHoldsTheThird() {
    for (int i = 0; i < kObjects; i += 3) ExpectHolds(i);
  }
  // RocksDB deletes files a moment after it is done with them.
  uint64_t DiskBytesBelow(uint64_t limit) {
    for (int i = 0; i < 200 && engine_->GetStats().disk_bytes >= limit; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return engine_->GetStats().disk_bytes;
  }
  // Everything is in files.
  void Flush() {
    const auto report = ReclaimRocksSpace(*engine_, {});
    ASSERT_TRUE(report.ok()) << report.status().ToString();
  }

  static constexpr uint64_t kAllBytes = kObjects * kObjectBytes;
  ScratchDirectory directory_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(RocksReclaimTest, WhatWasRemovedIsGivenBack) {
  ASSERT_NO_FATAL_FAILURE(Flush());
  EXPECT_GE(engine_->GetStats().disk_bytes, kAllBytes);
  ASSERT_NO_FATAL_FAILURE(RemoveTwoOfThree());
  Open();  // by itself nothing comes back
  EXPECT_GE(engine_->GetStats().disk_bytes, kAllBytes);
  const auto report = ReclaimRocksSpace(*engine_, {});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->left, std::vector<std::string>());
  EXPECT_GE(report->disk_bytes_before, kAllBytes);
  EXPECT_GE(report->read_bytes, kAllBytes / 3);
  EXPECT_LT(report->read_bytes, kAllBytes / 3 + 2 * kObjectBytes);
  EXPECT_LT(DiskBytesBelow(kAllBytes / 2), kAllBytes / 2);
  ExpectHoldsTheThird();
  Open();
  ExpectHoldsTheThird();
  EXPECT_LT(engine_->GetStats().disk_bytes, kAllBytes / 2);
}

TEST_F(RocksReclaimTest, BytesThatLiveAreCountedOnce) {
  ASSERT_NO_FATAL_FAILURE(Flush());
  EXPECT_GE(engine_->GetStats().live_bytes, kAllBytes);
  EXPECT_LT(engine_->GetStats().live_bytes, kAllBytes * 11 / 10);
  ASSERT_NO_FATAL_FAILURE(RemoveTwoOfThree());
  // Files stay as they are, for lack of room.
  ASSERT_TRUE(ReclaimRocksSpace(*engine_, {.headroom_bytes = 1000}).ok());
  EXPECT_GE(engine_->GetStats().live_bytes, kAllBytes / 3);
  EXPECT_LT(engine_->GetStats().live_bytes, kAllBytes / 2);
  EXPECT_GE(engine_->GetStats().disk_bytes, kAllBytes);
}

TEST_F(RocksReclaimTest, LittleGarbageIsNotWorthACopy) {
  ASSERT_NO_FATAL_FAILURE(Flush());
  for (int i = 0; i < kObjects / 10; ++i) Remove(i);
  auto report = ReclaimRocksSpace(*engine_, {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->read_bytes, 0u);
  EXPECT_GE(engine_->GetStats().disk_bytes, kAllBytes);
  report = ReclaimRocksSpace(*engine_, {.min_garbage_percent = 5});
  ASSERT_TRUE(report.ok());
  EXPECT_GT(report->read_bytes, 0u);
  const uint64_t less = report->disk_bytes_before - kAllBytes / 20;
  EXPECT_LT(DiskBytesBelow(less), less);
}

TEST_F(RocksReclaimTest, WithoutRoomForACopyItIsLeftAndSaysSo) {
  ASSERT_NO_FATAL_FAILURE(Flush());
  ASSERT_NO_FATAL_FAILURE(RemoveTwoOfThree());
  const auto report = ReclaimRocksSpace(*engine_, {.headroom_bytes = 1000});
  ASSERT_TRUE(report.ok());
  ASSERT_EQ(report->left.size(), 1u);
  EXPECT_NE(report->left[0].find("frame-exact: 1000 bytes are free"),
            std::string::npos)
      << report->left[0];
  EXPECT_GE(engine_->GetStats().disk_bytes, kAllBytes);
  ExpectHoldsTheThird();
}

// A compaction that met it would stop all writes until the store is opened
// again.
TEST_F(RocksReclaimTest, ADamagedObjectLeavesItsKindAndNotTheStore) {
  ASSERT_NO_FATAL_FAILURE(Flush());
  ASSERT_NO_FATAL_FAILURE(RemoveTwoOfThree());
  engine_.reset();
  const std::string mark = KeyOf(150) + "!";
  bool is_damaged = false;
  for (const auto& file :
       std::filesystem::directory_iterator(directory_.path())) {
    if (file.path().extension() != ".blob") continue;
    std::ifstream in(file.path(), std::ios::binary);
    std::string content{std::istreambuf_iterator<char>(in), {}};
    const size_t at = content.find(mark);
    if (at == std::string::npos) continue;
    content[at + mark.size() + 5] ^= 0x5a;
    std::ofstream(file.path(), std::ios::binary) << content;
    is_damaged = true;
  }
  ASSERT_TRUE(is_damaged);
  Open();
  const auto report = ReclaimRocksSpace(*engine_, {});
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  ASSERT_EQ(report->left.size(), 1u);
  EXPECT_NE(report->left[0].find("frame-exact"), std::string::npos);
  EXPECT_TRUE(engine_->Health().ok());
  ASSERT_NO_FATAL_FAILURE(Put(kObjects + 1));
  ExpectHolds(0);
  ExpectHolds(kObjects + 1);
}

TEST_F(RocksReclaimTest, StopsSoonAndTheStoreIsWell) {
  ASSERT_NO_FATAL_FAILURE(Flush());
  ASSERT_NO_FATAL_FAILURE(RemoveTwoOfThree());
  std::atomic<bool> stop = false;
  ReclaimOptions options;
  options.stop = &stop;
  options.read_bytes_per_s = 1000;  // would take an hour
  std::thread stopping([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop = true;
  });
  const auto report = ReclaimRocksSpace(*engine_, options);
  stopping.join();
  EXPECT_TRUE(report.status().Is(StatusCode::kUnavailable))
      << report.status().ToString();
  EXPECT_TRUE(engine_->Health().ok());
  ExpectHoldsTheThird();
  stop = false;
  ASSERT_TRUE(ReclaimRocksSpace(*engine_, {}).ok());
  ExpectHoldsTheThird();
}

TEST_F(RocksReclaimTest, SavesAndReadsGoOnMeanwhile) {
  ASSERT_NO_FATAL_FAILURE(RemoveTwoOfThree());
  std::atomic<bool> done = false;
  std::thread writing([&] {
    for (int i = kObjects; i < 2 * kObjects; ++i) Put(i);
    done = true;
  });
  int runs = 0;
  while (!done || runs == 0) {
    const auto report = ReclaimRocksSpace(*engine_, {.min_garbage_percent = 0});
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    ExpectHoldsTheThird();
    ++runs;
  }
  writing.join();
  for (int i = kObjects; i < 2 * kObjects; ++i) ExpectHolds(i);
  Open();
  ExpectHoldsTheThird();
  for (int i = kObjects; i < 2 * kObjects; ++i) ExpectHolds(i);
}

}  // namespace
}  // namespace reprise
