// What a mark pass found out of every segment of a store, in about five bytes
// each: the best tier that any session asks for. Made for ten million segments
// in well under 64 MiB, tests/store/tier_map_test.cc.
//
// It is a hash table of 32-bit entries that keeps 42 bits of a segment's hash
// and forgets the rest: 15 bits say the shard, 27 stand in the entry. A shard
// grows by pages of one size, a few entries at a time and in place; so there
// is never a second table to copy to, and nothing is left unused between
// blocks of other sizes.
//
// With n entries a segment that was never added is found with a probability of
// n / 2^42, 0.0000023 for ten million, and one that was added shares the entry
// of another with the same. Neither does harm: of two that share one, both keep
// the better tier of the two, count as shared and are visited as one. So a
// false hit may keep a segment better than it need be, and never worse. Which
// segments that are depends on the seed, and so changes from pass to pass.
#ifndef REPRISE_STORE_TIER_MAP_H_
#define REPRISE_STORE_TIER_MAP_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "codec/tier.h"
#include "store/records.h"

namespace reprise {

// What is asked of a segment by all who refer to it together; the more careful
// first, so the least of several holds.
enum class Wanted : uint8_t {
  kLeftAlone = 1,  // pinned, leased, or nobody knows: not to be touched
  kExact = 2,
  kNear = 3,
  kCoarse = 4,
  kArchive = 5,
  kTokens = 6,
};
inline constexpr size_t kWantedCount = 7;  // of an array by Wanted
constexpr Wanted WantedOf(Tier tier) {
  return static_cast<Wanted>(static_cast<uint8_t>(tier) + 1);
}
// REQUIRES: not kLeftAlone.
constexpr Tier TierOf(Wanted wanted) {
  return static_cast<Tier>(static_cast<uint8_t>(wanted) - 1);
}

// Ids are digests: their first bytes are as good as any hash of them.
inline uint64_t SegmentHash(const DomainId& domain, const SegmentId& id) {
  return LoadLe<uint64_t>(domain.bytes.data()) ^
         LoadLe<uint64_t>(id.bytes.data());
}

// Not thread-safe.
class TierMap {
 public:
  struct Entry {
    Wanted wanted = Wanted::kLeftAlone;
    bool is_shared = false;  // added more than once
    bool is_visited = false;
  };

  // Any number, best another one each time.
  explicit TierMap(uint64_t seed) : seed_(seed | 1), shards_(kShards) {}

  // To be called once for each session, or whatever else refers to it.
  void Add(uint64_t hash, Wanted wanted);
  // Nothing for a segment that nobody refers to.
  std::optional<Entry> Find(uint64_t hash) const;
  // True the first time that it is called for an entry that is there: to look
  // at each segment once, though several sessions lead to it.
  bool Visit(uint64_t hash);

  uint64_t size() const { return size_; }
  // How many entries there are of each; indexed by Wanted.
  std::array<uint64_t, kWantedCount> Counts() const;
  // All that it has allocated.
  uint64_t memory_bytes() const;

 private:
  static constexpr unsigned kShardBits = 15;
  static constexpr unsigned kPrintBits = 27;
  static constexpr size_t kShards = size_t{1} << kShardBits;
  static constexpr size_t kPageSlots = 32;
  static constexpr size_t kSlabPages = 512;

  // Entries of a shard lie at (print * slots) >> kPrintBits or, where that is
  // taken, behind it, around the end. A slot is 0 when it is free.
  struct Shard {
    std::vector<uint32_t> pages;
    uint32_t used = 0;
    size_t slots() const { return pages.size() * kPageSlots; }
  };
  struct Place {
    size_t shard = 0;
    uint32_t print = 0;
  };

  Place PlaceOf(uint64_t hash) const;
  uint32_t* Page(uint32_t page) const {
    return slabs_[page / kSlabPages].get() + page % kSlabPages * kPageSlots;
  }
  // The slot of this print, or the free one where it belongs.
  // REQUIRES: the shard has a free slot.
  uint32_t* Seek(const Shard& shard, uint32_t print) const;
  uint32_t* FindSlot(uint64_t hash) const;
  void Grow(Shard* shard);

  const uint64_t seed_;
  std::vector<Shard> shards_;
  std::vector<std::unique_ptr<uint32_t[]>> slabs_;
  uint32_t page_count_ = 0;
  uint64_t size_ = 0;
  std::vector<uint32_t> moving_;  // entries of a shard that grows
};

}  // namespace reprise

#endif  // REPRISE_STORE_TIER_MAP_H_
