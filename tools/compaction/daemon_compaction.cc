#include "tools/compaction/daemon_compaction.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "store/clock_guard.h"
#include "tools/compaction/plan_report.h"
#include "tools/compaction/run_request.h"
#include "tools/ladder_config.h"

namespace reprise {
namespace {

// Of the threads that decode and encode, and so of those that they make: on
// Linux the value is a thread's own. Live traffic goes first.
constexpr int kNiceness = 10;
// Frames that are synced together. Whoever writes meanwhile waits for it, and
// every fetch writes its lease: many short syncs stand less in its way than few
// long ones.
constexpr uint64_t kBatchBytes = 1 << 20;
// The clock may be moved by hand: look again soon.
constexpr auto kLongestRest = std::chrono::milliseconds(200);

JobHandle Finished(std::string json) {
  auto job = std::make_shared<JobState>();
  job->Finish(Status(), std::move(json));
  return job;
}

Status Stopping() {
  return UnavailableError("compact: the daemon is stopping");
}

bool CanGoOn(const JobRecord& record) {
  return record.phase == JobPhase::kRunning ||
         record.phase == JobPhase::kPaused || record.phase == JobPhase::kFailed;
}

}  // namespace

DaemonCompaction::DaemonCompaction(Catalogue* catalogue, Jobs* jobs,
                                   DaemonCompactionOptions options)
    : catalogue_(catalogue), jobs_(jobs), options_(std::move(options)) {
  PlanFirstRun();
  thread_ = std::thread([this] { Loop(); });
}

DaemonCompaction::~DaemonCompaction() {
  Stop();
  thread_.join();
  if (plan_thread_.joinable()) plan_thread_.join();
}

void DaemonCompaction::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  if (current_ != nullptr) current_->run->Interrupt();
  wake_.notify_all();
}

// --- Requests. ---

Result<JobHandle> DaemonCompaction::Start(const CompactionRequest& request) {
  std::lock_guard lock(mutex_);
  if (stopped_) return Stopping();
  switch (request.action) {
    case CompactionAction::kRun:
      return StartRun(request);
    case CompactionAction::kResume: {
      REPRISE_ASSIGN_OR_RETURN(const auto recorded,
                               ReadCompaction(catalogue_->engine()));
      if (current_ == nullptr && (!recorded || !CanGoOn(recorded->record))) {
        return NotFoundError("compact: no job is under way; `run` begins one");
      }
      return StartRun(Completed(request, RecordedRequest()));
    }
    case CompactionAction::kPlan:
      return StartPlan(request);
    case CompactionAction::kStatus: {
      REPRISE_ASSIGN_OR_RETURN(const std::string text, ReportJson());
      auto report = nlohmann::json::parse(text, nullptr, false);
      report["is_running"] = current_ != nullptr;
      report["waits_for_clock"] = is_waiting_for_clock_;
      return Finished(report.dump());
    }
    case CompactionAction::kPause:
    case CompactionAction::kCancel:
      return EndRun(request.action);
    case CompactionAction::kConfirmClock:
      return ConfirmTheClock();
  }
  return InvalidArgumentError("compact: no such action");
}

Result<PolicyRules> DaemonCompaction::RulesOf(
    const CompactionRequest& request) const {
  constexpr uint32_t kMostThreads = 256;
  if (request.threads > kMostThreads) {
    return InvalidArgumentError("compact: " + std::to_string(request.threads) +
                                " threads, at most " +
                                std::to_string(kMostThreads) + " are allowed");
  }
  PolicyRules rules = options_.rules;
  if (!request.ladders.empty()) {
    REPRISE_ASSIGN_OR_RETURN(rules.ladders,
                             SetLadderTiers(BuiltInLadders(), request.ladders));
  }
  if (!request.policy.empty()) {
    REPRISE_ASSIGN_OR_RETURN(rules.policy, ParsePolicy(request.policy));
  }
  REPRISE_RETURN_IF_ERROR(CheckPolicy(rules, rules.policy));
  return rules;
}

Status DaemonCompaction::CheckTheClock() {
  const auto clock =
      KeepClock(catalogue_->engine(), catalogue_->clock()->WallMs());
  const Status status = clock.ok() ? CheckClock(*clock) : clock.status();
  is_waiting_for_clock_ = !status.ok();
  return status;
}

Result<std::unique_ptr<DaemonCompaction::Running>> DaemonCompaction::MakeRun(
    const CompactionRequest& request, PolicyRules rules,
    std::string started_by) {
  RunOptions options;
  REPRISE_ASSIGN_OR_RETURN(options.job.request, FormatRunRequest(request));
  options.job.sinker.bytes_per_s =
      request.bytes_per_s.value_or(options_.bytes_per_s);
  options.job.sinker.batch_bytes = kBatchBytes;
  options.job.sinker.threads =
      request.threads > 0 ? request.threads : options_.threads;
  options.job.step_tasks = options_.step_tasks;
  options.job.holder = HolderName(options_.program);
  options.job.started_by = started_by;
  options.job.has_store_alone = options_.has_store_alone;
  options.profile_memory_bytes = options_.profile_memory_bytes;
  options.marks = request.until_below_bytes > 0
                      ? UntilBelow(request.until_below_bytes)
                      : options_.marks;
  auto running = std::make_unique<Running>();
  running->started_by = std::move(started_by);
  RunHooks hooks;
  hooks.collect = [this](std::atomic<bool>* stop) { return Collect(stop); };
  hooks.reclaim = options_.reclaim;
  hooks.on_progress = [this](const RunProgress& progress) {
    const CompactionProgress& jobs = progress.jobs;
    const std::string json = RunJson(progress);
    std::lock_guard lock(mutex_);
    for (const JobHandle& job : current_->waiting) {
      job->Update(jobs.record.done, jobs.preparing ? 0 : jobs.record.total,
                  json);
    }
  };
  running->run = std::make_unique<CompactionRun>(catalogue_, std::move(rules),
                                                 options, std::move(hooks));
  return running;
}

Result<JobHandle> DaemonCompaction::StartRun(const CompactionRequest& request) {
  REPRISE_ASSIGN_OR_RETURN(PolicyRules rules, RulesOf(request));
  if (current_ != nullptr) {
    return FailedPreconditionError("compact: a run is under way, begun by " +
                                   current_->started_by);
  }
  REPRISE_RETURN_IF_ERROR(CheckTheClock());
  REPRISE_ASSIGN_OR_RETURN(current_,
                           MakeRun(request, std::move(rules), "request"));
  auto job = std::make_shared<JobState>();
  current_->waiting.push_back(job);
  wake_.notify_all();
  return job;
}

Result<JobHandle> DaemonCompaction::StartPlan(
    const CompactionRequest& request) {
  REPRISE_ASSIGN_OR_RETURN(PolicyRules rules, RulesOf(request));
  if (is_planning_) {
    return ResourceExhaustedError("compact: another plan is worked out");
  }
  if (plan_thread_.joinable()) plan_thread_.join();
  is_planning_ = true;
  auto job = std::make_shared<JobState>();
  plan_thread_ = std::thread([this, job, request, rules = std::move(rules)] {
    PlanQuestion question;
    question.at_ms = request.at_ms;
    question.idle_plus_ms = request.idle_plus_ms;
    question.encode_bytes_per_s = request.encode_bytes_per_s;
    question.progress = [&](uint64_t done, uint64_t total) {
      job->Update(done, total);
      return !stopped_.load();
    };
    const auto report = ReportPlan(catalogue_, rules, question);
    job->Finish(report.status(), report.ok() ? report->dump() : std::string());
    is_planning_ = false;
  });
  return job;
}

Result<JobHandle> DaemonCompaction::EndRun(CompactionAction action) {
  const bool is_pause = action == CompactionAction::kPause;
  if (current_ != nullptr) {
    is_pause ? current_->run->Pause() : current_->run->Cancel();
    auto job = std::make_shared<JobState>();
    current_->waiting.push_back(job);
    return job;
  }
  REPRISE_RETURN_IF_ERROR(
      is_pause ? PauseRecorded(catalogue_, options_.has_store_alone)
               : CancelRecorded(catalogue_, options_.has_store_alone));
  is_paused_ = is_pause;
  is_cut_off_ = false;
  last_run_json_.clear();  // what is recorded says more now
  REPRISE_ASSIGN_OR_RETURN(std::string json, ReportJson());
  return Finished(std::move(json));
}

Result<JobHandle> DaemonCompaction::ConfirmTheClock() {
  Engine* const engine = catalogue_->engine();
  const int64_t now_ms = catalogue_->clock()->WallMs();
  const auto before = ReadClock(engine, now_ms);
  REPRISE_RETURN_IF_ERROR(ConfirmClock(engine, now_ms));
  is_waiting_for_clock_ = false;
  next_look_ms_ = catalogue_->clock()->MonotonicMs();
  wake_.notify_all();
  const nlohmann::json report = {
      {"now_ms", now_ms}, {"before_ms", before.ok() ? before->kept_ms : 0}};
  return Finished(report.dump());
}

Result<std::string> DaemonCompaction::ReportJson() {
  if (current_ != nullptr) return RunJson(current_->run->Progress());
  if (!last_run_json_.empty()) return last_run_json_;
  REPRISE_ASSIGN_OR_RETURN(const auto recorded,
                           ReadCompaction(catalogue_->engine()));
  return recorded ? CompactionJson(*recorded)
                  : std::string(R"({"phase":"none"})");
}

CompactionFigures DaemonCompaction::Figures() const {
  std::lock_guard lock(mutex_);
  Sums sums = sums_;
  if (current_ != nullptr) {
    const RunProgress now = current_->run->Progress();
    sums.totals += now.jobs.totals;
    sums.sessions_removed += now.sessions_removed;
  }
  CompactionFigures figures;
  figures.is_running = current_ != nullptr;
  figures.is_paused = is_paused_;
  figures.is_waiting_for_clock = is_waiting_for_clock_;
  figures.runs = runs_;
  figures.failed_runs = failed_runs_;
  figures.last_end_ms = last_end_ms_;
  const CompactionTotals& totals = sums.totals;
  figures.bytes_before = totals.bytes_before;
  figures.bytes_after = totals.bytes_after;
  figures.bytes_read = totals.bytes_read;
  figures.bytes_written = totals.bytes_written;
  figures.sessions_removed = sums.sessions_removed;
  for (size_t i = 0; i < totals.segments.size(); ++i) {
    const auto result = static_cast<SinkResult>(i);
    // Its turn comes again: not something that became of a segment.
    if (result == SinkResult::kNotDone) continue;
    figures.segments.emplace_back(SinkResultName(result), totals.segments[i]);
  }
  figures.failed_checks =
      totals.segments[static_cast<size_t>(SinkResult::kFailedCheck)];
  figures.last_run_json = last_run_json_;
  return figures;
}

// --- The thread. ---

// A daemon that is restarted more often than the interval still compacts, and
// one that went down in a run goes on with it.
void DaemonCompaction::PlanFirstRun() {
  const Clock& clock = *catalogue_->clock();
  const int64_t now_ms = clock.MonotonicMs();
  next_look_ms_ = now_ms;
  next_short_run_ms_ = now_ms;
  next_run_ms_ = now_ms + options_.interval_ms;
  const auto recorded = ReadCompaction(catalogue_->engine());
  if (!recorded.ok() || !*recorded) return;
  const JobRecord& record = (*recorded)->record;
  is_cut_off_ = record.phase == JobPhase::kRunning;
  is_paused_ = record.phase == JobPhase::kPaused;
  const int64_t since_ms = clock.WallMs() - record.heartbeat_ms;
  next_run_ms_ -= std::clamp<int64_t>(since_ms, 0, options_.interval_ms);
}

void DaemonCompaction::Loop() {
  (void)setpriority(PRIO_PROCESS, 0, kNiceness);
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (current_ != nullptr) {
      RunCurrent(&lock);
    } else if (catalogue_->clock()->MonotonicMs() >= next_look_ms_) {
      Look(&lock);
    } else {
      wake_.wait_for(lock, kLongestRest);
    }
  }
  // One that was asked for and did not begin.
  if (current_ != nullptr) EndCurrent(Stopping());
}

void DaemonCompaction::Look(std::unique_lock<std::mutex>* lock) {
  next_look_ms_ = catalogue_->clock()->MonotonicMs() + options_.look_ms;
  lock->unlock();
  const bool is_over =
      options_.marks.max_bytes > 0 &&
      UsedBytes(catalogue_->engine()->GetStats()) > options_.marks.high_bytes();
  lock->lock();
  const Status clock = CheckTheClock();
  if (!clock.ok() || stopped_ || current_ != nullptr) return;
  const std::string why = WhyNow(is_over);
  if (why.empty()) return;
  REPRISE_LOG_INFO("compaction begins: {}", why);
  const CompactionRequest request =
      is_cut_off_ ? RecordedRequest() : CompactionRequest();
  Result<PolicyRules> rules = RulesOf(request);
  if (!rules.ok()) rules = options_.rules;  // RecordedRequest checked its own
  auto run = MakeRun(request, *std::move(rules), why);
  if (!run.ok()) {
    REPRISE_LOG_WARN("compaction does not begin: {}", run.status().ToString());
    is_cut_off_ = false;
    return;
  }
  current_ = *std::move(run);
}

CompactionRequest DaemonCompaction::RecordedRequest() const {
  const auto recorded = ReadCompaction(catalogue_->engine());
  if (!recorded.ok() || !*recorded) return {};
  const Result<CompactionRequest> request =
      ParseRunRequest((*recorded)->record.options);
  // A ladder of the policy may be configured no more.
  const Status status =
      request.ok() ? RulesOf(*request).status() : request.status();
  if (status.ok()) return *request;
  REPRISE_LOG_WARN(
      "compaction goes on by the configuration, not as it was asked for: {}",
      status.ToString());
  return {};
}

std::string DaemonCompaction::WhyNow(bool is_over) const {
  // What an operator paused waits for an operator.
  if (is_paused_) return {};
  if (is_cut_off_) return "restart";
  if (options_.interval_ms == 0) return {};
  const int64_t now_ms = catalogue_->clock()->MonotonicMs();
  if (now_ms >= next_run_ms_) return "interval";
  return is_over && now_ms >= next_short_run_ms_ ? "high watermark" : "";
}

void DaemonCompaction::RunCurrent(std::unique_lock<std::mutex>* lock) {
  is_cut_off_ = false;
  CompactionRun* const run = current_->run.get();
  lock->unlock();
  const Status status = run->Run();
  lock->lock();
  EndCurrent(status);
}

void DaemonCompaction::EndCurrent(const Status& status) {
  const RunProgress progress = current_->run->Progress();
  sums_.totals += progress.jobs.totals;
  sums_.sessions_removed += progress.sessions_removed;
  const int64_t now_ms = catalogue_->clock()->MonotonicMs();
  next_run_ms_ = now_ms + options_.interval_ms;
  if (progress.is_over) next_short_run_ms_ = now_ms + options_.short_retry_ms;
  is_paused_ = progress.jobs.record.phase == JobPhase::kPaused;
  ++runs_;
  last_end_ms_ = catalogue_->clock()->WallMs();
  last_run_json_ = RunJson(progress);
  if (status.ok()) {
    REPRISE_LOG_INFO("compaction ended: {}", last_run_json_);
  } else {
    ++failed_runs_;
    REPRISE_LOG_WARN("compaction failed: {}", status.ToString());
  }
  const Status told = status.ok() && stopped_ ? Stopping() : status;
  for (const JobHandle& job : current_->waiting) {
    job->Update(progress.jobs.record.done, progress.jobs.record.total);
    job->Finish(told, told.ok() ? last_run_json_ : std::string());
  }
  current_.reset();
}

Status DaemonCompaction::Collect(std::atomic<bool>* stop) {
  REPRISE_ASSIGN_OR_RETURN(const JobHandle job, jobs_->StartCollection());
  while (!*stop) {
    const JobState::Progress progress = job->Get();
    if (progress.finished) return progress.status;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return UnavailableError("compact: stopped");
}

}  // namespace reprise
