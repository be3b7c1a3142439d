// Checks a whole store: every record, reference and, if asked, every frame.
#ifndef REPRISE_STORE_FSCK_H_
#define REPRISE_STORE_FSCK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"

namespace reprise {

struct FsckFinding {
  std::string what;     // the check that failed, with both numbers
  std::string session;  // the first session it touches; empty: none
  uint64_t recompute_from_token = 0;  // of that session
};

struct FsckReport {
  uint64_t sessions = 0;
  uint64_t commits = 0;
  uint64_t segments = 0;
  uint64_t renditions = 0;
  uint64_t frames = 0;
  uint64_t frame_bytes = 0;
  uint64_t unreferenced = 0;  // no damage: the collector's work
  std::vector<FsckFinding> findings;
};

struct FsckOptions {
  bool read_frames = true;
  // Called now and then with (frames done, frames known so far); may be null.
  std::function<void(uint64_t, uint64_t)> progress;
  // Asked before each batch of segments; when it answers true the check ends
  // with kUnavailable. May be null.
  std::function<bool()> stop;
};

// Not OK only when the store can't be read at all.
Result<FsckReport> Fsck(Catalogue* catalogue, const FsckOptions& options);

}  // namespace reprise

#endif  // REPRISE_STORE_FSCK_H_
