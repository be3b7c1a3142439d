// Where a compaction gets its tasks from.
#ifndef REPRISE_TOOLS_COMPACTION_WISH_SOURCE_H_
#define REPRISE_TOOLS_COMPACTION_WISH_SOURCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "tools/compaction/segment_sinker.h"

namespace reprise {

// In one order each time, so that a later one can go on where another stopped.
// A task may come again: what is done already is found done. Not thread-safe.
class WishSource {
 public:
  virtual ~WishSource() = default;

  // A bounded piece of getting ready; to be called until ready().
  virtual Status Prepare() = 0;
  virtual bool ready() const = 0;
  // About how many tasks there are, from the very start. REQUIRES: ready().
  virtual uint64_t total() const = 0;
  // Leaves out what came before this cursor of an earlier source; empty:
  // nothing. To be called before Next.
  virtual void SkipTo(const std::string& cursor) = 0;

  struct Batch {
    std::vector<SinkTask> tasks;
    // All up to here is done once these tasks are. At most 1,024 bytes.
    std::string cursor;
    // How many tasks, of these and of those before, come again after it.
    uint64_t beyond_cursor = 0;
    bool is_last = false;
  };
  // At least about `limit` tasks, unless it is the last. After an error it may
  // be called again, and nothing is left out. REQUIRES: ready().
  virtual Result<Batch> Next(uint32_t limit) = 0;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_WISH_SOURCE_H_
