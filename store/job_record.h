// Where a long job on a store stands, so that it goes on after a stop or a
// crash, and is not begun twice. Format: docs/format/records.md, section 8.
#ifndef REPRISE_STORE_JOB_RECORD_H_
#define REPRISE_STORE_JOB_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace reprise {

// Stored; never reused.
enum class JobPhase : uint8_t {
  kRunning = 1,  // or cut off, when its heartbeat is old
  kPaused = 2,
  kCancelled = 3,
  kDone = 4,
  kFailed = 5,  // see reason; goes on like a paused one
};
// "running", "paused", ...; "?" outside the enum.
std::string_view JobPhaseName(JobPhase phase);

inline constexpr size_t kMaxJobTextBytes = 1024;
inline constexpr size_t kMaxJobOptionsBytes = 4096;
inline constexpr size_t kMaxJobCounters = 64;

// Head record kMeta, by JobKey. Texts are at most kMaxJobTextBytes.
struct JobRecord {
  JobPhase phase = JobPhase::kRunning;
  uint64_t run = 0;          // drawn anew by whoever goes on with it; not zero
  int64_t started_ms = 0;    // the first run
  int64_t heartbeat_ms = 0;  // written last
  uint64_t done = 0;         // of total, in what the job counts
  uint64_t total = 0;        // as far as known
  std::string holder;        // who works on it: "pid 4711 (reprised)"
  std::string started_by;    // "reprise compact run", "timer"
  std::string cursor;        // bytes; the job's own: what is done up to there
  std::string reason;        // of a failed one
  std::string options;       // the job's own: how it was asked to be done
  std::vector<uint64_t> counters;  // the job's own

  bool operator==(const JobRecord&) const = default;
};
// Texts that are too long are cut. REQUIRES: at most kMaxJobCounters counters,
// and kMaxJobOptionsBytes of options, which mean nothing when they are cut.
Bytes EncodeJob(const JobRecord& record);
Result<JobRecord> DecodeJob(ByteView bytes);

// "job/compact".
std::string JobKey(std::string_view job);

}  // namespace reprise

#endif  // REPRISE_STORE_JOB_RECORD_H_
