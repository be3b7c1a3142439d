#include "store/rocks_store.h"

#include <rocksdb/convenience.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/listener.h>

#include <algorithm>

#include "store/rocks_directory.h"
#include "store/rocks_log.h"
#include "store/rocks_status.h"

namespace reprise {
namespace {

// One sync reserves as many; skipped ones are never given out.
constexpr uint64_t kVersionBlock = 1 << 20;
// More than a lost log can have given out.
constexpr uint64_t kVersionsAfterLoss = 1ull << 40;
// How much is written between two looks at the free space.
constexpr int64_t kRoomStepBytes = 64 << 20;

constexpr std::string_view kVersionsKey = "versions";

// Tells a store's health about what goes wrong in background jobs, and its
// list of logs when the log goes on in another file.
class StoreListener final : public rocksdb::EventListener {
 public:
  StoreListener(std::shared_ptr<RocksHealth> health,
                std::shared_ptr<SyncedLogs> synced_logs)
      : health_(std::move(health)), synced_logs_(std::move(synced_logs)) {}

  void OnBackgroundError(rocksdb::BackgroundErrorReason,
                         rocksdb::Status* cause) override {
    health_->Fail(*cause, "background job");
  }
  void OnMemTableSealed(const rocksdb::MemTableInfo&) override {
    synced_logs_->OnSwitch();
  }

 private:
  std::shared_ptr<RocksHealth> health_;
  std::shared_ptr<SyncedLogs> synced_logs_;
};

}  // namespace

Status RocksHealth::Get() const {
  if (!failed_) return Status::Ok();
  std::lock_guard lock(mutex_);
  return status_;
}

void RocksHealth::Fail(const rocksdb::Status& cause, std::string_view during) {
  if (cause.ok()) return;
  std::lock_guard lock(mutex_);
  if (failed_) return;
  status_ = WriteStatus(
      cause, "store: writes stopped after a failed " + std::string(during));
  failed_ = true;
}

RocksStore::RocksStore(const RocksOptions& options)
    : options_(options),
      env_(options.env != nullptr ? options.env : rocksdb::Env::Default()),
      memory_(MakeRocksMemory(options)),
      synced_logs_(std::make_shared<SyncedLogs>(env_, options.directory)),
      record_cache_(RecordCacheBytes(options)) {}

Result<std::shared_ptr<RocksStore>> RocksStore::Open(
    const RocksOptions& options) {
  std::shared_ptr<RocksStore> store(new RocksStore(options));
  REPRISE_RETURN_IF_ERROR(store->OpenDb());
  REPRISE_RETURN_IF_ERROR(store->LoadMeta());
  return store;
}

RocksStore::~RocksStore() {
  if (db_ != nullptr) {
    if (!options_.read_only) {
      // A job that fails meanwhile is known before its log is synced again.
      rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
      if (health_->Get().ok()) db_->SyncWAL().PermitUncheckedError();
      RemoveOwner(env_, options_.directory);
    }
    for (rocksdb::ColumnFamilyHandle* family : families_) {
      db_->DestroyColumnFamilyHandle(family).PermitUncheckedError();
    }
    db_->Close().PermitUncheckedError();
    db_.reset();
  }
  Unlock();
}

Status RocksStore::OpenDb() {
  const std::string& directory = options_.directory;
  rocksdb::DBOptions db_options = MakeDbOptions(options_, memory_);
  db_options.listeners.push_back(
      std::make_shared<StoreListener>(health_, synced_logs_));
  const auto families = MakeFamilies(memory_);

  REPRISE_ASSIGN_OR_RETURN(const bool exists, StoreExists(env_, directory));
  if (!exists && (options_.read_only || !options_.create_if_missing)) {
    return NotFoundError("store: there is none in " + directory);
  }
  if (exists) {
    // Held while the log is checked, and on when we only read; a writing
    // RocksDB takes it itself.
    REPRISE_ASSIGN_OR_RETURN(lock_, LockStore(env_, directory));
    REPRISE_ASSIGN_OR_RETURN(const auto existing,
                             ExistingFamilies(db_options, directory, families));
    REPRISE_RETURN_IF_ERROR(PrepareLog(db_options, existing));
    if (!options_.read_only) Unlock();
  }
  rocksdb::DB* db = nullptr;
  rocksdb::Status opened;
  if (options_.read_only) {
    opened = rocksdb::DB::OpenForReadOnly(db_options, directory, families,
                                          &families_, &db);
  } else if (exists) {
    opened =
        rocksdb::DB::Open(db_options, directory, families, &families_, &db);
  } else {
    opened = rocksdb::DB::Open(db_options, directory, {families[kMetaFamily]},
                               &families_, &db);
  }
  db_.reset(db);
  if (opened.ok() && !exists) opened = CreateFamilies(families);
  if (!opened.ok()) return OpenError(env_, directory, opened);
  if (!options_.read_only) WriteOwner(env_, directory);
  return Status::Ok();
}

// All in one call: one by one, RocksDB writes and parses its options file for
// each.
rocksdb::Status RocksStore::CreateFamilies(
    const std::vector<rocksdb::ColumnFamilyDescriptor>& families) {
  std::vector<rocksdb::ColumnFamilyHandle*> created;
  const rocksdb::Status status = db_->CreateColumnFamilies(
      {families.begin() + kMetaFamily + 1, families.end()}, &created);
  families_.insert(families_.end(), created.begin(), created.end());
  return status;
}

void RocksStore::Unlock() {
  if (lock_ != nullptr) env_->UnlockFile(lock_).PermitUncheckedError();
  lock_ = nullptr;
}

Status RocksStore::PrepareLog(
    const rocksdb::DBOptions& db_options,
    const std::vector<rocksdb::ColumnFamilyDescriptor>& families) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<std::string> synced,
                           ReadSyncedLogs(env_, options_.directory));
  REPRISE_ASSIGN_OR_RETURN(LogReport report,
                           CheckLog(env_, options_.directory, 0, synced));
  if (report.kind == LogReport::Kind::kIntact) return Status::Ok();
  REPRISE_ASSIGN_OR_RETURN(
      const uint64_t first,
      OldestLiveLog(db_options, options_.directory, families));
  REPRISE_ASSIGN_OR_RETURN(report,
                           CheckLog(env_, options_.directory, first, synced));
  if (report.kind == LogReport::Kind::kDamage && !options_.accept_log_loss) {
    return DataLossError(
        "store: " + report.ToString() +
        "; `reprise fsck --dir DIR --accept-loss` opens without them");
  }
  if (report.kind == LogReport::Kind::kIntact || options_.read_only) {
    return Status::Ok();
  }
  // RocksDB would cut a torn end itself, but go on behind a gap in it, and
  // refuse one that a family was flushed after.
  REPRISE_RETURN_IF_ERROR(CutLog(env_, options_.directory, report));
  return ForgetSyncedLogs(env_, options_.directory);
}

Status RocksStore::LoadMeta() {
  const bool is_new = db_->GetLatestSequenceNumber() == 0;
  if (is_new && !options_.read_only) {
    rocksdb::WriteBatch batch;
    PutFormat(&batch, meta());
    REPRISE_RETURN_IF_ERROR(Write(&batch, Durability::kSynced));
  }
  REPRISE_RETURN_IF_ERROR(CheckFormat(db_.get(), meta()));
  if (options_.read_only) return Status::Ok();

  std::string text;
  const rocksdb::Status got =
      db_->Get(rocksdb::ReadOptions(), meta(), ToSlice(kVersionsKey), &text);
  if (!got.ok() && !got.IsNotFound()) return ReadStatus(got, "store: versions");
  if (got.ok()) {
    ByteReader reader(AsBytes(text));
    next_version_ = reader.U64();
    REPRISE_RETURN_IF_ERROR(reader.Finish("store: versions"));
  }
  if (options_.accept_log_loss) next_version_ += kVersionsAfterLoss;
  return ReserveVersions(next_version_ + kVersionBlock);
}

Status RocksStore::CheckWritable(uint64_t new_bytes, Room room) {
  if (options_.read_only) {
    return FailedPreconditionError("store: open for reading only");
  }
  REPRISE_RETURN_IF_ERROR(health_->Get());
  const int64_t wanted = static_cast<int64_t>(new_bytes);
  if (wanted == 0 || room_bytes_.fetch_sub(wanted) >= wanted) {
    return Status::Ok();
  }
  uint64_t free_bytes = 0;
  const rocksdb::IOStatus got = env_->GetFileSystem()->GetFreeSpace(
      options_.directory, rocksdb::IOOptions(), &free_bytes, nullptr);
  // Where the file system can't tell, its ENOSPC will.
  if (!got.ok()) free_bytes = UINT64_MAX;
  const uint64_t kept = room == Room::kRecords ? options_.min_free_bytes / 2
                                               : options_.min_free_bytes;
  if (free_bytes < kept || free_bytes - kept < new_bytes) {
    room_bytes_ = 0;
    return ResourceExhaustedError(
        "store: disk has " + std::to_string(free_bytes) +
        " bytes free; a write of " + std::to_string(new_bytes) +
        " would leave less than " + std::to_string(kept));
  }
  const uint64_t taken = options_.min_free_bytes + new_bytes;
  const uint64_t left = free_bytes - std::min(free_bytes, taken);
  room_bytes_ = static_cast<int64_t>(std::min<uint64_t>(left, kRoomStepBytes));
  return Status::Ok();
}

Status RocksStore::Write(rocksdb::WriteBatch* batch, Durability durability) {
  REPRISE_RETURN_IF_ERROR(health_->Get());
  rocksdb::WriteOptions write;
  if (durability == Durability::kSynced) {
    write.sync = true;
    MarkSynced(batch);
  }
  const rocksdb::Status status = db_->Write(write, batch);
  if (status.ok()) {
    if (write.sync) {
      ConfirmSync();
      health_->Fail(synced_logs_->Update(db_.get()), "sync");
    }
    return Status::Ok();
  }
  health_->Fail(status, write.sync ? "synced write" : "write");
  return WriteStatus(status, "store: write");
}

// Tells the next check of the log that the sync before it came to its end.
// The caller's write is safe whether or not this one succeeds.
void RocksStore::ConfirmSync() {
  rocksdb::WriteBatch batch;
  MarkConfirmed(&batch);
  health_->Fail(db_->Write(rocksdb::WriteOptions(), &batch), "write");
}

// A batch with nothing but the mark, so that concurrent callers share a sync
// and none of them is told of success by a sync that began before its write.
Status RocksStore::Sync() {
  rocksdb::WriteBatch batch;
  return Write(&batch, Durability::kSynced);
}

Status RocksStore::FlushFiles() {
  REPRISE_RETURN_IF_ERROR(CheckWritable(0));
  const rocksdb::Status status = db_->Flush(rocksdb::FlushOptions(), families_);
  health_->Fail(status, "flush");
  return status.ok() ? Status() : WriteStatus(status, "store: flush");
}

Result<HeadVersion> RocksStore::TakeVersions(uint64_t count) {
  std::lock_guard lock(version_mutex_);
  if (next_version_ + count > reserved_until_) {
    REPRISE_RETURN_IF_ERROR(
        ReserveVersions(next_version_ + count + kVersionBlock));
  }
  const HeadVersion first = next_version_;
  next_version_ += count;
  return first;
}

// Synced before any is used: a version that somebody saw must not come again
// even if the write that carried it is lost with the power.
Status RocksStore::ReserveVersions(HeadVersion until) {
  ByteWriter writer;
  writer.U64(until);
  rocksdb::WriteBatch batch;
  batch.Put(meta(), ToSlice(kVersionsKey), ToSlice(writer.bytes()))
      .PermitUncheckedError();
  REPRISE_RETURN_IF_ERROR(Write(&batch, Durability::kSynced));
  reserved_until_ = until;
  return Status::Ok();
}

Status RocksStore::Health() const { return health_->Get(); }

Engine::Stats RocksStore::GetStats() {
  using Properties = rocksdb::DB::Properties;
  Engine::Stats stats;
  const auto add = [&](rocksdb::ColumnFamilyHandle* family,
                       const std::string& property, uint64_t* sum) {
    uint64_t value = 0;
    if (db_->GetIntProperty(family, property, &value)) *sum += value;
  };
  for (rocksdb::ColumnFamilyHandle* family : families_) {
    // With what lives in blob files.
    add(family, Properties::kEstimateLiveDataSize, &stats.live_bytes);
    add(family, Properties::kCurSizeActiveMemTable, &stats.live_bytes);
    add(family, Properties::kEstimateTableReadersMem, &stats.memory_bytes);
    add(family, Properties::kSizeAllMemTables, &stats.memory_bytes);
  }
  stats.memory_bytes += memory_.cache->GetUsage() + record_cache_.size_bytes();
  stats.cache_capacity_bytes = options_.block_cache_bytes;
  std::vector<rocksdb::Env::FileAttributes> files;
  if (env_->GetChildrenFileAttributes(options_.directory, &files).ok()) {
    for (const auto& file : files) stats.disk_bytes += file.size_bytes;
  }
  return stats;
}

}  // namespace reprise
