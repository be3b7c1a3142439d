#include "store/rocks_options.h"

#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <iterator>
#include <string>

namespace reprise {
namespace {

// Values from this size on lie in blob files, where compactions leave them
// alone; smaller ones cost less inside the tables.
constexpr uint64_t kMinBlobBytes = 4096;
constexpr uint64_t kBlobFileBytes = 256ull << 20;

rocksdb::ColumnFamilyOptions CommonOptions() {
  rocksdb::ColumnFamilyOptions options;
  // Values are compressed already and keys are digests.
  options.compression = rocksdb::kNoCompression;
  options.bottommost_compression = rocksdb::kNoCompression;
  options.level_compaction_dynamic_level_bytes = true;
  options.memtable_whole_key_filtering = true;
  options.memtable_prefix_bloom_size_ratio = 0.02;
  return options;
}

rocksdb::BlockBasedTableOptions TableOptions(const RocksMemory& memory) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = memory.cache;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  table.whole_key_filtering = true;
  // Listings read pages of a few keys.
  table.max_auto_readahead_size = 0;
  return table;
}

// Small records that are looked up by the thousand: the index and the heads.
rocksdb::ColumnFamilyOptions RecordOptions(const RocksMemory& memory) {
  rocksdb::ColumnFamilyOptions options = CommonOptions();
  rocksdb::BlockBasedTableOptions table = TableOptions(memory);
  table.block_size = 4096;
  table.data_block_index_type =
      rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  table.data_block_hash_table_util_ratio = 0.5;
  // The hash leads to a restart point: with one a key, to the key itself.
  table.block_restart_interval = 1;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.write_buffer_size = 32ull << 20;
  return options;
}

rocksdb::ColumnFamilyOptions ObjectOptions(const RocksMemory& memory) {
  rocksdb::ColumnFamilyOptions options = CommonOptions();
  rocksdb::BlockBasedTableOptions table = TableOptions(memory);
  table.block_size = 16384;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.write_buffer_size = 64ull << 20;
  options.enable_blob_files = true;
  options.min_blob_size = kMinBlobBytes;
  options.blob_file_size = kBlobFileBytes;
  options.blob_compression_type = rocksdb::kNoCompression;
  // A compaction that also collected blobs would read them, and stop the
  // whole store at a damaged one. Files without a live blob go by themselves;
  // the others are collected on demand, a family at a time
  // (store/rocks_reclaim.h).
  options.enable_blob_garbage_collection = false;
  return options;
}

}  // namespace

uint64_t RecordCacheBytes(const RocksOptions& options) {
  return options.block_cache_bytes / 2;
}

RocksMemory MakeRocksMemory(const RocksOptions& options) {
  rocksdb::LRUCacheOptions cache;
  cache.capacity = options.block_cache_bytes - RecordCacheBytes(options);
  RocksMemory memory;
  memory.cache = rocksdb::NewLRUCache(cache);
  memory.memtables =
      std::make_shared<rocksdb::WriteBufferManager>(options.memtable_bytes);
  return memory;
}

rocksdb::DBOptions MakeDbOptions(const RocksOptions& options,
                                 const RocksMemory& memory) {
  rocksdb::DBOptions db;
  if (options.env != nullptr) db.env = options.env;
  db.create_if_missing = options.create_if_missing;
  db.create_missing_column_families = true;
  db.paranoid_checks = true;
  db.write_buffer_manager = memory.memtables;
  db.max_total_wal_size = options.max_log_bytes;
  // The log was checked before (store/rocks_log.h); here a torn end is cut.
  db.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  db.max_background_jobs = static_cast<int>(options.background_threads);
  // Nothing is tried again behind our back after an error.
  db.max_bgerror_resume_count = 0;
  db.bytes_per_sync = 1 << 20;
  db.wal_bytes_per_sync = 1 << 20;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.skip_stats_update_on_db_open = true;
  db.info_log_level = rocksdb::WARN_LEVEL;
  db.max_log_file_size = 16 << 20;
  db.keep_log_file_num = 4;
  // Without a limit, 7.8's read-only mode misses values in blob files.
  if (options.read_only) db.max_open_files = 256;
  return db;
}

size_t FamilyOf(ObjectSpace space) {
  return kIndexFamily + static_cast<size_t>(space);
}

size_t FamilyOf(HeadSpace space) {
  return kIndexFamily + std::size(kAllObjectSpaces) +
         static_cast<size_t>(space);
}

std::vector<rocksdb::ColumnFamilyDescriptor> MakeFamilies(
    const RocksMemory& memory) {
  const rocksdb::ColumnFamilyOptions records = RecordOptions(memory);
  const rocksdb::ColumnFamilyOptions objects = ObjectOptions(memory);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  families.emplace_back(rocksdb::kDefaultColumnFamilyName, records);
  families.emplace_back("index", records);
  for (const ObjectSpace space : kAllObjectSpaces) {
    families.emplace_back("object-" + std::string(ObjectSpaceName(space)),
                          objects);
  }
  for (const HeadSpace space : kAllHeadSpaces) {
    families.emplace_back("head-" + std::string(HeadSpaceName(space)), records);
  }
  return families;
}

}  // namespace reprise
