#include "tools/compaction/compaction_job.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "store/clock_guard.h"

namespace reprise {
namespace {

constexpr size_t kByteCounters = 5;

std::vector<uint64_t> CountersOf(const CompactionTotals& totals) {
  std::vector<uint64_t> counters(totals.segments.begin(),
                                 totals.segments.end());
  for (const uint64_t bytes :
       {totals.bytes_before, totals.bytes_after, totals.bytes_read,
        totals.bytes_written, totals.raw_bytes}) {
    counters.push_back(bytes);
  }
  return counters;
}

// Of a later Reprise there may be more; of none there are fewer.
CompactionTotals TotalsOf(const std::vector<uint64_t>& counters) {
  CompactionTotals totals;
  if (counters.size() < kSinkResultCount + kByteCounters) return totals;
  std::copy_n(counters.begin(), kSinkResultCount, totals.segments.begin());
  const uint64_t* const bytes = counters.data() + kSinkResultCount;
  totals.bytes_before = bytes[0];
  totals.bytes_after = bytes[1];
  totals.bytes_read = bytes[2];
  totals.bytes_written = bytes[3];
  totals.raw_bytes = bytes[4];
  return totals;
}

}  // namespace

CompactionTotals& CompactionTotals::operator+=(const CompactionTotals& more) {
  for (size_t i = 0; i < segments.size(); ++i) segments[i] += more.segments[i];
  bytes_before += more.bytes_before;
  bytes_after += more.bytes_after;
  bytes_read += more.bytes_read;
  bytes_written += more.bytes_written;
  raw_bytes += more.raw_bytes;
  return *this;
}

std::string CompactionJson(const CompactionProgress& progress) {
  const JobRecord& record = progress.record;
  const CompactionTotals& totals = progress.totals;
  nlohmann::json json = {{"phase", JobPhaseName(record.phase)},
                         {"preparing", progress.preparing},
                         {"holder", record.holder},
                         {"started_by", record.started_by},
                         {"started_ms", record.started_ms},
                         {"heartbeat_ms", record.heartbeat_ms},
                         {"done_segments", record.done},
                         {"total_segments", record.total},
                         {"bytes_before", totals.bytes_before},
                         {"bytes_after", totals.bytes_after},
                         {"bytes_read", totals.bytes_read},
                         {"bytes_written", totals.bytes_written},
                         {"raw_bytes", totals.raw_bytes},
                         {"worst_error", progress.worst_error}};
  if (!record.reason.empty()) json["reason"] = record.reason;
  if (!record.options.empty()) json["options"] = record.options;
  nlohmann::json segments = nlohmann::json::object();
  for (size_t i = 0; i < totals.segments.size(); ++i) {
    segments[std::string(SinkResultName(static_cast<SinkResult>(i)))] =
        totals.segments[i];
  }
  json["segments"] = std::move(segments);
  nlohmann::json reasons = nlohmann::json::array();
  for (const auto& [key, count] : progress.reasons) {
    const auto& [reason, instead] = key;
    reasons.push_back({{"reason", reason}, {"segments", count}});
    if (instead == Tier::kExact) continue;
    reasons.back()["sunk_to"] = TierName(instead);
  }
  json["kept_because"] = std::move(reasons);
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string HolderName(std::string_view program) {
  return "pid " + std::to_string(getpid()) + " (" + std::string(program) + ")";
}

CompactionJob::CompactionJob(Catalogue* catalogue, WishSource* source,
                             const CompactionOptions& options)
    : catalogue_(catalogue),
      source_(source),
      options_(options),
      sinker_(catalogue, options.sinker),
      keeper_(catalogue->engine(), catalogue->clock(), kCompactJob) {}

Result<std::unique_ptr<CompactionJob>> CompactionJob::Start(
    Catalogue* catalogue, WishSource* source,
    const CompactionOptions& options) {
  auto job = std::unique_ptr<CompactionJob>(
      new CompactionJob(catalogue, source, options));
  REPRISE_RETURN_IF_ERROR(job->Open());
  return job;
}

Status CompactionJob::Open() {
  const int64_t now_ms = catalogue_->clock()->WallMs();
  REPRISE_ASSIGN_OR_RETURN(const ClockReading clock,
                           KeepClock(catalogue_->engine(), now_ms));
  REPRISE_RETURN_IF_ERROR(CheckClock(clock));
  REPRISE_ASSIGN_OR_RETURN(std::optional<JobRecord> earlier,
                           keeper_.Find(options_.has_store_alone));
  std::lock_guard lock(mutex_);
  JobRecord& record = progress_.record;
  if (earlier) {
    record = *std::move(earlier);
    done_at_cursor_ = record.done;
    progress_.totals = TotalsOf(record.counters);
  } else {
    record.started_ms = now_ms;
    record.started_by = options_.started_by;
  }
  record.holder = options_.holder;
  record.options = options_.request;
  record.counters = CountersOf(progress_.totals);
  progress_.preparing = true;
  source_->SkipTo(record.cursor);
  return keeper_.Begin(&record, Durability::kSynced);
}

CompactionProgress CompactionJob::Progress() const {
  std::lock_guard lock(mutex_);
  return progress_;
}

void CompactionJob::Ask(JobPhase phase) {
  asked_ = phase;
  sinker_.Stop();
}

void CompactionJob::Interrupt() {
  is_interrupted_ = true;
  sinker_.Stop();
}

Status CompactionJob::EndAsAsked() {
  const Status written = Write(asked_);
  ended_ = true;
  return written;
}

Status CompactionJob::Write(JobPhase phase, std::string reason) {
  JobRecord recorded;
  {
    std::lock_guard lock(mutex_);
    JobRecord& record = progress_.record;
    record.phase = phase;
    record.reason = std::move(reason);
    record.counters = CountersOf(progress_.totals);
    // What comes again is counted then.
    recorded = record;
    recorded.done = done_at_cursor_;
  }
  ended_ = phase != JobPhase::kRunning;
  // What a heartbeat loses is found done again.
  const Status status = keeper_.Write(
      &recorded, ended_ ? Durability::kSynced : Durability::kWritten);
  std::lock_guard lock(mutex_);
  JobRecord& record = progress_.record;
  record.heartbeat_ms = recorded.heartbeat_ms;
  if (status.ok()) return status;
  ended_ = true;
  // Who asks is told, whatever is recorded; what failed before it is why.
  if (record.phase != JobPhase::kFailed) {
    record.phase = JobPhase::kFailed;
    record.reason = std::string(status.message());
  }
  return status;
}

Status CompactionJob::Fail(const Status& status) {
  // The store may be what fails: then it stays "running", and is cut off.
  (void)Write(JobPhase::kFailed, std::string(status.message()));
  ended_ = true;
  return status;
}

Status CompactionJob::Step() {
  if (ended_) return Status();
  if (is_asked()) return EndAsAsked();
  const Result<ClockReading> clock =
      KeepClock(catalogue_->engine(), catalogue_->clock()->WallMs());
  if (!clock.ok()) return Fail(clock.status());
  if (const Status s = CheckClock(*clock); !s.ok()) return Fail(s);
  return is_prepared_ ? SinkStep() : PrepareStep();
}

Status CompactionJob::PrepareStep() {
  if (const Status s = source_->Prepare(); !s.ok()) return Fail(s);
  is_prepared_ = source_->ready();
  if (is_prepared_) {
    std::lock_guard lock(mutex_);
    progress_.preparing = false;
    progress_.record.total = std::max(source_->total(), progress_.record.done);
  } else if (!HeartbeatIsDue()) {
    return Status();
  }
  return Write(JobPhase::kRunning);
}

bool CompactionJob::HeartbeatIsDue() const {
  std::lock_guard lock(mutex_);
  return keeper_.HeartbeatIsDue(progress_.record);
}

Status CompactionJob::SinkAll(const std::vector<SinkTask>& tasks,
                              std::vector<SinkReport>* reports) {
  std::promise<Status> promise;
  std::future<Status> sunk = promise.get_future();
  std::thread sinking([&] { promise.set_value(sinker_.Sink(tasks, reports)); });
  Status of_heartbeat;
  while (sunk.wait_for(std::chrono::seconds(1)) != std::future_status::ready) {
    if (!of_heartbeat.ok() || !HeartbeatIsDue()) continue;
    of_heartbeat = Write(JobPhase::kRunning);
    if (!of_heartbeat.ok()) sinker_.Stop();
  }
  sinking.join();
  const Status status = sunk.get();
  return of_heartbeat.ok() ? status : of_heartbeat;
}

Status CompactionJob::SinkStep() {
  const Result<WishSource::Batch> batch = source_->Next(options_.step_tasks);
  if (!batch.ok()) return Fail(batch.status());
  std::vector<SinkReport> reports;
  const Status status = SinkAll(batch->tasks, &reports);
  Add(reports);
  if (ended_) return status;  // a heartbeat could not be written
  if (!status.ok()) {
    return is_asked() ? EndAsAsked() : Fail(status);
  }
  {
    std::lock_guard lock(mutex_);
    progress_.record.cursor = batch->cursor;
    done_at_cursor_ = progress_.record.done - batch->beyond_cursor;
    if (batch->is_last) {
      progress_.record.total = progress_.record.done;
      progress_.record.cursor.clear();
    }
  }
  return Write(batch->is_last ? JobPhase::kDone : JobPhase::kRunning);
}

void CompactionJob::Add(const std::vector<SinkReport>& reports) {
  std::lock_guard lock(mutex_);
  CompactionTotals& totals = progress_.totals;
  for (const SinkReport& report : reports) {
    // Its turn comes with the next run, and is counted then.
    if (report.result == SinkResult::kNotDone) continue;
    ++progress_.record.done;
    ++totals.segments[static_cast<size_t>(report.result)];
    totals.bytes_before += report.bytes_before;
    totals.bytes_after += report.bytes_after;
    totals.bytes_read += report.bytes_read;
    totals.bytes_written += report.bytes_written;
    totals.raw_bytes += report.raw_bytes;
    progress_.worst_error = std::max(progress_.worst_error, report.worst_error);
    if (report.reason.empty()) continue;
    auto& reasons = progress_.reasons;
    const std::pair key(report.reason, report.instead);
    if (reasons.size() >= CompactionProgress::kMaxReasons &&
        !reasons.contains(key)) {
      continue;
    }
    ++reasons[key];
  }
  progress_.record.total =
      std::max(progress_.record.total, progress_.record.done);
}

Result<std::optional<CompactionProgress>> ReadCompaction(HeadStore* heads) {
  REPRISE_ASSIGN_OR_RETURN(StoredJob stored, ReadJob(heads, kCompactJob));
  if (!stored.record) return std::optional<CompactionProgress>();
  CompactionProgress progress;
  progress.totals = TotalsOf(stored.record->counters);
  progress.record = *std::move(stored.record);
  return std::optional(std::move(progress));
}

Status PauseRecorded(Catalogue* catalogue, bool has_store_alone) {
  return MarkJob(catalogue->engine(), *catalogue->clock(), kCompactJob,
                 JobPhase::kPaused, has_store_alone);
}

Status CancelRecorded(Catalogue* catalogue, bool has_store_alone) {
  return MarkJob(catalogue->engine(), *catalogue->clock(), kCompactJob,
                 JobPhase::kCancelled, has_store_alone);
}

}  // namespace reprise
