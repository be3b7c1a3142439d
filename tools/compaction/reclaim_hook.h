// How a run gives space back where the store is a RocksDB directory.
#ifndef REPRISE_TOOLS_COMPACTION_RECLAIM_HOOK_H_
#define REPRISE_TOOLS_COMPACTION_RECLAIM_HOOK_H_

#include <cstdint>
#include <string>

#include "store/engine.h"
#include "store/watermarks.h"
#include "tools/compaction/compaction_run.h"

namespace reprise {

struct ReclaimPlace {
  std::string dir;
  // With a limit, what is copied meanwhile stays below it where that is
  // possible: at least kMinHeadroomPercent of it, and 1 GiB, may be taken.
  Watermarks marks;
  uint64_t bytes_per_s = 0;  // of the reading before; 0: no limit
};
// Copies no more than the file system has room for.
// REQUIRES: `engine` is of OpenRocksEngine. It is not owned and outlives what
// is returned.
decltype(RunHooks::reclaim) MakeReclaimHook(Engine* engine,
                                            const ReclaimPlace& place);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_RECLAIM_HOOK_H_
