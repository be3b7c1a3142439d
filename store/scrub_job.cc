#include "store/scrub_job.h"

#include <algorithm>
#include <random>
#include <utility>

namespace reprise {
namespace {

// A running one writes its record that often, and is taken for cut off when it
// did not for the second.
constexpr int64_t kHeartbeatMs = 10'000;
constexpr int64_t kCutOffMs = 120'000;
// A step reads what the rate gives in so long, so that others wait little.
constexpr uint64_t kStepsPerS = 8;
constexpr size_t kCounters = 9;

std::vector<uint64_t> CountersOf(uint64_t bytes_per_s,
                                 const FsckReport& report) {
  return {bytes_per_s,        report.sessions,      report.commits,
          report.segments,    report.renditions,    report.frames,
          report.frame_bytes, report.finding_count, report.set_aside};
}

ScrubStatus StatusOf(JobRecord record) {
  ScrubStatus status;
  // Of a later Reprise there may be more; of none there are fewer.
  if (record.counters.size() >= kCounters) {
    const std::vector<uint64_t>& counters = record.counters;
    status.bytes_per_s = counters[0];
    status.counts.sessions = counters[1];
    status.counts.commits = counters[2];
    status.counts.segments = counters[3];
    status.counts.renditions = counters[4];
    status.counts.frames = counters[5];
    status.counts.frame_bytes = counters[6];
    status.counts.finding_count = counters[7];
    status.counts.set_aside = counters[8];
  }
  status.counts.bytes_read = record.done;
  status.record = std::move(record);
  return status;
}

struct StoredScrub {
  std::optional<JobRecord> record;
  HeadVersion version = 0;
};

Result<StoredScrub> ReadStored(HeadStore* heads) {
  const std::string key = JobKey(kScrubJob);
  const Result<HeadRecord> head = heads->GetHead(HeadSpace::kMeta, key);
  if (head.status().Is(StatusCode::kNotFound)) return StoredScrub();
  if (!head.ok()) return head.status().WithContext("read scrub");
  StoredScrub stored;
  stored.version = head->version;
  Result<JobRecord> record = DecodeJob(head->value.view());
  if (record.ok()) {
    stored.record = *std::move(record);
  } else if (!record.status().Is(StatusCode::kDataLoss)) {
    return record.status();  // of a later Reprise
  }
  // A damaged one is worth no more than none: then it begins anew.
  return stored;
}

bool IsUnfinished(const JobRecord& record) {
  return record.phase == JobPhase::kRunning ||
         record.phase == JobPhase::kPaused || record.phase == JobPhase::kFailed;
}

Status CheckNobodyWorks(const JobRecord& record, int64_t now_ms) {
  const int64_t silent_ms = now_ms - record.heartbeat_ms;
  if (record.phase != JobPhase::kRunning || silent_ms >= kCutOffMs ||
      silent_ms <= -kCutOffMs) {
    return Status();
  }
  return FailedPreconditionError(
      "scrub: it is held by " + record.holder + ", heard of " +
      std::to_string(silent_ms / 1000) + " s ago; it counts as cut off after " +
      std::to_string(kCutOffMs / 1000) + " s");
}

uint64_t DrawRun() {
  std::random_device device;
  uint64_t run = 0;
  while (run == 0) run = uint64_t{device()} << 32 | device();
  return run;
}

}  // namespace

Result<std::unique_ptr<ScrubJob>> ScrubJob::Start(Catalogue* catalogue,
                                                  const ScrubOptions& options) {
  if (options.bytes_per_s != 0 && options.bytes_per_s < kLeastScrubRate) {
    return InvalidArgumentError(
        "scrub: the rate is " + std::to_string(options.bytes_per_s) +
        " bytes a second, at least " + std::to_string(kLeastScrubRate) +
        " are wanted");
  }
  auto job = std::unique_ptr<ScrubJob>(new ScrubJob(catalogue, options));
  REPRISE_RETURN_IF_ERROR(job->Open());
  return job;
}

Status ScrubJob::Open() {
  HeadStore* const heads = catalogue_->engine();
  const int64_t now_ms = catalogue_->clock()->WallMs();
  REPRISE_ASSIGN_OR_RETURN(StoredScrub stored, ReadStored(heads));
  const bool goes_on = stored.record && IsUnfinished(*stored.record);
  if (!goes_on && options_.only_go_on) {
    return NotFoundError("scrub: none is under way");
  }
  FsckReport earlier;
  if (goes_on) {
    if (!options_.has_store_alone) {
      REPRISE_RETURN_IF_ERROR(CheckNobodyWorks(*stored.record, now_ms));
    }
    const ScrubStatus status = StatusOf(*std::move(stored.record));
    record_ = status.record;
    earlier = status.counts;
    if (status.bytes_per_s != 0) bytes_per_s_ = status.bytes_per_s;
  } else {
    record_.started_ms = now_ms;
    record_.started_by = options_.started_by;
    record_.total = catalogue_->engine()->GetStats().live_bytes;
  }
  if (options_.bytes_per_s != 0) bytes_per_s_ = options_.bytes_per_s;
  walk_ = MakeStoreWalk(catalogue_,
                        {.set_aside = true, .since_ms = record_.started_ms});
  // A cursor that nobody can read begins the walk anew.
  if (const Status skipped = walk_->SkipTo(record_.cursor); !skipped.ok()) {
    record_.cursor.clear();
    earlier = FsckReport();
  }
  walk_->AddCounts(earlier);
  record_.phase = JobPhase::kRunning;
  record_.run = DrawRun();
  record_.heartbeat_ms = now_ms;
  record_.holder = options_.holder;
  record_.reason.clear();
  record_.counters = CountersOf(bytes_per_s_, walk_->report());
  const Result<HeadVersion> written =
      heads->CompareAndSwap(HeadSpace::kMeta, JobKey(kScrubJob), stored.version,
                            EncodeJob(record_), Durability::kWritten);
  if (written.status().Is(StatusCode::kFailedPrecondition)) {
    return FailedPreconditionError(
        "scrub: somebody else began it at the same time");
  }
  if (!written.ok()) return written.status().WithContext("begin scrub");
  version_ = *written;
  return Status();
}

Status ScrubJob::Write(JobPhase phase, std::string reason) {
  record_.phase = phase;
  record_.reason = std::move(reason);
  record_.heartbeat_ms = catalogue_->clock()->WallMs();
  record_.cursor = walk_->done() ? std::string() : walk_->cursor();
  record_.done = walk_->report().bytes_read;
  record_.total =
      walk_->done() ? record_.done : std::max(record_.total, record_.done);
  record_.counters = CountersOf(bytes_per_s_, walk_->report());
  ended_ = phase != JobPhase::kRunning;
  // What is set aside is to be found there after a power loss too.
  const Durability durability =
      ended_ ? Durability::kSynced : Durability::kWritten;
  const Result<HeadVersion> written = catalogue_->engine()->CompareAndSwap(
      HeadSpace::kMeta, JobKey(kScrubJob), version_, EncodeJob(record_),
      durability);
  if (written.ok()) {
    version_ = *written;
    return Status();
  }
  ended_ = true;
  if (!written.status().Is(StatusCode::kFailedPrecondition)) {
    return written.status().WithContext("write scrub");
  }
  const Result<StoredScrub> other = ReadStored(catalogue_->engine());
  const bool is_known = other.ok() && other->record;
  return FailedPreconditionError(
      "scrub: somebody else goes on with it" +
      (is_known ? ": " + other->record->holder : std::string()));
}

Status ScrubJob::Fail(const Status& status) {
  // The store may be what fails: then it stays "running", and is cut off.
  (void)Write(JobPhase::kFailed, std::string(status.message()));
  ended_ = true;
  return status;
}

Status ScrubJob::Step() {
  if (ended_) return Status();
  if (asked_ != JobPhase::kRunning) return Write(asked_);
  const Clock* const clock = catalogue_->clock();
  const int64_t silent_ms = clock->WallMs() - record_.heartbeat_ms;
  const int64_t began_ns = clock->MonotonicNs();
  if (began_ns >= wait_until_ns_) {
    const uint64_t before = walk_->report().bytes_read;
    const Status status = walk_->Step(bytes_per_s_ / kStepsPerS);
    if (!status.ok()) return Fail(status);
    if (walk_->done()) return Write(JobPhase::kDone);
    Rest(walk_->report().bytes_read - before, began_ns);
  }
  record_.done = walk_->report().bytes_read;
  if (silent_ms >= 0 && silent_ms < kHeartbeatMs) return Status();
  return Write(JobPhase::kRunning);
}

// Long enough that no more than the rate is read, counted from when it was
// allowed to begin, so that rests that were too long are made up for a little.
void ScrubJob::Rest(uint64_t bytes, int64_t began_ns) {
  constexpr int64_t kMostMadeUpNs = 100'000'000;
  const int64_t from = std::max(wait_until_ns_, began_ns - kMostMadeUpNs);
  const double ns = 1e9 * static_cast<double>(bytes) /
                    static_cast<double>(bytes_per_s_.load());
  wait_until_ns_ = from + static_cast<int64_t>(ns);
}

Result<std::optional<ScrubStatus>> ReadScrub(HeadStore* heads) {
  REPRISE_ASSIGN_OR_RETURN(StoredScrub stored, ReadStored(heads));
  if (!stored.record) return std::optional<ScrubStatus>();
  return std::optional(StatusOf(*std::move(stored.record)));
}

}  // namespace reprise
