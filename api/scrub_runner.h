// The daemon's scrub: one at a time, on the thread of its jobs, in steps
// between the others. One that was cut off by a restart goes on by itself.
#ifndef REPRISE_API_SCRUB_RUNNER_H_
#define REPRISE_API_SCRUB_RUNNER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/job_state.h"
#include "base/clock.h"
#include "base/status.h"
#include "store/catalogue.h"
#include "store/scrub_job.h"

namespace reprise {

// As wire::CompactAction, by value; docs/format/wire.md says what each does.
enum class ScrubAction : uint8_t {
  kRun = 1,
  kStatus = 3,
  kPause = 4,
  kResume = 5,
  kCancel = 6,
};

struct ScrubRequest {
  ScrubAction action = ScrubAction::kRun;
  uint64_t bytes_per_s = 0;  // 0: as it was, or the default
};

class ScrubRunner {
 public:
  // Neither is owned; both outlive this.
  ScrubRunner(Catalogue* catalogue, const Clock* clock)
      : catalogue_(catalogue), clock_(clock) {}

  // Thread-safe. A run that is asked for while one is under way is that one, at
  // the new rate if it has one. kInvalidArgument for the rate;
  // kResourceExhausted when too many wait already.
  Result<JobHandle> Start(const ScrubRequest& request);

  // The rest is for one thread. Does what is due; false when nothing is under
  // way.
  bool Step();
  // Monotonic. REQUIRES: the last Step answered true.
  int64_t wait_until_ms() const;
  // Leaves it to be gone on with; those who wait are answered kUnavailable.
  void Stop();

 private:
  static constexpr size_t kMostWaiting = 16;

  void Begin(std::unique_lock<std::mutex>* lock);
  // With mutex_ held.
  void Tell();
  void Finish(const Status& status);

  Catalogue* const catalogue_;
  const Clock* const clock_;

  mutable std::mutex mutex_;
  // All guarded by mutex_; but what the scrub itself does, its thread alone.
  std::unique_ptr<ScrubJob> job_;
  bool is_wanted_ = true;  // at first: what was cut off
  ScrubOptions options_{.only_go_on = true};
  JobPhase asked_ = JobPhase::kRunning;  // of it, once it has begun
  std::vector<JobHandle> waiting_;
  std::string json_;  // of the one under way
};

}  // namespace reprise

#endif  // REPRISE_API_SCRUB_RUNNER_H_
