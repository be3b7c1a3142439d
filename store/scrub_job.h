// A scrub from beginning to end, in steps, at a given rate: everything in the
// store is read and verified beside live traffic, what fails is set aside, and
// the sessions that it touches are named. Where it stands is in a record
// (store/job_record.h), so that it goes on after a restart, and two don't run
// at once. The same for a store directory and for a daemon's.
#ifndef REPRISE_STORE_SCRUB_JOB_H_
#define REPRISE_STORE_SCRUB_JOB_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/check_report.h"
#include "store/job_keeper.h"
#include "store/job_record.h"
#include "store/store_walk.h"

namespace reprise {

inline constexpr std::string_view kScrubJob = "scrub";
// A few hours for a terabyte, and little of what a disk gives.
inline constexpr uint64_t kDefaultScrubRate = 32ull << 20;
inline constexpr uint64_t kLeastScrubRate = 64ull << 10;

struct ScrubOptions {
  // Bytes a second; 0: that of the one that goes on, or the default. At least
  // kLeastScrubRate.
  uint64_t bytes_per_s = 0;
  std::string holder;      // who works on it, for others to read
  std::string started_by;  // of a new one
  // Nobody else has the store open: a record that says "running" is of a scrub
  // that was cut off, however young it is.
  bool has_store_alone = false;
  // Where it must not begin anew: kNotFound when none is under way.
  bool only_go_on = false;
};

// What its record says of it.
struct ScrubStatus {
  JobRecord record;
  uint64_t bytes_per_s = 0;
  FsckReport counts;  // without findings
};

class ScrubJob {
 public:
  // A new one, or the one that was paused, cut off or failed, from where it
  // was. `catalogue` is not owned and outlives this. kFailedPrecondition, with
  // who holds it, when it runs already; kInvalidArgument for the rate.
  static Result<std::unique_ptr<ScrubJob>> Start(Catalogue* catalogue,
                                                 const ScrubOptions& options);

  // A bounded piece of work, or nothing while it rests: then `wait_until_ms()`
  // (monotonic) says when to come back. Not thread-safe. An error ends it: a
  // later one goes on there.
  Status Step();
  int64_t wait_until_ms() const { return wait_until_ns_ / 1'000'000; }
  bool ended() const { return ended_; }
  // Of this run, and of those before it as far as they are counted.
  const FsckReport& report() const { return walk_->report(); }
  const JobRecord& record() const { return record_; }
  uint64_t bytes_per_s() const { return bytes_per_s_; }

  // Writes down where it is, still running: who stops now is gone on with at
  // once. Not thread-safe.
  Status Checkpoint() { return Write(JobPhase::kRunning); }

  // Thread-safe. The next step ends it.
  void Pause() { asked_ = JobPhase::kPaused; }
  void Cancel() { asked_ = JobPhase::kCancelled; }
  // Thread-safe. REQUIRES: at least kLeastScrubRate.
  void SetRate(uint64_t bytes_per_s) { bytes_per_s_ = bytes_per_s; }

 private:
  ScrubJob(Catalogue* catalogue, const ScrubOptions& options)
      : catalogue_(catalogue),
        options_(options),
        keeper_(catalogue->engine(), catalogue->clock(), kScrubJob) {}

  Status Open();
  Status Write(JobPhase phase, std::string reason = {});
  Status Fail(const Status& status);
  void Rest(uint64_t bytes, int64_t began_ns);

  Catalogue* const catalogue_;
  const ScrubOptions options_;
  std::unique_ptr<StoreWalk> walk_;
  JobRecord record_;
  JobKeeper keeper_;
  std::atomic<uint64_t> bytes_per_s_{kDefaultScrubRate};
  std::atomic<JobPhase> asked_{JobPhase::kRunning};
  int64_t wait_until_ns_ = 0;
  bool ended_ = false;
};

// What is recorded of the last one; nothing when there never was one.
Result<std::optional<ScrubStatus>> ReadScrub(HeadStore* heads);

}  // namespace reprise

#endif  // REPRISE_STORE_SCRUB_JOB_H_
