#include "store/rocks_synced_logs.h"

#include <rocksdb/transaction_log.h>

#include <cstdio>
#include <memory>
#include <string_view>

#include "store/crc32c.h"
#include "store/rocks_directory.h"
#include "store/rocks_log.h"
#include "store/rocks_status.h"

namespace reprise {
namespace {

constexpr std::string_view kTitle = "reprise synced logs 1\n";
constexpr std::string_view kChecksum = "crc32c ";
constexpr size_t kChecksumLineBytes = 16;  // "crc32c 01234567\n"

std::string ListPath(const std::string& directory) {
  return directory + "/SYNCED-LOGS";
}

std::string ChecksumLine(std::string_view text) {
  char line[kChecksumLineBytes + 1];
  std::snprintf(line, sizeof(line), "%s%08x\n", kChecksum.data(),
                Crc32c(AsBytes(text)));
  return line;
}

// Replaced as a whole: after a crash there is the old list or the new one.
rocksdb::Status WriteList(rocksdb::Env* env, const std::string& directory,
                          const std::vector<std::string>& names) {
  std::string text(kTitle);
  for (const std::string& name : names) text += name + "\n";
  text += ChecksumLine(text);
  const std::string path = ListPath(directory);
  rocksdb::Status status =
      rocksdb::WriteStringToFile(env, text, path + ".new", true);
  if (status.ok()) status = env->RenameFile(path + ".new", path);
  return status.ok() ? SyncDirectory(env, directory) : status;
}

}  // namespace

rocksdb::Status SyncedLogs::Update(rocksdb::DB* db) {
  if (!switched_.load(std::memory_order_relaxed)) return rocksdb::Status::OK();
  std::lock_guard lock(mutex_);
  if (!switched_.exchange(false)) return rocksdb::Status::OK();
  // A file behind the current one may be there, but is not in this sync.
  std::unique_ptr<rocksdb::LogFile> current;
  const rocksdb::Status got = db->GetCurrentWalFile(&current);
  auto names = LogFiles(env_, directory_, 0);
  const rocksdb::Status synced = db->SyncWAL();
  if (!synced.ok()) return synced;
  bool listed = false;
  if (got.ok() && names.ok()) {
    const size_t behind = std::erase_if(*names, [&](const std::string& name) {
      return LogNumber(name) > current->LogNumber();
    });
    // With one behind, the switch that was told of is still to come.
    listed = WriteList(env_, directory_, *names).ok() && behind == 0;
  }
  if (!listed) switched_ = true;
  return synced;
}

Result<std::vector<std::string>> ReadSyncedLogs(rocksdb::Env* env,
                                                const std::string& directory) {
  std::vector<std::string> names;
  std::string text;
  const rocksdb::Status status =
      rocksdb::ReadFileToString(env, ListPath(directory), &text);
  if (status.IsNotFound() || status.IsPathNotFound()) return names;
  if (!status.ok()) return ReadStatus(status, "store: SYNCED-LOGS");
  if (text.size() < kTitle.size() + kChecksumLineBytes) return names;
  const size_t checked_bytes = text.size() - kChecksumLineBytes;
  const std::string_view checked(text.data(), checked_bytes);
  if (!checked.starts_with(kTitle)) return names;
  if (text.substr(checked_bytes) != ChecksumLine(checked)) return names;
  size_t start = kTitle.size();
  while (start < checked_bytes) {
    const size_t end = text.find('\n', start);
    names.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

Status ForgetSyncedLogs(rocksdb::Env* env, const std::string& directory) {
  rocksdb::Status status = env->DeleteFile(ListPath(directory));
  if (status.IsNotFound() || status.IsPathNotFound()) return Status::Ok();
  if (status.ok()) status = SyncDirectory(env, directory);
  return WriteStatus(status, "store: SYNCED-LOGS");
}

}  // namespace reprise
