// The record of a job from its beginning to its end (store/job_record.h): who
// begins it, that nobody else does meanwhile, and that it still runs. What is
// in the record besides that is the job's own.
#ifndef REPRISE_STORE_JOB_KEEPER_H_
#define REPRISE_STORE_JOB_KEEPER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "store/engine.h"
#include "store/job_record.h"

namespace reprise {

// A running job writes its record at least this often, and is taken for cut off
// when it did not for the second.
inline constexpr int64_t kHeartbeatMs = 10'000;
inline constexpr int64_t kCutOffMs = 120'000;

struct StoredJob {
  // Nothing also where it is damaged: what it knew is found out again.
  std::optional<JobRecord> record;
  HeadVersion version = 0;
};
// By the job's name, as for JobKey. kUnimplemented for one of a later Reprise.
Result<StoredJob> ReadJob(HeadStore* heads, std::string_view job);

// Running (or cut off), paused or failed: somebody may go on with it.
bool IsUnfinished(const JobRecord& record);

// For an unfinished job that nobody works on: changes what is recorded.
// kNotFound without one; kFailedPrecondition, with who holds it, when one runs,
// as told by its heartbeat unless `has_store_alone`.
Status MarkJob(HeadStore* heads, const Clock& clock, std::string_view job,
               JobPhase phase, bool has_store_alone);

// Not thread-safe, but for HeartbeatIsDue.
class JobKeeper {
 public:
  // Not owned; both outlive this. `job` is a constant, and opens messages.
  JobKeeper(HeadStore* heads, const Clock* clock, std::string_view job)
      : heads_(heads), clock_(clock), job_(job) {}

  // The unfinished one that is to be gone on with; nothing: begin anew.
  // kFailedPrecondition, with who holds it, while it runs: a record that says
  // so is of one that was cut off when its heartbeat is old, or at once where
  // the caller `has_store_alone`.
  Result<std::optional<JobRecord>> Find(bool has_store_alone);
  // Makes the record that of a run that begins now, and writes it.
  // kFailedPrecondition when somebody else did since Find.
  Status Begin(JobRecord* record, Durability durability);
  // Stamps the record with the time, and writes it. kFailedPrecondition, with
  // who, when somebody else goes on with the job: then it is no longer ours.
  Status Write(JobRecord* record, Durability durability);
  bool HeartbeatIsDue(const JobRecord& record) const;

 private:
  std::string Text(std::string_view message) const {
    return std::string(job_) + ": " + std::string(message);
  }

  HeadStore* const heads_;
  const Clock* const clock_;
  const std::string_view job_;
  HeadVersion version_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_STORE_JOB_KEEPER_H_
