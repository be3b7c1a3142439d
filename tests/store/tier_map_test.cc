#include "store/tier_map.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace reprise {
namespace {

// What is allocated in this process, with all that malloc puts around it. 0
// where the allocator of a sanitizer does not tell.
uint64_t AllocatedBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The i-th of a sequence of numbers as good as digests, from a counter: ten
// million of them need not be kept. (SplitMix64, Vigna, public domain.)
uint64_t HashAt(uint64_t i) {
  uint64_t z = (i + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}
Wanted WantedAt(uint64_t i) { return static_cast<Wanted>(1 + i % 6); }

TEST(TierMapTest, IsEmptyAtFirst) {
  TierMap map(1);
  EXPECT_EQ(0u, map.size());
  EXPECT_FALSE(map.Find(0).has_value());
  EXPECT_FALSE(map.Visit(0));
  EXPECT_LT(map.memory_bytes(), 2u << 20);
}

TEST(TierMapTest, TiersAndWantedArePairs) {
  for (const Tier tier : {Tier::kExact, Tier::kNear, Tier::kCoarse,
                          Tier::kArchive, Tier::kTokens}) {
    EXPECT_EQ(tier, TierOf(WantedOf(tier)));
    EXPECT_LT(Wanted::kLeftAlone, WantedOf(tier));
  }
  EXPECT_LT(WantedOf(Tier::kExact), WantedOf(Tier::kTokens));
}

TEST(TierMapTest, TheMostCarefulWishHolds) {
  TierMap map(7);
  map.Add(5, Wanted::kCoarse);
  EXPECT_EQ(Wanted::kCoarse, map.Find(5)->wanted);
  EXPECT_FALSE(map.Find(5)->is_shared);
  map.Add(5, Wanted::kTokens);
  EXPECT_EQ(Wanted::kCoarse, map.Find(5)->wanted);
  EXPECT_TRUE(map.Find(5)->is_shared);
  map.Add(5, Wanted::kNear);
  EXPECT_EQ(Wanted::kNear, map.Find(5)->wanted);
  map.Add(5, Wanted::kLeftAlone);
  map.Add(5, Wanted::kExact);
  EXPECT_EQ(Wanted::kLeftAlone, map.Find(5)->wanted);
  EXPECT_EQ(1u, map.size());
}

TEST(TierMapTest, VisitsEachOnce) {
  TierMap map(7);
  map.Add(HashAt(5), Wanted::kCoarse);
  map.Add(HashAt(6), Wanted::kExact);
  EXPECT_FALSE(map.Visit(HashAt(4)));
  EXPECT_FALSE(map.Find(HashAt(5))->is_visited);
  EXPECT_TRUE(map.Visit(HashAt(5)));
  EXPECT_TRUE(map.Find(HashAt(5))->is_visited);
  EXPECT_FALSE(map.Visit(HashAt(5)));
  EXPECT_FALSE(map.Find(HashAt(6))->is_visited);
  EXPECT_TRUE(map.Visit(HashAt(6)));
  // Neither growth nor a later wish forgets it.
  for (uint64_t i = 7; i < 500'000; ++i) map.Add(HashAt(i), Wanted::kNear);
  map.Add(HashAt(5), Wanted::kExact);
  EXPECT_FALSE(map.Visit(HashAt(5)));
  EXPECT_EQ(Wanted::kExact, map.Find(HashAt(5))->wanted);
}

TEST(TierMapTest, AgreesWithAModel) {
  std::mt19937_64 random(3);
  TierMap map(random());
  std::map<uint64_t, TierMap::Entry> model;
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t hash = HashAt(random() % 50'000);
    const auto wanted = static_cast<Wanted>(1 + random() % 6);
    map.Add(hash, wanted);
    const auto [it, is_new] = model.try_emplace(hash, TierMap::Entry{wanted});
    if (is_new) continue;
    it->second = {std::min(it->second.wanted, wanted), true};
  }
  ASSERT_EQ(model.size(), map.size());
  std::array<uint64_t, kWantedCount> counts{};
  for (const auto& [hash, entry] : model) {
    const auto found = map.Find(hash);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(entry.wanted, found->wanted);
    EXPECT_EQ(entry.is_shared, found->is_shared);
    ++counts[static_cast<size_t>(entry.wanted)];
  }
  EXPECT_EQ(counts, map.Counts());
}

TEST(TierMapTest, TenMillionSegmentsFitIntoSixtyFourMebibytes) {
  constexpr uint64_t kSegments = 10'000'000;
  const uint64_t before = AllocatedBytes();
  TierMap map(HashAt(99));
  uint64_t most = 0;
  for (uint64_t i = 0; i < kSegments; ++i) {
    map.Add(HashAt(i), WantedAt(i));
    if (i % 100'000 == 0) most = std::max(most, AllocatedBytes() - before);
  }
  most = std::max(most, AllocatedBytes() - before);
  RecordProperty("allocated_bytes", std::to_string(most));
  std::printf("%llu segments: %.1f MiB allocated, %.1f bits a segment\n",
              static_cast<unsigned long long>(map.size()),
              static_cast<double>(most) / (1 << 20),
              static_cast<double>(most) * 8 / kSegments);
  // Also while it grew. Room is left for all else that a pass holds.
  EXPECT_LT(most, 56u << 20);
  EXPECT_LT(map.memory_bytes(), 56u << 20);
  if (most > 0) {
    EXPECT_LE(map.memory_bytes(), most);
    EXPECT_GT(map.memory_bytes(), most * 9 / 10);
  }

  // Each is found, and none worse than it was added. Of the pairs that share
  // an entry n^2 / 2^43 are expected, 11.4: more than 40 would be a fault.
  uint64_t better = 0;
  for (uint64_t i = 0; i < kSegments; ++i) {
    const auto found = map.Find(HashAt(i));
    ASSERT_TRUE(found.has_value()) << i;
    ASSERT_LE(found->wanted, WantedAt(i)) << i;
    better += found->wanted < WantedAt(i) ? 1 : 0;
  }
  EXPECT_LE(kSegments - map.size(), 40u);
  EXPECT_LE(better, kSegments - map.size());
  // Of those that were not, n / 2^42 = 0.0000023 are, 4.5 of two million.
  uint64_t false_hits = 0;
  for (uint64_t i = kSegments; i < kSegments + 2'000'000; ++i) {
    false_hits += map.Find(HashAt(i)).has_value() ? 1 : 0;
  }
  EXPECT_LE(false_hits, 25u);
}

TEST(TierMapTest, NoSeedLosesBitsOfAHash) {
  for (const uint64_t seed : {0ull, 2ull, 1ull << 63}) {
    TierMap map(seed);
    for (uint64_t i = 0; i < 65'536; ++i) map.Add(i << 48, Wanted::kNear);
    EXPECT_EQ(65'536u, map.size()) << seed;
  }
}

}  // namespace
}  // namespace reprise
