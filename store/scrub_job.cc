#include "store/scrub_job.h"

#include <algorithm>
#include <utility>

namespace reprise {
namespace {

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
  const int64_t now_ms = catalogue_->clock()->WallMs();
  REPRISE_ASSIGN_OR_RETURN(std::optional<JobRecord> stored,
                           keeper_.Find(options_.has_store_alone));
  if (!stored && options_.only_go_on) {
    return NotFoundError("scrub: none is under way");
  }
  FsckReport earlier;
  if (stored) {
    const ScrubStatus status = StatusOf(*std::move(stored));
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
  record_.holder = options_.holder;
  record_.counters = CountersOf(bytes_per_s_, walk_->report());
  return keeper_.Begin(&record_, Durability::kWritten);
}

Status ScrubJob::Write(JobPhase phase, std::string reason) {
  record_.phase = phase;
  record_.reason = std::move(reason);
  record_.cursor = walk_->done() ? std::string() : walk_->cursor();
  record_.done = walk_->report().bytes_read;
  record_.total =
      walk_->done() ? record_.done : std::max(record_.total, record_.done);
  record_.counters = CountersOf(bytes_per_s_, walk_->report());
  ended_ = phase != JobPhase::kRunning;
  // What is set aside is to be found there after a power loss too.
  const Status status = keeper_.Write(
      &record_, ended_ ? Durability::kSynced : Durability::kWritten);
  ended_ = ended_ || !status.ok();
  return status;
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
  const bool is_due = keeper_.HeartbeatIsDue(record_);
  const int64_t began_ns = clock->MonotonicNs();
  if (began_ns >= wait_until_ns_) {
    const uint64_t before = walk_->report().bytes_read;
    const Status status = walk_->Step(bytes_per_s_ / kStepsPerS);
    if (!status.ok()) return Fail(status);
    if (walk_->done()) return Write(JobPhase::kDone);
    Rest(walk_->report().bytes_read - before, began_ns);
  }
  record_.done = walk_->report().bytes_read;
  return is_due ? Write(JobPhase::kRunning) : Status();
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
  REPRISE_ASSIGN_OR_RETURN(StoredJob stored, ReadJob(heads, kScrubJob));
  if (!stored.record) return std::optional<ScrubStatus>();
  return std::optional(StatusOf(*std::move(stored.record)));
}

}  // namespace reprise
