#include "store/record_cache.h"

#include <utility>

namespace reprise {
namespace {

// A list node, a map node and its share of buckets, a control block.
constexpr uint64_t kEntryOverheadBytes = 200;

}  // namespace

size_t RecordCache::Hash::operator()(std::string_view key) const {
  if (key.size() < sizeof(uint64_t)) return std::hash<std::string_view>()(key);
  return LoadLe<uint64_t>(AsBytes(key).data() + key.size() - sizeof(uint64_t));
}

uint64_t RecordCache::CostOf(const Entry& entry) {
  return entry.key.size() + entry.value->size() + kEntryOverheadBytes;
}

void RecordCache::Erase(Shard* shard, std::list<Entry>::iterator entry) {
  shard->bytes -= CostOf(*entry);
  shard->map.erase(entry->key);
  shard->entries.erase(entry);
}

RecordCache::Stamp RecordCache::StampOf(std::string_view key) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  return shard.drops;
}

bool RecordCache::Find(std::string_view key, HeadRecord* record) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.map.find(key);
  if (found == shard.map.end()) return false;
  shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
  const Entry& entry = *found->second;
  record->version = entry.version;
  record->value = PinnedBytes(*entry.value, entry.value);
  return true;
}

void RecordCache::Put(std::string_view key, Stamp stamp,
                      const HeadRecord& record) {
  const ByteView value = record.value.view();
  Entry entry{std::string(key),
              std::make_shared<const Bytes>(value.begin(), value.end()),
              record.version};
  const uint64_t cost = CostOf(entry);
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  if (shard.drops != stamp || cost > shard_capacity_) return;
  if (shard.map.contains(key)) return;
  while (shard.bytes + cost > shard_capacity_) {
    Erase(&shard, std::prev(shard.entries.end()));
  }
  shard.entries.push_front(std::move(entry));
  shard.map.emplace(shard.entries.front().key, shard.entries.begin());
  shard.bytes += cost;
}

void RecordCache::Drop(std::string_view key) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  ++shard.drops;
  const auto found = shard.map.find(key);
  if (found != shard.map.end()) Erase(&shard, found->second);
}

uint64_t RecordCache::size_bytes() {
  uint64_t bytes = 0;
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    bytes += shard.bytes;
  }
  return bytes;
}

}  // namespace reprise
