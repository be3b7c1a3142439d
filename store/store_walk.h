// A walk over everything in a store: each object and record read and verified,
// each reference followed. What fsck and a scrub have in common.
//
// Space by space in order of keys, so that memory is bounded, whatever the
// store holds, and a walk goes on from a cursor. Sessions come last: they say
// what of the damage matters to whom. What a record names it names until the
// record is changed, so whatever looks wrong is looked at again, record first,
// before it counts: saves, removals and collections may run beside it.
#ifndef REPRISE_STORE_STORE_WALK_H_
#define REPRISE_STORE_STORE_WALK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/check_report.h"

namespace reprise {

struct WalkOptions {
  // Else frames need only be there, and profiles aren't looked at.
  bool read_frames = true;
  // Sets aside what is damaged or missing: docs/format/records.md, section 9.
  bool set_aside = false;
  // At the end, what nobody refers to; takes 8 bytes a segment.
  bool count_unreferenced = false;
  // What was set aside since then was found by this walk, before it was cut
  // off.
  int64_t since_ms = INT64_MAX;
};

// Not thread-safe.
class StoreWalk {
 public:
  virtual ~StoreWalk() = default;
  // Reads about `bytes`; at least one record with its frames, and at most about
  // 32 MiB at a time. An error is none of what is stored: the same step may be
  // tried again.
  virtual Status Step(uint64_t bytes) = 0;
  virtual bool done() const = 0;
  // Up to where all is checked.
  virtual std::string cursor() const = 0;
  // REQUIRES: before the first Step. kInvalidArgument for what is no cursor.
  // One among sessions leads to the first of them: all are to be named.
  virtual Status SkipTo(std::string_view cursor) = 0;
  // To go on counting from, after SkipTo; findings are not looked at.
  virtual void AddCounts(const FsckReport& earlier) = 0;
  virtual const FsckReport& report() const = 0;
};

std::unique_ptr<StoreWalk> MakeStoreWalk(Catalogue* catalogue,
                                         const WalkOptions& options);

}  // namespace reprise

#endif  // REPRISE_STORE_STORE_WALK_H_
