#include "store/rocks_directory.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>

#include "base/bytes.h"
#include "store/rocks_status.h"

namespace reprise {
namespace {

constexpr std::string_view kFormatKey = "format";
constexpr std::string_view kFormatMagic = "reprise store";
constexpr uint32_t kFormatVersion = 1;
constexpr std::string_view kSyncMark = "reprise sync";
constexpr std::string_view kConfirmMark = "reprise synced";

std::string OwnerPath(const std::string& directory) {
  return directory + "/OWNER";
}

// "pid 4711 (reprised) since 2026-01-31 12:00:00 UTC", or "another process".
std::string ReadOwner(rocksdb::Env* env, const std::string& directory) {
  std::string owner;
  if (!rocksdb::ReadFileToString(env, OwnerPath(directory), &owner).ok() ||
      owner.empty()) {
    return "another process";
  }
  while (!owner.empty() && owner.back() == '\n') owner.pop_back();
  return owner;
}

Status HeldError(rocksdb::Env* env, const std::string& directory) {
  return FailedPreconditionError("store: " + directory + " is held by " +
                                 ReadOwner(env, directory) +
                                 "; stop it, or use another directory");
}

// `text` is the format record, or null where there is none.
Status CheckFormatRecord(const std::string* text) {
  if (text == nullptr) {
    return FailedPreconditionError(
        "store: the database has no format record: it is none of ours; use "
        "another directory");
  }
  ByteReader reader(AsBytes(*text));
  const std::string_view magic = reader.Text16();
  const uint32_t version = reader.U32();
  if (reader.failed() || magic != kFormatMagic) {
    return FailedPreconditionError(
        "store: the database has another's format record; use another "
        "directory");
  }
  if (version != kFormatVersion) {
    return FailedPreconditionError(
        "store: format version is " + std::to_string(version) +
        ", this program knows " + std::to_string(kFormatVersion) +
        "; use the release that wrote it, or a newer one");
  }
  return reader.Finish("store: format record");
}

// CheckFormat of a store whose other families are unknown. One that was never
// written to has no format yet: its making was cut short.
Status CheckFormatAlone(const rocksdb::DBOptions& options,
                        const std::string& directory,
                        const rocksdb::ColumnFamilyDescriptor& meta) {
  rocksdb::DBOptions reading = options;
  reading.listeners.clear();
  reading.max_open_files = 16;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(
      reading, directory, {meta}, &handles, &opened);
  if (!status.ok()) return ReadStatus(status, "store: format");
  const std::unique_ptr<rocksdb::DB> db(opened);
  Status format;
  if (db->GetLatestSequenceNumber() > 0) {
    format = CheckFormat(db.get(), handles[0]);
  }
  db->DestroyColumnFamilyHandle(handles[0]).PermitUncheckedError();
  return format;
}

}  // namespace

Result<bool> StoreExists(rocksdb::Env* env, const std::string& directory) {
  const rocksdb::Status status = env->FileExists(directory + "/CURRENT");
  if (status.ok()) return true;
  if (status.IsNotFound()) return false;
  return ReadStatus(status, "store: " + directory);
}

Result<std::vector<rocksdb::ColumnFamilyDescriptor>> ExistingFamilies(
    const rocksdb::DBOptions& options, const std::string& directory,
    const std::vector<rocksdb::ColumnFamilyDescriptor>& families) {
  std::vector<std::string> names;
  const rocksdb::Status listed =
      rocksdb::DB::ListColumnFamilies(options, directory, &names);
  if (!listed.ok()) return ReadStatus(listed, "store: families");
  std::vector<rocksdb::ColumnFamilyDescriptor> existing;
  for (const rocksdb::ColumnFamilyDescriptor& family : families) {
    const auto found = std::find(names.begin(), names.end(), family.name);
    if (found == names.end()) continue;
    existing.push_back(family);
    names.erase(found);
  }
  if (names.empty() && existing.size() == families.size()) return existing;
  // Before missing families are made in what may be another's database. The
  // format record says more than a strange name, too, where there is one.
  REPRISE_RETURN_IF_ERROR(CheckFormatAlone(options, directory, families[0]));
  if (names.empty()) return existing;
  return FailedPreconditionError("store: family '" + names[0] +
                                 "' is unknown to this program");
}

void PutFormat(rocksdb::WriteBatch* batch, rocksdb::ColumnFamilyHandle* meta) {
  ByteWriter writer;
  writer.Text16(kFormatMagic);
  writer.U32(kFormatVersion);
  batch->Put(meta, ToSlice(kFormatKey), ToSlice(writer.bytes()))
      .PermitUncheckedError();
}

Status CheckFormat(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* meta) {
  std::string text;
  const rocksdb::Status got =
      db->Get(rocksdb::ReadOptions(), meta, ToSlice(kFormatKey), &text);
  if (got.IsNotFound()) return CheckFormatRecord(nullptr);
  if (!got.ok()) return ReadStatus(got, "store: format");
  return CheckFormatRecord(&text);
}

void MarkSynced(rocksdb::WriteBatch* batch) {
  batch->PutLogData(ToSlice(kSyncMark)).PermitUncheckedError();
}

bool IsSyncMark(const rocksdb::Slice& log_data) {
  return log_data == ToSlice(kSyncMark);
}

void MarkConfirmed(rocksdb::WriteBatch* batch) {
  batch->PutLogData(ToSlice(kConfirmMark)).PermitUncheckedError();
}

Result<rocksdb::FileLock*> LockStore(rocksdb::Env* env,
                                     const std::string& directory) {
  rocksdb::FileLock* lock = nullptr;
  const rocksdb::Status status = env->LockFile(directory + "/LOCK", &lock);
  if (status.ok()) return lock;
  return OpenError(env, directory, status);
}

void WriteOwner(rocksdb::Env* env, const std::string& directory) {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char since[64];
  std::strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S UTC", &utc);
  const std::string owner = "pid " + std::to_string(getpid()) + " (" +
                            program_invocation_short_name + ") since " + since +
                            "\n";
  // Only a message hangs on it.
  rocksdb::WriteStringToFile(env, owner, OwnerPath(directory))
      .PermitUncheckedError();
}

void RemoveOwner(rocksdb::Env* env, const std::string& directory) {
  env->DeleteFile(OwnerPath(directory)).PermitUncheckedError();
}

rocksdb::Status SyncDirectory(rocksdb::Env* env, const std::string& directory) {
  std::unique_ptr<rocksdb::Directory> folder;
  const rocksdb::Status status = env->NewDirectory(directory, &folder);
  return status.ok() ? folder->Fsync() : status;
}

Status OpenError(rocksdb::Env* env, const std::string& directory,
                 const rocksdb::Status& status) {
  // RocksDB has no code for a lock that is held.
  if (status.IsIOError() &&
      status.ToString().find("/LOCK:") != std::string::npos) {
    return HeldError(env, directory);
  }
  if (status.IsNoSpace()) return WriteStatus(status, "store: open");
  if (status.IsInvalidArgument()) {
    return FailedPreconditionError("store: open: " + status.ToString());
  }
  return ReadStatus(status, "store: open");
}

}  // namespace reprise
