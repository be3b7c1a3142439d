// Remembers which files of the write-ahead log were synced, so that one that
// goes missing is noticed. RocksDB 7.8 can't tell: a file that was flushed is
// gone too, numbers are shared with other files, and its own option
// (track_and_verify_wals_in_manifest) leaves out the newest file and refuses
// sound stores after DB::SyncWAL.
//
// The list is the file SYNCED-LOGS: docs/format/store.md. Nothing but the
// noticing hangs on it.
#ifndef REPRISE_STORE_ROCKS_SYNCED_LOGS_H_
#define REPRISE_STORE_ROCKS_SYNCED_LOGS_H_

#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise {

// Keeps the list of an open store. Thread-safe.
class SyncedLogs {
 public:
  SyncedLogs(rocksdb::Env* env, std::string directory)
      : env_(env), directory_(std::move(directory)) {}

  // The store went on, or will at once, with another file of the log.
  void OnSwitch() { switched_ = true; }

  // After a synced write: where there was a switch, syncs the log and lists
  // its files. The answer is that of the sync; a list that can't be written is
  // tried again after the next write.
  rocksdb::Status Update(rocksdb::DB* db);

 private:
  rocksdb::Env* const env_;
  const std::string directory_;
  std::atomic<bool> switched_ = true;
  std::mutex mutex_;  // one update at a time
};

// Names of the listed files, oldest first; none where there is no list, or a
// damaged one. Files that RocksDB no longer needs may be among them.
Result<std::vector<std::string>> ReadSyncedLogs(rocksdb::Env* env,
                                                const std::string& directory);

// Removes the list, for good.
Status ForgetSyncedLogs(rocksdb::Env* env, const std::string& directory);

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_SYNCED_LOGS_H_
