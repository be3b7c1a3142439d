#include "store/tier_map.h"

#include <algorithm>
#include <iterator>

namespace reprise {
namespace {

// An entry, from its lowest bit on: what is wanted, two flags, the print.
constexpr uint32_t kWantedMask = 7;
constexpr uint32_t kShared = 8;
constexpr uint32_t kVisited = 16;
constexpr unsigned kPrintShift = 5;

Wanted WantedIn(uint32_t entry) {
  return static_cast<Wanted>(entry & kWantedMask);
}

}  // namespace

TierMap::Place TierMap::PlaceOf(uint64_t hash) const {
  static_assert(kPrintBits + kPrintShift == 32);
  // The upper bits of a product depend on all bits of the hash.
  const uint64_t mixed = hash * seed_;
  return {mixed >> (64 - kShardBits),
          static_cast<uint32_t>(mixed >> (64 - kShardBits - kPrintBits)) &
              ((1u << kPrintBits) - 1)};
}

uint32_t* TierMap::Seek(const Shard& shard, uint32_t print) const {
  const size_t home = print * shard.slots() >> kPrintBits;
  size_t page = home / kPageSlots;
  size_t slot = home % kPageSlots;
  while (true) {
    uint32_t* const slots = Page(shard.pages[page]);
    for (; slot < kPageSlots; ++slot) {
      const uint32_t entry = slots[slot];
      if (entry == 0 || entry >> kPrintShift == print) return &slots[slot];
    }
    slot = 0;
    if (++page == shard.pages.size()) page = 0;
  }
}

uint32_t* TierMap::FindSlot(uint64_t hash) const {
  const Place place = PlaceOf(hash);
  const Shard& shard = shards_[place.shard];
  if (shard.used == 0) return nullptr;
  uint32_t* const entry = Seek(shard, place.print);
  return *entry == 0 ? nullptr : entry;
}

void TierMap::Add(uint64_t hash, Wanted wanted) {
  const Place place = PlaceOf(hash);
  Shard* const shard = &shards_[place.shard];
  // At most 5 of 6 slots are taken: beyond it ways to a free one grow long.
  if ((shard->used + 1) * 6 > shard->slots() * 5) Grow(shard);
  uint32_t* const entry = Seek(*shard, place.print);
  if (*entry == 0) {
    *entry = place.print << kPrintShift | static_cast<uint32_t>(wanted);
    ++shard->used;
    ++size_;
    return;
  }
  const Wanted least = std::min(WantedIn(*entry), wanted);
  *entry = (*entry & ~kWantedMask) | kShared | static_cast<uint32_t>(least);
}

std::optional<TierMap::Entry> TierMap::Find(uint64_t hash) const {
  const uint32_t* const entry = FindSlot(hash);
  if (entry == nullptr) return std::nullopt;
  return Entry{WantedIn(*entry), (*entry & kShared) != 0,
               (*entry & kVisited) != 0};
}

bool TierMap::Visit(uint64_t hash) {
  uint32_t* const entry = FindSlot(hash);
  if (entry == nullptr || (*entry & kVisited) != 0) return false;
  *entry |= kVisited;
  return true;
}

void TierMap::Grow(Shard* shard) {
  moving_.clear();
  for (const uint32_t page : shard->pages) {
    uint32_t* const slots = Page(page);
    std::copy_if(slots, slots + kPageSlots, std::back_inserter(moving_),
                 [](uint32_t entry) { return entry != 0; });
    std::fill_n(slots, kPageSlots, 0);
  }
  const size_t more = 1 + shard->pages.size() / 16;
  for (size_t i = 0; i < more; ++i) {
    if (page_count_ % kSlabPages == 0) {
      slabs_.push_back(std::make_unique<uint32_t[]>(kSlabPages * kPageSlots));
    }
    shard->pages.push_back(page_count_++);
  }
  for (const uint32_t entry : moving_) {
    *Seek(*shard, entry >> kPrintShift) = entry;
  }
}

std::array<uint64_t, kWantedCount> TierMap::Counts() const {
  std::array<uint64_t, kWantedCount> counts{};
  for (const auto& slab : slabs_) {
    for (size_t i = 0; i < kSlabPages * kPageSlots; ++i) {
      ++counts[slab[i] & kWantedMask];
    }
  }
  counts[0] = 0;  // free slots
  return counts;
}

uint64_t TierMap::memory_bytes() const {
  uint64_t bytes = shards_.capacity() * sizeof(Shard) +
                   slabs_.capacity() * sizeof(slabs_[0]) +
                   slabs_.size() * kSlabPages * kPageSlots * sizeof(uint32_t) +
                   moving_.capacity() * sizeof(uint32_t);
  for (const Shard& shard : shards_) {
    bytes += shard.pages.capacity() * sizeof(uint32_t);
  }
  return bytes;
}

}  // namespace reprise
