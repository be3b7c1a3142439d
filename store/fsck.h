// Checks a whole store at once: every record, reference and, if asked, every
// frame. On the side of a running daemon, or of one that is stopped.
#ifndef REPRISE_STORE_FSCK_H_
#define REPRISE_STORE_FSCK_H_

#include <cstdint>
#include <functional>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/check_report.h"

namespace reprise {

struct FsckOptions {
  bool read_frames = true;
  // Takes out of the records what names missing or damaged frames, and sets
  // aside what is damaged (docs/format/records.md, section 9). Nothing that can
  // be read goes. Else nothing is changed, and the report says what would be.
  bool repair = false;
  // Called now and then with (frames done, frames known so far); may be null.
  std::function<void(uint64_t, uint64_t)> progress;
  // Asked before each step; when it answers true the check ends with
  // kUnavailable. May be null.
  std::function<bool()> stop;
};

// Not OK only when the store can't be read at all.
Result<FsckReport> Fsck(Catalogue* catalogue, const FsckOptions& options);

}  // namespace reprise

#endif  // REPRISE_STORE_FSCK_H_
