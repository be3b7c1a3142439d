// Checks RocksDB's write-ahead log before RocksDB replays it. RocksDB itself
// can't tell a torn end, which a power failure leaves, from damage in the
// middle, after which acknowledged writes would be lost in silence.
//
// The log is a chain of files; its format is that of LevelDB's log_format.md.
// Batches are numbered without gaps. One that is written with a sync is
// marked (MarkSynced), and nothing is written behind it before its sync is
// over. So, after bytes that can't be read:
//   - a marked batch with another behind it: all before was synced: damage;
//   - anything else: a torn end. Where there is something, blocks reached
//     the disk out of order, but none of them was ever said to be synced.
// For a sync that nothing follows, RocksStore writes
// something (MarkConfirmed).
#ifndef REPRISE_STORE_ROCKS_LOG_H_
#define REPRISE_STORE_ROCKS_LOG_H_

#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise {

struct LogReport {
  enum class Kind : uint8_t { kIntact, kTornEnd, kDamage };
  Kind kind = Kind::kIntact;
  // Unless intact, the first bytes that can't be read, or the first file that
  // is missing. Where files before and behind it can be read, so is known how
  // many keys were put or deleted in it.
  std::string file;
  uint64_t offset = 0;
  bool file_missing = false;
  std::optional<uint64_t> missing_changes;
  // What would be dropped: bytes from there to the end of the last file, and
  // batches among them that can be read.
  uint64_t dropped_bytes = 0;
  uint64_t dropped_batches = 0;

  // "log 000012.log can't be read at byte 4096; 8192 bytes, with 3 batches
  // that can be read, lie from there on".
  std::string ToString() const;
};

// Names of the log's files numbered `first` or more, oldest first.
Result<std::vector<std::string>> LogFiles(rocksdb::Env* env,
                                          const std::string& directory,
                                          uint64_t first);
// 12 for "000012.log".
uint64_t LogNumber(const std::string& name);

// Reads the files numbered `first` or more. One among them that is in
// `synced` but not there is damage: all before it was synced, too.
// REQUIRES: nobody writes to the store meanwhile.
Result<LogReport> CheckLog(rocksdb::Env* env, const std::string& directory,
                           uint64_t first,
                           const std::vector<std::string>& synced);

// The oldest file that RocksDB still wants to replay; older ones may lie
// about, torn by a crash long ago, or be gone. From it on RocksDB has deleted
// none. Opens the store, for reading, to learn it.
Result<uint64_t> OldestLiveLog(
    const rocksdb::DBOptions& options, const std::string& directory,
    const std::vector<rocksdb::ColumnFamilyDescriptor>& families);

// Ends the log where `report` says that it can't be read or is missing. Batches
// that are cut off are kept beside it, in files named *.lost, and used by
// nobody. REQUIRES: nobody writes to the store meanwhile.
Status CutLog(rocksdb::Env* env, const std::string& directory,
              const LogReport& report);

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_LOG_H_
