// What a check of a store found: of fsck, and of a scrub.
#ifndef REPRISE_STORE_CHECK_REPORT_H_
#define REPRISE_STORE_CHECK_REPORT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "codec/tier.h"

namespace reprise {

struct FsckFinding {
  std::string_view kind;  // "frame", "rendition", "segment", "commit", ...
  std::string what;       // the check that failed, with both numbers
  std::string session;    // the first session it touches; empty: none
  uint64_t recompute_from_token = 0;  // of that session
  bool is_set_aside = false;          // docs/format/records.md, section 9
};

// A session that can't be restored as it was saved.
struct TouchedSession {
  std::string session;
  uint64_t tokens = 0;
  uint64_t recompute_from_token = 0;
  Tier left = Tier::kTokens;  // what there is from that token on
  // False: only an earlier state of it is touched.
  bool is_head = true;
};

struct FsckReport {
  uint64_t sessions = 0;
  uint64_t commits = 0;
  uint64_t segments = 0;  // and tails
  uint64_t renditions = 0;
  uint64_t frames = 0;
  uint64_t frame_bytes = 0;
  uint64_t bytes_read = 0;    // of everything
  uint64_t unreferenced = 0;  // no damage: the collector's work
  uint64_t set_aside = 0;     // by this run
  // At most kMostFindings, in full numbers below.
  std::vector<FsckFinding> findings;
  std::vector<TouchedSession> touched;
  uint64_t finding_count = 0;
  uint64_t touched_count = 0;

  static constexpr size_t kMostFindings = 10'000;
};

}  // namespace reprise

#endif  // REPRISE_STORE_CHECK_REPORT_H_
