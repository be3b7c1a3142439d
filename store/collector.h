// Garbage collection by mark and sweep, in small steps, beside live traffic,
// and correct with several daemons on one store.
//
// A commit touches everything that it refers to and its parent's head does
// not reach, before the head swings, at the epoch it read when it began, and
// never swings after max_commit_ms. A collection
//   1. raises the epoch to E and waits until commits begun before it are over;
//   2. marks what roots reach: heads, recent commits, leases, and commits put
//      or touched since the epoch began (what fork and rewind move to);
//   3. condemns what is stored, is not marked and was last touched before E;
//   4. waits once more, marks again, and removes those of the condemned that
//      are still unmarked and that nobody touched at E or later.
// Correctness rests on ObjectStore::Touch and RemoveIfUntouched, and for
// rendition records on their versions. Models and profiles are never collected;
// nothing is in a domain of which a commit can't be read.
#ifndef REPRISE_STORE_COLLECTOR_H_
#define REPRISE_STORE_COLLECTOR_H_

#include <cstdint>
#include <memory>

#include "base/status.h"
#include "store/catalogue.h"

namespace reprise {

// How long a collection waits for commits that take `max_commit_ms` at most:
// they look at the clock right before they write, and a write may stall.
constexpr int64_t CollectorWaitMs(int64_t max_commit_ms) {
  return max_commit_ms + 10'000;
}

struct CollectorOptions {
  // Objects looked at by one Step.
  uint32_t step_objects = 1000;
  // Longer than CatalogueOptions::max_commit_ms.
  int64_t wait_ms = CollectorWaitMs(60'000);
  // Bounds the memory of one collection, about 120 bytes each; what is beyond
  // is left to the next one.
  uint64_t max_condemned = 1'000'000;
};

struct CollectorReport {
  uint64_t marked = 0;
  uint64_t condemned = 0;
  uint64_t removed = 0;
  uint64_t removed_bytes = 0;
  uint64_t expired_leases = 0;
  // Domains left alone, because what their sessions refer to can't be read.
  uint64_t kept_domains = 0;
};

// One collection. Not thread-safe; the catalogue that it works on is used by
// others meanwhile.
class Collector {
 public:
  virtual ~Collector() = default;

  enum class Phase : uint8_t {
    kBegin,
    kWaitFirst,
    kMarkFirst,
    kCondemn,
    kWaitSecond,
    kMarkSecond,
    kSweep,
    kDone,
  };
  virtual Phase phase() const = 0;
  // Does a bounded piece of work, or nothing while it waits: then
  // `wait_until_ms()` (monotonic) says when to come back. After an error the
  // same step may be tried again. kDataLoss when a session's record is
  // damaged: what is garbage can't be told then, and nothing is removed.
  virtual Status Step() = 0;
  virtual int64_t wait_until_ms() const = 0;
  virtual const CollectorReport& report() const = 0;
};

std::unique_ptr<Collector> MakeCollector(Catalogue* catalogue,
                                         const CollectorOptions& options);

}  // namespace reprise

#endif  // REPRISE_STORE_COLLECTOR_H_
