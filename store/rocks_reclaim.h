// Gives space of removed objects back to the file system. Inside of the RocksDB
// engine; others use ReclaimRocksSpace of store/rocks_engine.h.
//
// RocksDB deletes a blob file by itself once nothing in it lives. The others it
// rewrites when it is told to, by a compaction that copies what lives. A blob
// that can't be read would end that compaction with an error after which
// RocksDB takes no writes: so all blobs of a family are read before, and a
// family with a damaged one is left alone.
#ifndef REPRISE_STORE_ROCKS_RECLAIM_H_
#define REPRISE_STORE_ROCKS_RECLAIM_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "store/engine.h"
#include "store/rocks_engine.h"
#include "store/rocks_store.h"

namespace reprise {

// For one run. Not thread-safe.
class RocksReclaimer {
 public:
  // The store is not owned and outlives this.
  RocksReclaimer(RocksStore* store, const ReclaimOptions& options)
      : store_(store), options_(options) {}

  Result<ReclaimReport> Run();

 private:
  struct BlobBytes {
    uint64_t total = 0;
    uint64_t garbage = 0;
  };

  Status ReclaimFamily(ObjectSpace space);
  bool HasRemovals(ObjectSpace space) const;
  BlobBytes BlobsOf(ObjectSpace space) const;
  // Reads every value of the family, a page at a time. kDataLoss when one
  // can't be read.
  Status ReadAll(ObjectSpace space);
  Status ReadPage(ObjectSpace space, std::string* cursor, bool* end);
  // `collect_age` 0: without blobs; else what lives in the oldest such share of
  // the blob files is copied.
  Status Compact(ObjectSpace space, double collect_age);
  Status CheckStop() const;

  RocksStore* const store_;
  const ReclaimOptions options_;
  ReclaimReport report_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_RECLAIM_H_
