// The embedded engine: RocksDB in one directory, held by one process. The
// sources named rocks_* are the only home of RocksDB. What lies where on disk
// is told by docs/format/store.md.
#ifndef REPRISE_STORE_ROCKS_ENGINE_H_
#define REPRISE_STORE_ROCKS_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "store/engine.h"

namespace rocksdb {
class Env;
}

namespace reprise {

struct RocksOptions {
  std::string directory;
  bool create_if_missing = true;
  // For reading beside nothing else: fsck, export of a backup.
  bool read_only = false;
  // Go on although records in the middle of the log are damaged, or a file of
  // it is missing: what comes after is lost (`reprise fsck --accept-loss`).
  bool accept_log_loss = false;
  // Half of it for blocks, half for the rendition records used last.
  uint64_t block_cache_bytes = 256ull << 20;
  uint64_t memtable_bytes = 256ull << 20;  // all column families together
  uint64_t max_log_bytes = 1ull << 30;
  // Puts answer kResourceExhausted when less would be left on the file system,
  // and swaps when less than half of it would: room for compactions and
  // removals, and for the records that they change.
  uint64_t min_free_bytes = 256ull << 20;
  uint32_t background_threads = 2;
  // Tests put a faulty one in. Not owned; null: the machine's.
  rocksdb::Env* env = nullptr;
};

// kFailedPrecondition when another process holds the directory (who holds it
// is in the message) or its format is another; kDataLoss when the log is
// damaged in its middle or lacks a file, with what would be lost; kNotFound
// when there is no store and create_if_missing is off.
//
// After a write or sync that failed, or an error of a background job, the
// store acknowledges nothing any more until it is opened again: reads go on,
// Health() tells the reason, and writes answer it.
Result<std::unique_ptr<Engine>> OpenRocksEngine(const RocksOptions& options);

// Another handle on the store that `engine` has open, in the same process.
// The directory is closed with the last handle.
// REQUIRES: `engine` is of OpenRocksEngine or of this function.
std::unique_ptr<Engine> ShareRocksEngine(const Engine& engine);

struct ReclaimOptions {
  // May be taken meanwhile: what stays of some files is written anew before
  // they go.
  uint64_t headroom_bytes = UINT64_MAX;
  // Of the bytes of one kind of objects. Files of which less is garbage are
  // left alone: at 25 % three bytes are copied for each that is freed.
  uint32_t min_garbage_percent = 25;
  // Bytes read a second while it makes sure that what stays can be read; 0: no
  // limit. The copying itself has none.
  uint64_t read_bytes_per_s = 0;
  // Not owned; may be null. Once true it ends soon, with kUnavailable.
  std::atomic<bool>* stop = nullptr;
};
struct ReclaimReport {
  uint64_t disk_bytes_before = 0;
  uint64_t disk_bytes_after = 0;
  uint64_t read_bytes = 0;  // to make sure
  // Kinds of objects that were left as they are, and why: one of them can't be
  // read, or there is no headroom.
  std::vector<std::string> left;
};
// Gives back what removed objects took on the file system, beside live traffic
// and one kind of objects after the other. Removals alone give back nothing but
// files in which nothing lives any more. Blocks; one at a time on one store.
// Health is not harmed by objects that can't be read.
// REQUIRES: `engine` is of OpenRocksEngine or of ShareRocksEngine.
Result<ReclaimReport> ReclaimRocksSpace(const Engine& engine,
                                        const ReclaimOptions& options);

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_ENGINE_H_
