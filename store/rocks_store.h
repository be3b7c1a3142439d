// One open RocksDB, shared by the handles on it: its families, its health,
// and the versions that it gives to head records. Inside of the RocksDB
// engine; others use store/rocks_engine.h.
#ifndef REPRISE_STORE_ROCKS_STORE_H_
#define REPRISE_STORE_ROCKS_STORE_H_

#include <rocksdb/db.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "store/key_gate.h"
#include "store/record_cache.h"
#include "store/rocks_engine.h"
#include "store/rocks_options.h"
#include "store/rocks_synced_logs.h"

namespace reprise {

// Remembers the first error after which nothing may be acknowledged.
// Thread-safe.
class RocksHealth {
 public:
  // OK, or why writes are refused.
  Status Get() const;
  void Fail(const rocksdb::Status& cause, std::string_view during);

 private:
  std::atomic<bool> failed_ = false;
  mutable std::mutex mutex_;
  Status status_;
};

class RocksStore {
 public:
  static Result<std::shared_ptr<RocksStore>> Open(const RocksOptions& options);
  // Syncs the log, unless a write failed, and closes.
  ~RocksStore();
  RocksStore(const RocksStore&) = delete;
  RocksStore& operator=(const RocksStore&) = delete;

  rocksdb::DB* db() const { return db_.get(); }
  rocksdb::ColumnFamilyHandle* meta() const { return families_[kMetaFamily]; }
  rocksdb::ColumnFamilyHandle* index() const { return families_[kIndexFamily]; }
  rocksdb::ColumnFamilyHandle* family(ObjectSpace space) const {
    return families_[FamilyOf(space)];
  }
  rocksdb::ColumnFamilyHandle* family(HeadSpace space) const {
    return families_[FamilyOf(space)];
  }
  // Who changes an object, or a head, holds its slot here.
  KeyGate& object_gate() { return object_gate_; }
  KeyGate& head_gate() { return head_gate_; }
  RecordCache& record_cache() { return record_cache_; }

  // kFailedPrecondition when open for reading only; kUnavailable or
  // kResourceExhausted once a write failed, or when `new_bytes` would eat
  // into the space that is kept free; records may use half of that, since
  // without them nothing could be removed.
  enum class Room : uint8_t { kObjects, kRecords };
  Status CheckWritable(uint64_t new_bytes, Room room = Room::kObjects);
  // Applies the batch, all or nothing. With kSynced, it and everything before
  // it is synced; concurrent callers share a sync. A failure is for good.
  Status Write(rocksdb::WriteBatch* batch, Durability durability);
  // Everything written before is synced.
  Status Sync();
  // All that is in memory is in files, and no log is needed any more.
  Status FlushFiles();

  // The first of `count` versions that nobody ever gets again.
  Result<HeadVersion> TakeVersions(uint64_t count);

  Status Health() const;
  Engine::Stats GetStats();

 private:
  explicit RocksStore(const RocksOptions& options);

  Status OpenDb();
  // Refuses a log that is damaged or lacks a file, or cuts it where the loss
  // is accepted.
  Status PrepareLog(
      const rocksdb::DBOptions& db_options,
      const std::vector<rocksdb::ColumnFamilyDescriptor>& families);
  rocksdb::Status CreateFamilies(
      const std::vector<rocksdb::ColumnFamilyDescriptor>& families);
  void Unlock();
  void ConfirmSync();
  Status LoadMeta();
  Status ReserveVersions(HeadVersion until);

  const RocksOptions options_;
  rocksdb::Env* const env_;
  const RocksMemory memory_;
  const std::shared_ptr<RocksHealth> health_ = std::make_shared<RocksHealth>();
  const std::shared_ptr<SyncedLogs> synced_logs_;
  rocksdb::FileLock* lock_ = nullptr;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;

  KeyGate object_gate_;
  KeyGate head_gate_;
  RecordCache record_cache_;

  std::mutex version_mutex_;
  HeadVersion next_version_ = 1;
  HeadVersion reserved_until_ = 1;  // in the store, synced

  // Bytes that may be written before the free space is looked at again.
  std::atomic<int64_t> room_bytes_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_STORE_H_
