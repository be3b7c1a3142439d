// How RocksDB is set up: its column families and their tuning. Names and
// numbers of the families are format: docs/format/store.md.
#ifndef REPRISE_STORE_ROCKS_OPTIONS_H_
#define REPRISE_STORE_ROCKS_OPTIONS_H_

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/write_buffer_manager.h>

#include <memory>
#include <string>
#include <vector>

#include "store/rocks_engine.h"

namespace reprise {

// What all families of one store share.
struct RocksMemory {
  std::shared_ptr<rocksdb::Cache> cache;
  std::shared_ptr<rocksdb::WriteBufferManager> memtables;
};
// The share of the cache that RecordCache has.
uint64_t RecordCacheBytes(const RocksOptions& options);
RocksMemory MakeRocksMemory(const RocksOptions& options);

rocksdb::DBOptions MakeDbOptions(const RocksOptions& options,
                                 const RocksMemory& memory);

// Positions in what MakeFamilies returns.
constexpr size_t kMetaFamily = 0;   // "default": format, versions
constexpr size_t kIndexFamily = 1;  // which objects are there
size_t FamilyOf(ObjectSpace space);
size_t FamilyOf(HeadSpace space);

std::vector<rocksdb::ColumnFamilyDescriptor> MakeFamilies(
    const RocksMemory& memory);

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_OPTIONS_H_
