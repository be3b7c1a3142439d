// A run of compaction from beginning to end, as a daemon and `reprise compact
// run` make it: sessions whose TTL is over are removed, the others sink as far
// as their policies ask for; where more than the high watermark is taken then,
// sessions sink before their time until it is the low one; and what that frees
// is given back to the file system.
#ifndef REPRISE_TOOLS_COMPACTION_COMPACTION_RUN_H_
#define REPRISE_TOOLS_COMPACTION_COMPACTION_RUN_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"
#include "store/watermarks.h"
#include "tools/compaction/compaction_job.h"
#include "tools/compaction/value.h"
#include "tools/compaction/wish_source.h"

namespace reprise {

enum class RunStage : uint8_t {
  kExpire,    // sessions whose TTL is over
  kProfiles,  // that tiers lack
  kPolicy,    // what policies ask for
  kCollect,   // garbage
  kReclaim,   // space on the file system
  kSpace,     // before their time
  kEnded,
};
// "expire", "policy", ...
std::string_view RunStageName(RunStage stage);

struct RunProgress {
  RunStage stage = RunStage::kExpire;
  // Of its jobs together; the record is that of the last one.
  CompactionProgress jobs;
  uint64_t sessions_removed = 0;
  uint64_t profiles_made = 0;
  // Why a profile that a tier lacks was not made, each for people.
  std::vector<std::string> profiles_wait;
  // By what counts against the watermarks.
  uint64_t used_bytes_before = 0;
  uint64_t used_bytes_after = 0;  // as last looked at
  uint64_t target_bytes = 0;      // the low watermark; 0: none
  bool is_over = false;           // the high watermark, in the end
  uint32_t space_rounds = 0;
  // Of the last time that space was given back: what was left, and why.
  std::vector<std::string> left;
  std::string failure;   // why it could not come to the end
  int64_t ended_ms = 0;  // wall clock
};
// As CompactionJson, and more: "stage", "sessions_removed", ...
std::string RunJson(const RunProgress& progress);

// What a run asks of whoever has the store open. `stop` becomes true when the
// run is to end: then they end soon, with kUnavailable.
struct RunHooks {
  // Collects garbage, and returns when that is over.
  std::function<Status(std::atomic<bool>* stop)> collect;
  // Gives space back (ReclaimRocksSpace) when at least so many percent of what
  // is taken are to be had; adds to `left` what it left as it was. Null:
  // nothing to give back to.
  std::function<Status(std::atomic<bool>* stop, uint32_t min_garbage_percent,
                       std::vector<std::string>* left)>
      reclaim;
  // Now and then, on the run's thread. May be null.
  std::function<void(const RunProgress&)> on_progress;
};

struct RunOptions {
  CompactionOptions job;
  // Without a limit nothing sinks before its time. The two watermarks may be
  // the same.
  Watermarks marks;
  RestoreRates rates;
  // Of a trainer of profiles that tiers lack; 0: none are made.
  uint64_t profile_memory_bytes = 0;
  // TTLs and policies go by a time so much later, as if nobody had used
  // anything since: a rehearsal. No record holds it.
  int64_t idle_plus_ms = 0;
};
// Marks for "until no more than so much is taken".
Watermarks UntilBelow(uint64_t bytes);

class CompactionRun {
 public:
  // Surveys and sinks for space at most so often: what a tier frees is an
  // estimate before it is encoded.
  static constexpr uint32_t kMaxSpaceRounds = 4;

  // The catalogue is not owned and outlives this.
  CompactionRun(Catalogue* catalogue, PolicyRules rules,
                const RunOptions& options, RunHooks hooks);

  // All of it; once. Not OK when it could not be done: the jobs' records say
  // how far it came, and a later run goes on there. OK also when it was asked
  // to end. kFailedPrecondition when a job runs already, or the clock jumped.
  Status Run();

  // The rest is thread-safe. Run ends within a step, and the job under way is
  // recorded as paused or cancelled; one that has yet to begin begins for that.
  void Pause() { Ask(Asked::kPause); }
  void Cancel() { Ask(Asked::kCancel); }
  // The job under way is recorded as cut off: a later run goes on with it.
  void Interrupt() { Ask(Asked::kInterrupt); }
  RunProgress Progress() const;

 private:
  enum class Asked : uint8_t { kNothing, kPause, kCancel, kInterrupt };

  Status Expire();
  Status MakeProfiles();
  Status SinkByPolicy();
  Status SinkForSpace(bool* is_over);
  Status RunJob(WishSource* source);
  Status GiveBack();
  bool IsOver(uint64_t used_bytes) const;
  uint64_t LookAtUsed();
  void Enter(RunStage stage);
  void Tell();
  void Ask(Asked asked);
  static void Apply(Asked asked, CompactionJob* job);

  Catalogue* const catalogue_;
  const PolicyRules rules_;
  const RunOptions options_;
  const RunHooks hooks_;
  CompactionProgress ended_jobs_;
  // Objects became garbage since it was collected last.
  bool has_garbage_ = false;
  bool is_given_back_ = false;  // since then

  std::atomic<bool> stop_ = false;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Asked asked_ = Asked::kNothing;
  CompactionJob* job_ = nullptr;
  RunProgress progress_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_COMPACTION_RUN_H_
