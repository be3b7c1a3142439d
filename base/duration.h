// Durations as people write them: "90s", "30d", "1y". One whole number and one
// unit, in lower case; text that a program wrote reads back as the same time.
#ifndef REPRISE_BASE_DURATION_H_
#define REPRISE_BASE_DURATION_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace reprise {

// Where a duration or a point in time may be without end.
inline constexpr int64_t kForeverMs = INT64_MAX;

inline constexpr int64_t kSecondMs = 1000;
inline constexpr int64_t kMinuteMs = 60 * kSecondMs;
inline constexpr int64_t kHourMs = 60 * kMinuteMs;
inline constexpr int64_t kDayMs = 24 * kHourMs;
inline constexpr int64_t kWeekMs = 7 * kDayMs;
inline constexpr int64_t kYearMs = 365 * kDayMs;
// The longest that can be written: a sum with any date stays far below 2^63.
inline constexpr int64_t kMaxDurationMs = 1000 * kYearMs;

// Reads a duration at the front of *text and takes it away from there: digits
// without a zero in front, then s, m, h, d, w (7 days) or y (365 days). It is
// 1 s to kMaxDurationMs. kInvalidArgument says what is expected, and leaves
// *text where it was expected.
Result<int64_t> TakeDuration(std::string_view* text);

// A whole text that is one duration. kInvalidArgument, with the column (from 1
// on, in bytes) and what is expected there.
Result<int64_t> ParseDuration(std::string_view text);

// In the largest unit in which it is whole: 86,400,000 is "1d", 90,000 "90s".
// Milliseconds that no unit holds are shown as a fraction, "1.5s", and a
// duration of zero as "0s"; neither reads back. REQUIRES: ms >= 0.
std::string FormatDuration(int64_t ms);

}  // namespace reprise

#endif  // REPRISE_BASE_DURATION_H_
