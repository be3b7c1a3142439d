#include "store/record_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

namespace reprise {
namespace {

HeadRecord Record(HeadVersion version, size_t size = 4) {
  return {PinnedBytes(Bytes(size, static_cast<uint8_t>(version))), version};
}

std::string Key(int i) {
  std::string key(40, 'k');
  StoreLe<uint64_t>(reinterpret_cast<uint8_t*>(key.data()) + 32,
                    0x9e3779b97f4a7c15ull * (i + 1));
  return key;
}

TEST(RecordCacheTest, FindsWhatWasPut) {
  RecordCache cache(1 << 20);
  HeadRecord found;
  EXPECT_FALSE(cache.Find(Key(1), &found));
  cache.Put(Key(1), cache.StampOf(Key(1)), Record(7));
  ASSERT_TRUE(cache.Find(Key(1), &found));
  EXPECT_EQ(found.version, 7u);
  EXPECT_TRUE(BytesEqual(found.value.view(), Bytes(4, 7)));
}

TEST(RecordCacheTest, ARecordReadBeforeADropDoesNotEnter) {
  RecordCache cache(1 << 20);
  const auto stamp = cache.StampOf(Key(1));
  cache.Drop(Key(1));
  cache.Put(Key(1), stamp, Record(1));
  HeadRecord found;
  EXPECT_FALSE(cache.Find(Key(1), &found));
}

TEST(RecordCacheTest, ValuesOutliveTheirEntry) {
  RecordCache cache(1 << 20);
  cache.Put(Key(1), cache.StampOf(Key(1)), Record(3));
  HeadRecord found;
  ASSERT_TRUE(cache.Find(Key(1), &found));
  cache.Drop(Key(1));
  EXPECT_TRUE(BytesEqual(found.value.view(), Bytes(4, 3)));
  EXPECT_EQ(cache.size_bytes(), 0u);
}

TEST(RecordCacheTest, StaysWithinItsCapacityAndKeepsWhatIsUsed) {
  constexpr uint64_t kCapacity = 256 << 10;
  RecordCache cache(kCapacity);
  HeadRecord found;
  cache.Put(Key(0), cache.StampOf(Key(0)), Record(1));
  for (int i = 1; i < 5000; ++i) {
    cache.Put(Key(i), cache.StampOf(Key(i)), Record(1, 100));
    ASSERT_LE(cache.size_bytes(), kCapacity);
    ASSERT_TRUE(cache.Find(Key(0), &found)) << i;
  }
  EXPECT_FALSE(cache.Find(Key(1), &found));
}

TEST(RecordCacheTest, ReadersNeverSeeWhatWasChangedAndAcknowledged) {
  RecordCache cache(1 << 20);
  std::atomic<HeadVersion> stored = 1;  // the store behind it
  std::atomic<HeadVersion> acknowledged = 1;
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (HeadVersion version = 2; version < 20000; ++version) {
      stored = version;
      cache.Drop(Key(1));
      acknowledged = version;
    }
    stop = true;
  });
  while (!stop) {
    const HeadVersion least = acknowledged;
    HeadRecord found;
    if (!cache.Find(Key(1), &found)) {
      const auto stamp = cache.StampOf(Key(1));
      found = Record(stored);
      cache.Put(Key(1), stamp, found);
    }
    if (found.version < least) {
      ADD_FAILURE() << found.version << " after " << least;
      break;
    }
  }
  writer.join();
}

}  // namespace
}  // namespace reprise
