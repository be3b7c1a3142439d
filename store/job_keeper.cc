#include "store/job_keeper.h"

#include <random>
#include <utility>

namespace reprise {
namespace {

uint64_t DrawRun() {
  std::random_device device;
  uint64_t run = 0;
  while (run == 0) run = uint64_t{device()} << 32 | device();
  return run;
}

Status CheckNobodyWorks(std::string_view job, const JobRecord& record,
                        int64_t now_ms, bool has_store_alone) {
  const int64_t silent_ms = now_ms - record.heartbeat_ms;
  if (record.phase != JobPhase::kRunning || has_store_alone ||
      silent_ms >= kCutOffMs || silent_ms <= -kCutOffMs) {
    return Status();
  }
  return FailedPreconditionError(
      std::string(job) + ": it is held by " + record.holder + ", heard of " +
      std::to_string(silent_ms / 1000) + " s ago; it counts as cut off after " +
      std::to_string(kCutOffMs / 1000) + " s");
}

}  // namespace

Result<StoredJob> ReadJob(HeadStore* heads, std::string_view job) {
  const std::string key = JobKey(job);
  const Result<HeadRecord> head = heads->GetHead(HeadSpace::kMeta, key);
  if (head.status().Is(StatusCode::kNotFound)) return StoredJob();
  if (!head.ok()) {
    return head.status().WithContext(std::string(job) + ": read its record");
  }
  StoredJob stored;
  stored.version = head->version;
  Result<JobRecord> record = DecodeJob(head->value.view());
  if (record.ok()) {
    stored.record = *std::move(record);
  } else if (!record.status().Is(StatusCode::kDataLoss)) {
    return record.status();
  }
  return stored;
}

bool IsUnfinished(const JobRecord& record) {
  return record.phase == JobPhase::kRunning ||
         record.phase == JobPhase::kPaused || record.phase == JobPhase::kFailed;
}

Status MarkJob(HeadStore* heads, const Clock& clock, std::string_view job,
               JobPhase phase, bool has_store_alone) {
  REPRISE_ASSIGN_OR_RETURN(StoredJob stored, ReadJob(heads, job));
  if (!stored.record || !IsUnfinished(*stored.record)) {
    return NotFoundError(std::string(job) + ": no job is under way");
  }
  REPRISE_RETURN_IF_ERROR(
      CheckNobodyWorks(job, *stored.record, clock.WallMs(), has_store_alone));
  stored.record->phase = phase;
  const std::string key = JobKey(job);
  return heads
      ->CompareAndSwap(HeadSpace::kMeta, key, stored.version,
                       EncodeJob(*stored.record), Durability::kSynced)
      .status();
}

Result<std::optional<JobRecord>> JobKeeper::Find(bool has_store_alone) {
  REPRISE_ASSIGN_OR_RETURN(StoredJob stored, ReadJob(heads_, job_));
  version_ = stored.version;
  if (!stored.record || !IsUnfinished(*stored.record)) {
    return std::optional<JobRecord>();
  }
  REPRISE_RETURN_IF_ERROR(CheckNobodyWorks(job_, *stored.record,
                                           clock_->WallMs(), has_store_alone));
  return std::move(stored.record);
}

Status JobKeeper::Begin(JobRecord* record, Durability durability) {
  record->phase = JobPhase::kRunning;
  record->run = DrawRun();
  record->heartbeat_ms = clock_->WallMs();
  record->reason.clear();
  const std::string key = JobKey(job_);
  const Result<HeadVersion> written = heads_->CompareAndSwap(
      HeadSpace::kMeta, key, version_, EncodeJob(*record), durability);
  if (written.status().Is(StatusCode::kFailedPrecondition)) {
    return FailedPreconditionError(
        Text("somebody else began it at the same time"));
  }
  if (!written.ok()) return written.status().WithContext(Text("begin"));
  version_ = *written;
  return Status();
}

Status JobKeeper::Write(JobRecord* record, Durability durability) {
  record->heartbeat_ms = clock_->WallMs();
  const std::string key = JobKey(job_);
  const Result<HeadVersion> written = heads_->CompareAndSwap(
      HeadSpace::kMeta, key, version_, EncodeJob(*record), durability);
  if (written.ok()) {
    version_ = *written;
    return Status();
  }
  if (!written.status().Is(StatusCode::kFailedPrecondition)) {
    return written.status().WithContext(Text("write its record"));
  }
  const Result<StoredJob> other = ReadJob(heads_, job_);
  const bool is_known = other.ok() && other->record;
  return FailedPreconditionError(
      Text("somebody else goes on with it") +
      (is_known ? ": " + other->record->holder : std::string()));
}

bool JobKeeper::HeartbeatIsDue(const JobRecord& record) const {
  const int64_t silent_ms = clock_->WallMs() - record.heartbeat_ms;
  return silent_ms < 0 || silent_ms >= kHeartbeatMs;
}

}  // namespace reprise
