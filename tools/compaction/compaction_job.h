// A compaction from beginning to end, in steps: the same for a store directory
// and for a daemon's. What it did so far is in a record (store/job_record.h),
// so that it goes on after a pause or a crash, and two don't run at once.
#ifndef REPRISE_TOOLS_COMPACTION_COMPACTION_JOB_H_
#define REPRISE_TOOLS_COMPACTION_COMPACTION_JOB_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/job_keeper.h"
#include "store/job_record.h"
#include "tools/compaction/segment_sinker.h"
#include "tools/compaction/wish_source.h"

namespace reprise {

inline constexpr std::string_view kCompactJob = "compact";

// The counters of its record, in their order.
struct CompactionTotals {
  std::array<uint64_t, kSinkResultCount> segments{};  // by SinkResult
  uint64_t bytes_before = 0;  // of frames that segments named, each by itself
  uint64_t bytes_after = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t raw_bytes = 0;  // that were encoded

  CompactionTotals& operator+=(const CompactionTotals& more);
};

struct CompactionProgress {
  JobRecord record;
  CompactionTotals totals;
  bool preparing = false;  // the mark pass is not over: total is not known
  // Of this run: reasons why segments keep what they have, and how many. At
  // most kMaxReasons.
  // The tier is where they sank to instead; exact: nowhere.
  std::map<std::pair<std::string, Tier>, uint64_t> reasons;
  double worst_error = 0;  // relative, of this run

  static constexpr size_t kMaxReasons = 50;
};
// {"phase": ..., "segments": {"encoded": ...}, ...}
std::string CompactionJson(const CompactionProgress& progress);

struct CompactionOptions {
  SinkerOptions sinker;
  uint32_t step_tasks = 64;
  std::string holder;      // who works on it, for others to read
  std::string started_by;  // of a new one
  // How it was asked to be done, for whoever goes on with it: FormatRunRequest.
  // Its source and these options are made by that already.
  std::string request;
  // Nobody else has the store open: a record that says "running" is of a job
  // that was cut off, however young it is.
  bool has_store_alone = false;
};

class CompactionJob {
 public:
  // A new one, or the one that was paused, cut off or failed, from where it
  // was. Neither catalogue nor source is owned; both outlive this.
  // kFailedPrecondition, with who holds it, when it runs already; also when the
  // clock jumped (store/clock_guard.h).
  static Result<std::unique_ptr<CompactionJob>> Start(
      Catalogue* catalogue, WishSource* source,
      const CompactionOptions& options);

  // A bounded piece of work; not thread-safe. An error ends it: what was done
  // is recorded where the store lets it, and a later job goes on there.
  // kFailedPrecondition when somebody else goes on with it.
  Status Step();
  // Done, paused, cancelled or failed: Step does nothing any more.
  bool ended() const { return ended_; }

  // The rest is thread-safe. The step under way ends soon; the record says so
  // once it has.
  void Pause() { Ask(JobPhase::kPaused); }
  void Cancel() { Ask(JobPhase::kCancelled); }
  // The same, but what is recorded stays "running", as of a job that was cut
  // off: whoever has the store next goes on with it without being asked.
  void Interrupt();
  CompactionProgress Progress() const;

 private:
  CompactionJob(Catalogue* catalogue, WishSource* source,
                const CompactionOptions& options);

  Status Open();
  Status PrepareStep();
  Status SinkStep();
  // Sinks on another thread, and writes heartbeats meanwhile.
  Status SinkAll(const std::vector<SinkTask>& tasks,
                 std::vector<SinkReport>* reports);
  bool HeartbeatIsDue() const;
  void Add(const std::vector<SinkReport>& reports);
  void Ask(JobPhase phase);
  // Writes the record; ends the job when `phase` is not kRunning.
  Status Write(JobPhase phase, std::string reason = {});
  Status Fail(const Status& status);
  // What Pause, Cancel or Interrupt asked for.
  bool is_asked() const {
    return is_interrupted_ || asked_ != JobPhase::kRunning;
  }
  Status EndAsAsked();

  Catalogue* const catalogue_;
  WishSource* const source_;
  const CompactionOptions options_;
  SegmentSinker sinker_;
  JobKeeper keeper_;
  uint64_t done_at_cursor_ = 0;  // what is recorded as done
  bool is_prepared_ = false;
  bool ended_ = false;
  std::atomic<JobPhase> asked_{JobPhase::kRunning};
  std::atomic<bool> is_interrupted_ = false;

  mutable std::mutex mutex_;
  CompactionProgress progress_;  // guarded by mutex_
};

// What is recorded of the last one; nothing when there never was one.
Result<std::optional<CompactionProgress>> ReadCompaction(HeadStore* heads);

// For a job that nobody works on: changes what is recorded. kNotFound without a
// job that could be paused or cancelled; kFailedPrecondition, with who holds
// it, when one runs, as told by its heartbeat unless `has_store_alone`.
Status PauseRecorded(Catalogue* catalogue, bool has_store_alone);
Status CancelRecorded(Catalogue* catalogue, bool has_store_alone);

// "pid 4711 (reprise)".
std::string HolderName(std::string_view program);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_COMPACTION_JOB_H_
