#include "tools/compaction/compaction_job.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <nlohmann/json.hpp>
#include <random>
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

uint64_t DrawRun() {
  std::random_device device;
  uint64_t run = 0;
  while (run == 0) run = uint64_t{device()} << 32 | device();
  return run;
}

struct StoredJob {
  std::optional<JobRecord> record;
  HeadVersion version = 0;
};

Result<StoredJob> ReadStored(HeadStore* heads) {
  const std::string key = JobKey(kCompactJob);
  const Result<HeadRecord> head = heads->GetHead(HeadSpace::kMeta, key);
  if (head.status().Is(StatusCode::kNotFound)) return StoredJob();
  if (!head.ok()) return head.status().WithContext("read job");
  StoredJob stored;
  stored.version = head->version;
  Result<JobRecord> record = DecodeJob(head->value.view());
  if (record.ok()) {
    stored.record = *std::move(record);
  } else if (!record.status().Is(StatusCode::kDataLoss)) {
    return record.status();  // of a later Reprise
  }
  // A damaged one is worth no more than none: what it knew is found out again.
  return stored;
}

bool IsUnfinished(const JobRecord& record) {
  return record.phase == JobPhase::kRunning ||
         record.phase == JobPhase::kPaused || record.phase == JobPhase::kFailed;
}

Status CheckNobodyWorks(const JobRecord& record, int64_t now_ms,
                        bool has_store_alone) {
  const int64_t silent_ms = now_ms - record.heartbeat_ms;
  if (record.phase != JobPhase::kRunning || has_store_alone ||
      silent_ms >= kCutOffMs || silent_ms <= -kCutOffMs) {
    return Status();
  }
  return FailedPreconditionError(
      "compact: it is held by " + record.holder + ", heard of " +
      std::to_string(silent_ms / 1000) + " s ago; it counts as cut off after " +
      std::to_string(kCutOffMs / 1000) + " s");
}

Status MarkRecorded(Catalogue* catalogue, JobPhase phase,
                    bool has_store_alone) {
  HeadStore* const heads = catalogue->engine();
  REPRISE_ASSIGN_OR_RETURN(StoredJob stored, ReadStored(heads));
  if (!stored.record || !IsUnfinished(*stored.record)) {
    return NotFoundError("compact: no job is under way");
  }
  REPRISE_RETURN_IF_ERROR(CheckNobodyWorks(
      *stored.record, catalogue->clock()->WallMs(), has_store_alone));
  stored.record->phase = phase;
  const std::string key = JobKey(kCompactJob);
  return heads
      ->CompareAndSwap(HeadSpace::kMeta, key, stored.version,
                       EncodeJob(*stored.record), Durability::kSynced)
      .status();
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
  nlohmann::json segments = nlohmann::json::object();
  for (size_t i = 0; i < totals.segments.size(); ++i) {
    segments[std::string(SinkResultName(static_cast<SinkResult>(i)))] =
        totals.segments[i];
  }
  json["segments"] = std::move(segments);
  nlohmann::json reasons = nlohmann::json::array();
  for (const auto& [reason, count] : progress.reasons) {
    reasons.push_back({{"reason", reason}, {"segments", count}});
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
      sinker_(catalogue, options.sinker) {}

Result<std::unique_ptr<CompactionJob>> CompactionJob::Start(
    Catalogue* catalogue, WishSource* source,
    const CompactionOptions& options) {
  auto job = std::unique_ptr<CompactionJob>(
      new CompactionJob(catalogue, source, options));
  REPRISE_RETURN_IF_ERROR(job->Open());
  return job;
}

Status CompactionJob::Open() {
  HeadStore* const heads = catalogue_->engine();
  const int64_t now_ms = catalogue_->clock()->WallMs();
  REPRISE_ASSIGN_OR_RETURN(const ClockReading clock, KeepClock(heads, now_ms));
  REPRISE_RETURN_IF_ERROR(CheckClock(clock));
  REPRISE_ASSIGN_OR_RETURN(const StoredJob stored, ReadStored(heads));
  std::lock_guard lock(mutex_);
  JobRecord& record = progress_.record;
  if (stored.record && IsUnfinished(*stored.record)) {
    REPRISE_RETURN_IF_ERROR(
        CheckNobodyWorks(*stored.record, now_ms, options_.has_store_alone));
    record = *stored.record;
    done_at_cursor_ = record.done;
    progress_.totals = TotalsOf(record.counters);
  } else {
    record.started_ms = now_ms;
    record.started_by = options_.started_by;
  }
  record.phase = JobPhase::kRunning;
  record.run = DrawRun();
  record.heartbeat_ms = now_ms;
  record.holder = options_.holder;
  record.reason.clear();
  record.counters = CountersOf(progress_.totals);
  progress_.preparing = true;
  source_->SkipTo(record.cursor);
  const std::string key = JobKey(kCompactJob);
  const Result<HeadVersion> written =
      heads->CompareAndSwap(HeadSpace::kMeta, key, stored.version,
                            EncodeJob(record), Durability::kSynced);
  if (written.status().Is(StatusCode::kFailedPrecondition)) {
    return FailedPreconditionError(
        "compact: somebody else began it at the same time");
  }
  if (!written.ok()) return written.status().WithContext("begin job");
  version_ = *written;
  return Status();
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
  Bytes bytes;
  {
    std::lock_guard lock(mutex_);
    JobRecord& record = progress_.record;
    record.phase = phase;
    record.reason = std::move(reason);
    record.heartbeat_ms = catalogue_->clock()->WallMs();
    record.counters = CountersOf(progress_.totals);
    // What comes again is counted then.
    JobRecord recorded = record;
    recorded.done = done_at_cursor_;
    bytes = EncodeJob(recorded);
  }
  ended_ = phase != JobPhase::kRunning;
  // What a heartbeat loses is found done again.
  const Durability durability =
      ended_ ? Durability::kSynced : Durability::kWritten;
  const std::string key = JobKey(kCompactJob);
  HeadStore* const heads = catalogue_->engine();
  const Result<HeadVersion> written =
      heads->CompareAndSwap(HeadSpace::kMeta, key, version_, bytes, durability);
  if (written.ok()) {
    version_ = *written;
    return Status();
  }
  ended_ = true;
  Status status = written.status().WithContext("write job");
  if (written.status().Is(StatusCode::kFailedPrecondition)) {
    const Result<StoredJob> other = ReadStored(heads);
    const bool is_known = other.ok() && other->record;
    status = FailedPreconditionError(
        "compact: somebody else goes on with it" +
        (is_known ? ": " + other->record->holder : std::string()));
  }
  // Who asks is told, whatever is recorded; what failed before it is why.
  std::lock_guard lock(mutex_);
  JobRecord& record = progress_.record;
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
  const int64_t silent_ms =
      catalogue_->clock()->WallMs() - progress_.record.heartbeat_ms;
  return silent_ms < 0 || silent_ms >= kHeartbeatMs;
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
    if (reasons.size() >= CompactionProgress::kMaxReasons &&
        !reasons.contains(report.reason)) {
      continue;
    }
    ++reasons[report.reason];
  }
  progress_.record.total =
      std::max(progress_.record.total, progress_.record.done);
}

Result<std::optional<CompactionProgress>> ReadCompaction(HeadStore* heads) {
  REPRISE_ASSIGN_OR_RETURN(StoredJob stored, ReadStored(heads));
  if (!stored.record) return std::optional<CompactionProgress>();
  CompactionProgress progress;
  progress.totals = TotalsOf(stored.record->counters);
  progress.record = *std::move(stored.record);
  return std::optional(std::move(progress));
}

Status PauseRecorded(Catalogue* catalogue, bool has_store_alone) {
  return MarkRecorded(catalogue, JobPhase::kPaused, has_store_alone);
}

Status CancelRecorded(Catalogue* catalogue, bool has_store_alone) {
  return MarkRecorded(catalogue, JobPhase::kCancelled, has_store_alone);
}

}  // namespace reprise
