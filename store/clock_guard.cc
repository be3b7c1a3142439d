#include "store/clock_guard.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "store/records.h"

namespace reprise {
namespace {

// Version 0 where there is none yet.
Result<HeadRecord> ReadRecord(HeadStore* heads) {
  Result<HeadRecord> record = heads->GetHead(HeadSpace::kMeta, kClockKey);
  if (record.status().Is(StatusCode::kNotFound)) return HeadRecord();
  if (!record.ok()) return record.status().WithContext("read clock");
  return record;
}

Result<ClockReading> ReadingOf(const HeadRecord& record, int64_t now_ms) {
  ClockReading reading;
  reading.now_ms = now_ms;
  if (record.version == 0) return reading;
  REPRISE_ASSIGN_OR_RETURN(reading.kept_ms, DecodeClock(record.value.view()));
  return reading;
}

// A machine whose clock never ran may be before 1970.
Bytes RecordOf(int64_t now_ms) {
  return EncodeClock(std::max<int64_t>(1, now_ms));
}

// Somebody who was faster has just written down what time it is.
Status Write(HeadStore* heads, HeadVersion expected, int64_t now_ms) {
  const Result<HeadVersion> written =
      heads->CompareAndSwap(HeadSpace::kMeta, kClockKey, expected,
                            RecordOf(now_ms), Durability::kSynced);
  if (written.ok() || written.status().Is(StatusCode::kFailedPrecondition)) {
    return Status();
  }
  return written.status().WithContext("keep clock");
}

}  // namespace

Result<ClockReading> ReadClock(HeadStore* heads, int64_t now_ms) {
  REPRISE_ASSIGN_OR_RETURN(const HeadRecord record, ReadRecord(heads));
  return ReadingOf(record, now_ms);
}

Result<ClockReading> KeepClock(HeadStore* heads, int64_t now_ms) {
  REPRISE_ASSIGN_OR_RETURN(const HeadRecord record, ReadRecord(heads));
  REPRISE_ASSIGN_OR_RETURN(const ClockReading reading,
                           ReadingOf(record, now_ms));
  const bool is_due =
      reading.kept_ms == 0 || std::abs(reading.ahead_ms()) >= kClockKeptMs;
  if (reading.is_ahead() || !is_due) return reading;
  REPRISE_RETURN_IF_ERROR(Write(heads, record.version, now_ms));
  return reading;
}

Status CheckClock(const ClockReading& reading) {
  if (!reading.is_ahead()) return Status();
  return FailedPreconditionError(
      "clock: it says " + std::to_string(reading.now_ms) + " ms, " +
      FormatDuration(reading.ahead_ms() / kSecondMs * kSecondMs) +
      " after the last time written down, " + std::to_string(reading.kept_ms) +
      " ms; more than " + FormatDuration(kMostClockAheadMs) +
      " is taken for a jump, and nothing sinks or is removed until an operator "
      "confirms the time: reprise compact confirm-clock");
}

Status ConfirmClock(HeadStore* heads, int64_t now_ms) {
  while (true) {
    REPRISE_ASSIGN_OR_RETURN(const HeadRecord record, ReadRecord(heads));
    const Result<HeadVersion> written =
        heads->CompareAndSwap(HeadSpace::kMeta, kClockKey, record.version,
                              RecordOf(now_ms), Durability::kSynced);
    if (written.ok()) return Status();
    if (!written.status().Is(StatusCode::kFailedPrecondition)) {
      return written.status().WithContext("confirm clock");
    }
  }
}

}  // namespace reprise
