// Head records in memory, in front of a store that takes microseconds for
// each: a Match looks up thousands of rendition records.
//
// Never shows a record after its change was acknowledged: who changes one
// calls Drop before that, and a reader's record enters only if nothing of its
// shard was dropped since the reader began.
#ifndef REPRISE_STORE_RECORD_CACHE_H_
#define REPRISE_STORE_RECORD_CACHE_H_

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "store/engine.h"

namespace reprise {

// Thread-safe.
class RecordCache {
 public:
  // Holds about so many bytes, keys and bookkeeping included; those used last.
  explicit RecordCache(uint64_t capacity_bytes)
      : shard_capacity_(capacity_bytes / kShards) {}

  // What Put needs to know of the time before the store is read.
  using Stamp = uint64_t;
  Stamp StampOf(std::string_view key);

  // False when it is not here.
  bool Find(std::string_view key, HeadRecord* record);
  // Copies the record, unless something was dropped since `stamp`.
  void Put(std::string_view key, Stamp stamp, const HeadRecord& record);
  // After the change was written, before it is acknowledged.
  void Drop(std::string_view key);

  uint64_t size_bytes();

 private:
  static constexpr size_t kShards = 64;

  struct Entry {
    std::string key;
    std::shared_ptr<const Bytes> value;
    HeadVersion version = 0;
  };
  // Keys end in digests: their last bytes are a hash already.
  struct Hash {
    size_t operator()(std::string_view key) const;
  };
  struct alignas(64) Shard {
    std::mutex mutex;
    uint64_t drops = 0;
    uint64_t bytes = 0;
    std::list<Entry> entries;  // used last in front
    // Keys live in the entries.
    std::unordered_map<std::string_view, std::list<Entry>::iterator, Hash> map;
  };

  Shard& ShardOf(std::string_view key) {
    return shards_[(Hash()(key) >> 32) % kShards];
  }
  static uint64_t CostOf(const Entry& entry);
  static void Erase(Shard* shard, std::list<Entry>::iterator entry);

  const uint64_t shard_capacity_;
  std::array<Shard, kShards> shards_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_RECORD_CACHE_H_
