// Compactions of a daemon: by themselves at an interval and when space runs
// short, and on request. On a thread of their own with little priority, beside
// live traffic, collections and checks.
#ifndef REPRISE_TOOLS_COMPACTION_DAEMON_COMPACTION_H_
#define REPRISE_TOOLS_COMPACTION_DAEMON_COMPACTION_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "api/compaction_control.h"
#include "api/compaction_figures.h"
#include "api/jobs.h"
#include "base/duration.h"
#include "base/status.h"
#include "store/catalogue.h"
#include "store/policy_rules.h"
#include "store/watermarks.h"
#include "tools/compaction/compaction_run.h"

namespace reprise {

struct DaemonCompactionOptions {
  PolicyRules rules;
  Watermarks marks;
  // Between the end of a run and the next one; 0: only on request, also when
  // space runs short.
  int64_t interval_ms = kHourMs;
  // How often it looks at the clock and at what is taken.
  int64_t look_ms = kMinuteMs;
  // After a run that could not get below the high watermark the next one for
  // space waits so long: what was used too lately to sink is idle then.
  int64_t short_retry_ms = 10 * kMinuteMs;
  uint64_t bytes_per_s = 64ull << 20;  // read and written; 0: no limit
  uint32_t threads = 1;
  // As of RunOptions.
  uint64_t profile_memory_bytes = 0;
  // Tasks between two looks at whether it is to end, and two records.
  uint32_t step_tasks = 64;
  // Nobody else has the store open: what was cut off is gone on with at once.
  bool has_store_alone = true;
  std::string program = "reprised";
  // As of RunHooks.
  decltype(RunHooks::reclaim) reclaim;
};

// Thread-safe.
class DaemonCompaction final : public CompactionControl {
 public:
  // Neither is owned; both outlive this. A run that was cut off is gone on with
  // at once.
  DaemonCompaction(Catalogue* catalogue, Jobs* jobs,
                   DaemonCompactionOptions options);
  // As Stop, and waits until the run under way has ended.
  ~DaemonCompaction() override;

  Result<JobHandle> Start(const CompactionRequest& request) override;
  // Lets nothing new begin. The run under way ends within a step, and is gone
  // on with by the next daemon; those who wait for it get kUnavailable.
  void Stop();
  CompactionFigures Figures() const;

 private:
  // A run, and who waits for its end.
  struct Running {
    std::unique_ptr<CompactionRun> run;
    std::string started_by;
    std::vector<JobHandle> waiting;
  };
  struct Sums {
    CompactionTotals totals;
    uint64_t sessions_removed = 0;
  };

  // --- Requests. REQUIRES: mutex_ is held. ---
  Result<JobHandle> StartRun(const CompactionRequest& request);
  Result<JobHandle> StartPlan(const CompactionRequest& request);
  Result<JobHandle> EndRun(CompactionAction action);
  Result<JobHandle> ConfirmTheClock();
  // kInvalidArgument for a request that can't be followed.
  Result<PolicyRules> RulesOf(const CompactionRequest& request) const;
  Status CheckTheClock();
  // kInvalidArgument for a request that no record holds.
  Result<std::unique_ptr<Running>> MakeRun(const CompactionRequest& request,
                                           PolicyRules rules,
                                           std::string started_by);
  // The run under way, else the last that ended here, else what is recorded.
  Result<std::string> ReportJson();

  // --- The thread. Those with a lock have mutex_ held by it, and release it
  // --- while they work.
  void Loop();
  void PlanFirstRun();
  void Look(std::unique_lock<std::mutex>* lock);
  // How the recorded run was asked to be done; nothing of it where that can't
  // be followed any more, which is logged.
  CompactionRequest RecordedRequest() const;
  // Empty: nothing is to be done now.
  std::string WhyNow(bool is_over) const;
  void RunCurrent(std::unique_lock<std::mutex>* lock);
  void EndCurrent(const Status& status);
  Status Collect(std::atomic<bool>* stop);

  Catalogue* const catalogue_;
  Jobs* const jobs_;
  const DaemonCompactionOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopped_ = false;  // written with mutex_ held
  // Guarded by mutex_.
  std::unique_ptr<Running> current_;
  bool is_cut_off_ = false;  // what is recorded, and nobody goes on with
  bool is_paused_ = false;
  bool is_waiting_for_clock_ = false;
  int64_t next_look_ms_ = 0;
  int64_t next_run_ms_ = 0;
  int64_t next_short_run_ms_ = 0;
  Sums sums_;
  uint64_t runs_ = 0;
  uint64_t failed_runs_ = 0;
  int64_t last_end_ms_ = 0;
  std::string last_run_json_;
  std::atomic<bool> is_planning_ = false;
  std::thread plan_thread_;
  std::thread thread_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_DAEMON_COMPACTION_H_
