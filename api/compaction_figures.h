// What a daemon tells of its compactions in /metrics and /api/stats.
#ifndef REPRISE_API_COMPACTION_FIGURES_H_
#define REPRISE_API_COMPACTION_FIGURES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace reprise {

// Sums are those since the daemon began, the run under way included.
struct CompactionFigures {
  bool is_running = false;
  bool is_paused = false;             // until somebody resumes it
  bool is_waiting_for_clock = false;  // the clock jumped
  uint64_t runs = 0;                  // that ended, in whatever way
  uint64_t failed_runs = 0;
  int64_t last_end_ms = 0;    // wall clock; 0: none ended yet
  uint64_t bytes_before = 0;  // of frames that were looked at
  uint64_t bytes_after = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t failed_checks = 0;  // segments
  uint64_t sessions_removed = 0;
  std::vector<std::pair<std::string, uint64_t>> segments;  // by result
  std::string last_run_json;  // its report; empty: none
};

}  // namespace reprise

#endif  // REPRISE_API_COMPACTION_FIGURES_H_
