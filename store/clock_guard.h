// Whether the wall clock can be trusted with what can't be undone: sinking
// and removing by idle time. Every daemon and job writes down what time it is,
// now and then. A clock that is more than a day ahead of the last time written
// down has jumped, or nobody looked for a day: then nothing sinks or is removed
// until an operator says that the time is right (`reprise compact
// confirm-clock`). A clock that was set back does no harm, since no idle time
// is below 0; what is written down follows it, so that its way forward again is
// a jump like any other. Record: docs/format/records.md, section 7.
//
// Free functions without state; thread-safe as the store is, with any number of
// daemons.
#ifndef REPRISE_STORE_CLOCK_GUARD_H_
#define REPRISE_STORE_CLOCK_GUARD_H_

#include <cstdint>

#include "base/duration.h"
#include "base/status.h"
#include "store/engine.h"

namespace reprise {

// Further ahead than this is a jump.
inline constexpr int64_t kMostClockAheadMs = kDayMs;
// KeepClock writes no more often.
inline constexpr int64_t kClockKeptMs = kMinuteMs;

struct ClockReading {
  int64_t now_ms = 0;
  int64_t kept_ms = 0;  // what was written down last; 0: nothing yet

  int64_t ahead_ms() const { return now_ms - kept_ms; }  // negative: set back
  bool is_ahead() const {
    return kept_ms != 0 && ahead_ms() > kMostClockAheadMs;
  }
};

// Writes nothing. kDataLoss when the record is damaged: as good as a jump.
Result<ClockReading> ReadClock(HeadStore* heads, int64_t now_ms);

// Writes `now_ms` down unless it is ahead. The reading is of before. To be
// called a few times a day at least by whatever runs, and before a job sinks
// or removes anything.
Result<ClockReading> KeepClock(HeadStore* heads, int64_t now_ms);

// kFailedPrecondition, with both times and how to go on, when it is ahead.
Status CheckClock(const ClockReading& reading);

// What an operator does who has seen that the clock is right: writes `now_ms`
// down whatever is there, a damaged record too.
Status ConfirmClock(HeadStore* heads, int64_t now_ms);

}  // namespace reprise

#endif  // REPRISE_STORE_CLOCK_GUARD_H_
