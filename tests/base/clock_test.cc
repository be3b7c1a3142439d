#include "base/clock.h"

#include <gtest/gtest.h>

namespace reprise {
namespace {

TEST(ManualClockTest, StandsStillUntilMoved) {
  ManualClock clock(5000);
  EXPECT_EQ(clock.WallMs(), 5000);
  EXPECT_EQ(clock.MonotonicNs(), 0);
  clock.AdvanceMs(250);
  EXPECT_EQ(clock.WallMs(), 5250);
  EXPECT_EQ(clock.MonotonicNs(), 250'000'000);
  EXPECT_EQ(clock.MonotonicMs(), 250);
}

TEST(ManualClockTest, WallTimeMayJumpBackAlone) {
  ManualClock clock(5000);
  clock.AdvanceMs(10);
  clock.SetWallMs(100);
  EXPECT_EQ(clock.WallMs(), 100);
  EXPECT_EQ(clock.MonotonicMs(), 10);
}

TEST(SystemClockTest, MonotonicTimeNeverGoesBack) {
  const Clock& clock = SystemClock();
  int64_t last = clock.MonotonicNs();
  for (int i = 0; i < 10'000; ++i) {
    const int64_t now = clock.MonotonicNs();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(SystemClockTest, WallTimeIsOfThisCentury) {
  constexpr int64_t kYear2024Ms = 1'704'067'200'000;
  constexpr int64_t kYear2100Ms = 4'102'444'800'000;
  EXPECT_GT(SystemClock().WallMs(), kYear2024Ms);
  EXPECT_LT(SystemClock().WallMs(), kYear2100Ms);
}

}  // namespace
}  // namespace reprise
