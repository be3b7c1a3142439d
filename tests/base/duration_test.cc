#include "base/duration.h"

#include <gtest/gtest.h>

#include <string>

namespace reprise {
namespace {

std::string ErrorOf(std::string_view text) {
  const Result<int64_t> ms = ParseDuration(text);
  return ms.ok() ? "OK" : std::string(ms.status().message());
}

TEST(DurationTest, ReadsEachUnit) {
  const struct {
    std::string_view text;
    int64_t ms;
  } kCases[] = {
      {"1s", 1000},           {"90s", 90'000},           {"5m", 300'000},
      {"1h", 3'600'000},      {"30d", 2'592'000'000},    {"2w", 1'209'600'000},
      {"1y", 31'536'000'000}, {"1000y", kMaxDurationMs},
  };
  for (const auto& each : kCases) {
    const Result<int64_t> ms = ParseDuration(each.text);
    ASSERT_TRUE(ms.ok()) << each.text << ": " << ms.status().ToString();
    EXPECT_EQ(*ms, each.ms) << each.text;
  }
}

TEST(DurationTest, SaysWhereItIsWrongAndWhatIsExpected) {
  const struct {
    std::string_view text;
    std::string_view error;  // how it begins
  } kCases[] = {
      {"", "duration: column 1: a duration is expected"},
      {"d", "duration: column 1: a duration is expected"},
      {"-1d", "duration: column 1: a duration is expected"},
      {" 1d", "duration: column 1: a duration is expected"},
      {"0d", "duration: column 1: a duration is expected"},
      {"01d", "duration: column 1: a duration is expected"},
      {"30", "duration: column 3: a unit is expected"},
      {"30 d", "duration: column 3: a unit is expected"},
      {"1.5h", "duration: column 2: a unit is expected"},
      {"30D", "duration: column 3: a unit is expected"},
      {"15ms", "duration: column 4: the end is expected"},
      {"1h30m", "duration: column 3: the end is expected"},
      {"1001y",
       "duration: column 1: the duration is over the limit of 1000y, which is "
       "1000y"},
      {"365001d",
       "duration: column 1: the duration is over the limit of 1000y, which is "
       "365000d"},
      {"99999999999999999999999999999999s",
       "duration: column 1: the duration is over the limit"},
      {"9223372036854775808s", "duration: column 1: the duration is over"},
  };
  for (const auto& each : kCases) {
    EXPECT_TRUE(ErrorOf(each.text).starts_with(each.error))
        << each.text << ": " << ErrorOf(each.text);
    EXPECT_TRUE(
        ParseDuration(each.text).status().Is(StatusCode::kInvalidArgument));
  }
}

TEST(DurationTest, TakesWhatIsInFrontAndNoMore) {
  std::string_view text = "12h, tokens";
  const Result<int64_t> ms = TakeDuration(&text);
  ASSERT_TRUE(ms.ok());
  EXPECT_EQ(*ms, 12 * kHourMs);
  EXPECT_EQ(text, ", tokens");
  EXPECT_FALSE(TakeDuration(&text).ok());
  EXPECT_EQ(text, ", tokens");
}

TEST(DurationTest, IsWrittenInTheLargestUnitInWhichItIsWhole) {
  EXPECT_EQ(FormatDuration(90 * kSecondMs), "90s");
  EXPECT_EQ(FormatDuration(60 * kMinuteMs), "1h");
  EXPECT_EQ(FormatDuration(36 * kHourMs), "36h");
  EXPECT_EQ(FormatDuration(14 * kDayMs), "2w");
  EXPECT_EQ(FormatDuration(30 * kDayMs), "30d");
  EXPECT_EQ(FormatDuration(365 * kDayMs), "1y");
  EXPECT_EQ(FormatDuration(kMaxDurationMs), "1000y");
  for (int64_t s = 1; s < 10 * kDayMs / kSecondMs; s += 977) {
    const Result<int64_t> again = ParseDuration(FormatDuration(s * kSecondMs));
    ASSERT_TRUE(again.ok());
    ASSERT_EQ(*again, s * kSecondMs);
  }
}

TEST(DurationTest, ShowsWhatHasNoUnit) {
  EXPECT_EQ(FormatDuration(0), "0s");
  EXPECT_EQ(FormatDuration(1), "0.001s");
  EXPECT_EQ(FormatDuration(1500), "1.5s");
  EXPECT_EQ(FormatDuration(86'400'020), "86400.02s");
}

}  // namespace
}  // namespace reprise
