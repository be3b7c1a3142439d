#include "store/rocks_reclaim.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table_properties.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "store/rocks_status.h"

namespace reprise {
namespace {

// An iterator keeps files alive: it is opened anew after so much.
constexpr uint64_t kPageBytes = 16ull << 20;
constexpr uint32_t kPageObjects = 4096;

}  // namespace

Result<ReclaimReport> RocksReclaimer::Run() {
  report_.disk_bytes_before = store_->GetStats().disk_bytes;
  // What was removed is known to RocksDB as garbage only once it is in files.
  REPRISE_RETURN_IF_ERROR(store_->FlushFiles());
  for (const ObjectSpace space : kAllObjectSpaces) {
    REPRISE_RETURN_IF_ERROR(ReclaimFamily(space));
  }
  report_.disk_bytes_after = store_->GetStats().disk_bytes;
  return report_;
}

Status RocksReclaimer::CheckStop() const {
  if (options_.stop == nullptr || !*options_.stop) return store_->Health();
  return UnavailableError("reclaim: stopped");
}

// To compact without need would rewrite all keys at each call. Sizes vary: half
// as many removals may be as much garbage as is asked for.
bool RocksReclaimer::HasRemovals(ObjectSpace space) const {
  rocksdb::TablePropertiesCollection tables;
  const rocksdb::Status status =
      store_->db()->GetPropertiesOfAllTables(store_->family(space), &tables);
  if (!status.ok()) return true;
  uint64_t entries = 0;
  uint64_t removals = 0;
  for (const auto& [name, table] : tables) {
    entries += table->num_entries;
    removals += table->num_deletions;
  }
  const double least = static_cast<double>(entries) / 200 *
                       static_cast<double>(options_.min_garbage_percent);
  return removals > 0 && static_cast<double>(removals) >= least;
}

RocksReclaimer::BlobBytes RocksReclaimer::BlobsOf(ObjectSpace space) const {
  using Properties = rocksdb::DB::Properties;
  BlobBytes bytes;
  rocksdb::ColumnFamilyHandle* const family = store_->family(space);
  (void)store_->db()->GetIntProperty(family, Properties::kLiveBlobFileSize,
                                     &bytes.total);
  (void)store_->db()->GetIntProperty(
      family, Properties::kLiveBlobFileGarbageSize, &bytes.garbage);
  return bytes;
}

Status RocksReclaimer::ReclaimFamily(ObjectSpace space) {
  REPRISE_RETURN_IF_ERROR(CheckStop());
  const auto leave = [&](const std::string& why) {
    report_.left.push_back(std::string(ObjectSpaceName(space)) + ": " + why);
    return Status();
  };
  // Keys that were removed go with their tombstones, and with the last key of
  // a blob file the file. Until then RocksDB does not know what is garbage.
  if (HasRemovals(space)) REPRISE_RETURN_IF_ERROR(Compact(space, 0));
  const BlobBytes blobs = BlobsOf(space);
  const uint64_t stays = blobs.total - std::min(blobs.total, blobs.garbage);
  const double least = static_cast<double>(blobs.total) / 100 *
                       static_cast<double>(options_.min_garbage_percent);
  if (blobs.garbage == 0 || static_cast<double>(blobs.garbage) < least) {
    return Status();
  }
  double collect_age = 1;
  if (stays > options_.headroom_bytes) {
    collect_age = static_cast<double>(options_.headroom_bytes) /
                  static_cast<double>(stays);
  }
  uint64_t files = 0;
  (void)store_->db()->GetIntProperty(
      store_->family(space), rocksdb::DB::Properties::kNumBlobFiles, &files);
  // RocksDB takes whole files, the oldest first.
  if (collect_age * static_cast<double>(files) < 1) {
    return leave(std::to_string(options_.headroom_bytes) +
                 " bytes are free for a copy of " + std::to_string(stays));
  }
  const Status readable = ReadAll(space);
  if (readable.Is(StatusCode::kDataLoss)) {
    return leave(std::string(readable.message()));
  }
  REPRISE_RETURN_IF_ERROR(readable);
  return Compact(space, collect_age);
}

Status RocksReclaimer::ReadAll(ObjectSpace space) {
  std::string cursor;
  bool end = false;
  while (!end) {
    REPRISE_RETURN_IF_ERROR(CheckStop());
    const uint64_t before = report_.read_bytes;
    REPRISE_RETURN_IF_ERROR(ReadPage(space, &cursor, &end));
    if (options_.read_bytes_per_s == 0) continue;
    const double seconds = static_cast<double>(report_.read_bytes - before) /
                           static_cast<double>(options_.read_bytes_per_s);
    const auto until = std::chrono::steady_clock::now() +
                       std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < until) {
      REPRISE_RETURN_IF_ERROR(CheckStop());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  return Status();
}

Status RocksReclaimer::ReadPage(ObjectSpace space, std::string* cursor,
                                bool* end) {
  rocksdb::ReadOptions read;
  read.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> each(
      store_->db()->NewIterator(read, store_->family(space)));
  uint64_t bytes = 0;
  uint32_t count = 0;
  for (each->Seek(ToSlice(*cursor)); each->Valid(); each->Next()) {
    bytes += each->value().size();
    cursor->assign(each->key().data(), each->key().size());
    if (++count >= kPageObjects || bytes >= kPageBytes) break;
  }
  report_.read_bytes += bytes;
  *end = !each->Valid();
  if (each->status().ok()) {
    // The first key after this page.
    if (!*end) cursor->push_back('\0');
    return Status();
  }
  return ReadStatus(
      each->status(),
      "object after " + std::to_string(report_.read_bytes) + " bytes");
}

Status RocksReclaimer::Compact(ObjectSpace space, double collect_age) {
  REPRISE_RETURN_IF_ERROR(store_->CheckWritable(0));
  using Policy = rocksdb::BlobGarbageCollectionPolicy;
  using Bottom = rocksdb::BottommostLevelCompaction;
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.canceled = options_.stop;
  options.blob_garbage_collection_policy =
      collect_age > 0 ? Policy::kForce : Policy::kDisable;
  options.blob_garbage_collection_age_cutoff = collect_age;
  if (collect_age > 0) {
    options.bottommost_level_compaction = Bottom::kForceOptimized;
  }
  const rocksdb::Status status = store_->db()->CompactRange(
      options, store_->family(space), nullptr, nullptr);
  if (status.ok()) return Status();
  REPRISE_RETURN_IF_ERROR(CheckStop());
  return WriteStatus(status, "store: reclaim");
}

}  // namespace reprise
