// How a daemon is asked for compactions. They decode and encode, so this folder
// can't run them: the daemon's program puts in what does (tools/compaction/).
// Plain values and an interface.
#ifndef REPRISE_API_COMPACTION_CONTROL_H_
#define REPRISE_API_COMPACTION_CONTROL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/jobs.h"
#include "base/status.h"

namespace reprise {

// As wire::CompactAction, by value; docs/format/wire.md says what each does.
enum class CompactionAction : uint8_t {
  kRun = 1,
  kPlan = 2,
  kStatus = 3,
  kPause = 4,
  kResume = 5,
  kCancel = 6,
  kConfirmClock = 7,
};

// What is not set, 0 or empty stands for what the daemon is configured to.
struct CompactionRequest {
  CompactionAction action = CompactionAction::kRun;
  // --- Of a run. ---
  std::optional<uint64_t> bytes_per_s;  // read and written; 0: no limit
  uint32_t threads = 0;
  uint64_t until_below_bytes = 0;
  // --- Of a run and of a plan; texts of others, not checked yet. ---
  std::string policy;
  std::vector<std::string> ladders;
  // --- Of a plan. ---
  int64_t at_ms = 0;
  int64_t idle_plus_ms = 0;
  uint64_t encode_bytes_per_s = 0;
};

// Thread-safe.
class CompactionControl {
 public:
  virtual ~CompactionControl() = default;

  // Answers soon; the job ends when what was asked for is done, with a report
  // as JSON. Nothing of it runs on the caller's thread but short work.
  // kInvalidArgument for texts that are no policy or ladder; kNotFound when
  // there is nothing to pause, cancel or go on with; kFailedPrecondition for a
  // second run, and while the clock is in doubt; kUnavailable once it stops.
  virtual Result<JobHandle> Start(const CompactionRequest& request) = 0;
};

}  // namespace reprise

#endif  // REPRISE_API_COMPACTION_CONTROL_H_
