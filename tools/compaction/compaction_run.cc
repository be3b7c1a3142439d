#include "tools/compaction/compaction_run.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "tools/compaction/policy_wishes.h"
#include "tools/compaction/profile_maker.h"
#include "tools/compaction/session_expiry.h"
#include "tools/compaction/space_wishes.h"
#include "tools/compaction/tier_check.h"

namespace reprise {
namespace {

// Of files, when nobody needs the space: three bytes are copied for each one
// that is freed at most. And when it runs short.
constexpr uint32_t kMinGarbagePercent = 25;
constexpr uint32_t kMinGarbagePercentShort = 3;

constexpr std::string_view kStageNames[] = {
    "expire", "profiles", "policy", "collect", "reclaim", "space", "ended"};

// What came before, and what came after it: the latter's record.
CompactionProgress Joined(const CompactionProgress& before,
                          const CompactionProgress& after) {
  CompactionProgress all = after;
  all.totals += before.totals;
  all.record.done += before.record.done;
  all.record.total += before.record.total;
  if (before.record.started_ms != 0) {
    all.record.started_ms = before.record.started_ms;
  }
  all.worst_error = std::max(before.worst_error, after.worst_error);
  for (const auto& [key, count] : before.reasons) all.reasons[key] += count;
  return all;
}

uint64_t ChangedSegments(const CompactionTotals& totals) {
  uint64_t changed = 0;
  for (const SinkResult each :
       {SinkResult::kDropped, SinkResult::kDerived, SinkResult::kEncoded}) {
    changed += totals.segments[static_cast<size_t>(each)];
  }
  return changed;
}

uint64_t DrawSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

std::string_view RunStageName(RunStage stage) {
  const auto index = static_cast<size_t>(stage);
  return index < std::size(kStageNames) ? kStageNames[index] : "?";
}

std::string RunJson(const RunProgress& progress) {
  auto json =
      nlohmann::json::parse(CompactionJson(progress.jobs), nullptr, false);
  json["stage"] = RunStageName(progress.stage);
  json["sessions_removed"] = progress.sessions_removed;
  json["used_bytes_before"] = progress.used_bytes_before;
  json["used_bytes_after"] = progress.used_bytes_after;
  json["target_bytes"] = progress.target_bytes;
  json["is_over"] = progress.is_over;
  json["space_rounds"] = progress.space_rounds;
  json["ended_ms"] = progress.ended_ms;
  json["profiles_made"] = progress.profiles_made;
  json["profiles_wait"] = progress.profiles_wait;
  json["space_left"] = progress.left;
  if (!progress.failure.empty()) json["failure"] = progress.failure;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Watermarks UntilBelow(uint64_t bytes) {
  return {.max_bytes = bytes, .high_percent = 100, .low_percent = 100};
}

CompactionRun::CompactionRun(Catalogue* catalogue, PolicyRules rules,
                             const RunOptions& options, RunHooks hooks)
    : catalogue_(catalogue),
      rules_(std::move(rules)),
      options_(options),
      hooks_(std::move(hooks)) {
  progress_.jobs.record.holder = options.job.holder;
  progress_.jobs.record.started_by = options.job.started_by;
  progress_.jobs.preparing = true;
  progress_.target_bytes = options.marks.low_bytes();
}

Status CompactionRun::Run() {
  {
    const uint64_t used = UsedBytes(catalogue_->engine()->GetStats());
    std::lock_guard lock(mutex_);
    progress_.used_bytes_before = used;
  }
  Status status = Expire();
  if (status.ok() && !stop_) status = MakeProfiles();
  if (status.ok()) status = SinkByPolicy();
  bool is_over = options_.marks.max_bytes > 0;
  while (status.ok() && !stop_ && is_over) status = SinkForSpace(&is_over);
  if (status.ok() && !stop_ && (has_garbage_ || !is_given_back_)) {
    status = GiveBack();
  }
  // Whoever asked for the end does not take it for a failure.
  if (stop_ && status.Is(StatusCode::kUnavailable)) status = Status();
  const uint64_t used = LookAtUsed();
  {
    std::lock_guard lock(mutex_);
    progress_.is_over = IsOver(used);
    progress_.failure = std::string(status.message());
    progress_.ended_ms = catalogue_->clock()->WallMs();
  }
  Enter(RunStage::kEnded);
  return status;
}

Status CompactionRun::Expire() {
  Enter(RunStage::kExpire);
  SessionExpiry expiry(catalogue_, &rules_, options_.idle_plus_ms);
  while (!expiry.done() && !stop_) {
    REPRISE_RETURN_IF_ERROR(expiry.Step());
    std::lock_guard lock(mutex_);
    progress_.sessions_removed = expiry.removed();
  }
  has_garbage_ = has_garbage_ || expiry.removed() > 0;
  return Status();
}

Status CompactionRun::MakeProfiles() {
  if (options_.profile_memory_bytes == 0) return Status();
  Enter(RunStage::kProfiles);
  ProfileMaker maker(catalogue_, &rules_,
                     {.max_memory_bytes = options_.profile_memory_bytes,
                      .bytes_per_s = options_.job.sinker.bytes_per_s});
  const Status status = maker.Run(stop_);
  std::lock_guard lock(mutex_);
  progress_.profiles_made = maker.made();
  for (const ProfileNeed& need : maker.needs()) {
    if (!need.is_made) progress_.profiles_wait.push_back(need.waits_for);
  }
  // Whoever asked for the end is answered by the job that comes next.
  return stop_ ? Status() : status;
}

Status CompactionRun::SinkByPolicy() {
  Enter(RunStage::kPolicy);
  PolicyWishes wishes(catalogue_, &rules_, options_.idle_plus_ms);
  return RunJob(&wishes);
}

Status CompactionRun::SinkForSpace(bool* is_over) {
  *is_over = false;
  if (!IsOver(LookAtUsed())) return Status();
  // What only waits for the collector, or for its file to go, need not sink.
  REPRISE_RETURN_IF_ERROR(GiveBack());
  const uint64_t used = LookAtUsed();
  if (stop_ || !IsOver(used)) return Status();
  // Files that can't be given back now are no reason to sink still more: then
  // `left` says why.
  const Engine::Stats stats = catalogue_->engine()->GetStats();
  if (stats.live_bytes <= options_.marks.low_bytes()) return Status();
  {
    std::lock_guard lock(mutex_);
    if (progress_.space_rounds == kMaxSpaceRounds) return Status();
    ++progress_.space_rounds;
  }
  Enter(RunStage::kSpace);
  SpaceWishes::Options space;
  space.marks = options_.marks;
  space.rates = options_.rates;
  space.used_bytes = used;
  space.seed = DrawSeed();
  const uint64_t changed = ChangedSegments(ended_jobs_.totals);
  SpaceWishes wishes(catalogue_, &rules_, MakeTierCheck(catalogue_), space);
  REPRISE_RETURN_IF_ERROR(RunJob(&wishes));
  *is_over = ChangedSegments(ended_jobs_.totals) > changed;
  return Status();
}

Status CompactionRun::RunJob(WishSource* source) {
  REPRISE_ASSIGN_OR_RETURN(
      const auto job, CompactionJob::Start(catalogue_, source, options_.job));
  {
    std::lock_guard lock(mutex_);
    job_ = job.get();
    Apply(asked_, job_);
  }
  Status status;
  while (status.ok() && !job->ended()) {
    status = job->Step();
    {
      std::lock_guard lock(mutex_);
      progress_.jobs = Joined(ended_jobs_, job->Progress());
    }
    Tell();
  }
  std::lock_guard lock(mutex_);
  job_ = nullptr;
  ended_jobs_ = progress_.jobs;
  has_garbage_ = has_garbage_ || ChangedSegments(job->Progress().totals) > 0;
  return status;
}

Status CompactionRun::GiveBack() {
  const bool is_over = IsOver(LookAtUsed());
  if (has_garbage_ || is_over) {
    Enter(RunStage::kCollect);
    REPRISE_RETURN_IF_ERROR(hooks_.collect(&stop_));
    has_garbage_ = false;
  }
  is_given_back_ = true;
  if (hooks_.reclaim == nullptr || stop_) return Status();
  Enter(RunStage::kReclaim);
  std::vector<std::string> left;
  const Status status = hooks_.reclaim(
      &stop_, is_over ? kMinGarbagePercentShort : kMinGarbagePercent, &left);
  std::lock_guard lock(mutex_);
  progress_.left = std::move(left);
  return status;
}

bool CompactionRun::IsOver(uint64_t used_bytes) const {
  return options_.marks.max_bytes > 0 &&
         used_bytes > options_.marks.high_bytes();
}

uint64_t CompactionRun::LookAtUsed() {
  const uint64_t used = UsedBytes(catalogue_->engine()->GetStats());
  std::lock_guard lock(mutex_);
  progress_.used_bytes_after = used;
  return used;
}

void CompactionRun::Enter(RunStage stage) {
  {
    std::lock_guard lock(mutex_);
    progress_.stage = stage;
  }
  Tell();
}

void CompactionRun::Tell() {
  if (hooks_.on_progress != nullptr) hooks_.on_progress(Progress());
}

RunProgress CompactionRun::Progress() const {
  std::lock_guard lock(mutex_);
  RunProgress progress = progress_;
  // A step may take long: what its job knows is younger.
  if (job_ != nullptr) progress.jobs = Joined(ended_jobs_, job_->Progress());
  return progress;
}

void CompactionRun::Ask(Asked asked) {
  std::lock_guard lock(mutex_);
  asked_ = asked;
  stop_ = true;
  if (job_ != nullptr) Apply(asked, job_);
}

void CompactionRun::Apply(Asked asked, CompactionJob* job) {
  switch (asked) {
    case Asked::kNothing:
      return;
    case Asked::kPause:
      return job->Pause();
    case Asked::kCancel:
      return job->Cancel();
    case Asked::kInterrupt:
      return job->Interrupt();
  }
}

}  // namespace reprise
