#include "store/clock_guard.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "store/memory_engine.h"
#include "store/records.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"

namespace reprise {
namespace {

constexpr int64_t kStartMs = 1'700'000'000'000;

class ClockGuardTest : public testing::Test {
 protected:
  ClockReading Read(int64_t now_ms) {
    const auto reading = ReadClock(engine_.get(), now_ms);
    EXPECT_TRUE(reading.ok()) << reading.status().ToString();
    return reading.ok() ? *reading : ClockReading();
  }
  ClockReading Keep(int64_t now_ms) {
    const auto reading = KeepClock(engine_.get(), now_ms);
    EXPECT_TRUE(reading.ok()) << reading.status().ToString();
    return reading.ok() ? *reading : ClockReading();
  }
  int64_t Kept() { return Read(kStartMs).kept_ms; }
  void Overwrite(ByteView value) {
    const auto record = engine_->GetHead(HeadSpace::kMeta, kClockKey);
    REPRISE_ASSERT_OK(StatusOf(engine_->CompareAndSwap(
        HeadSpace::kMeta, kClockKey, record.ok() ? record->version : 0, value,
        Durability::kWritten)));
  }

  std::shared_ptr<MemoryStore> store_ = MakeMemoryStore();
  std::unique_ptr<Engine> engine_ = OpenMemoryEngine(store_);
};

TEST_F(ClockGuardTest, ANewStoreTakesTheTimeAsItIs) {
  EXPECT_EQ(0, Read(kStartMs).kept_ms);
  REPRISE_ASSERT_OK(CheckClock(Keep(kStartMs)));
  EXPECT_EQ(kStartMs, Kept());
}

TEST_F(ClockGuardTest, ADayAheadIsAllowedAndNoMore) {
  Keep(kStartMs);
  const int64_t day_later_ms = kStartMs + 24 * kHourMs;
  REPRISE_EXPECT_CODE(kFailedPrecondition, CheckClock(Read(day_later_ms + 1)));
  REPRISE_ASSERT_OK(CheckClock(Read(day_later_ms)));
  REPRISE_ASSERT_OK(CheckClock(Keep(day_later_ms)));
  EXPECT_EQ(day_later_ms, Kept());
}

TEST_F(ClockGuardTest, AJumpIsNeverWrittenDownByItself) {
  Keep(kStartMs);
  const int64_t jump_ms = kStartMs + 10 * kYearMs;
  for (int i = 0; i < 3; ++i) {
    const Status refused = CheckClock(Keep(jump_ms + i * kHourMs));
    REPRISE_EXPECT_CODE(kFailedPrecondition, refused);
    EXPECT_NE(std::string::npos,
              refused.message().find(std::to_string(kStartMs)));
    EXPECT_EQ(kStartMs, Kept());
  }
  REPRISE_ASSERT_OK(ConfirmClock(engine_.get(), jump_ms));
  REPRISE_ASSERT_OK(CheckClock(Keep(jump_ms + kHourMs)));
  EXPECT_EQ(jump_ms + kHourMs, Kept());
}

TEST_F(ClockGuardTest, AClockSetBackIsFollowed) {
  Keep(kStartMs);
  REPRISE_ASSERT_OK(CheckClock(Keep(kStartMs - kYearMs)));
  EXPECT_EQ(kStartMs - kYearMs, Kept());
  // Its way forward again is a jump.
  REPRISE_EXPECT_CODE(kFailedPrecondition, CheckClock(Keep(kStartMs)));
}

TEST_F(ClockGuardTest, IsWrittenOnceAMinute) {
  Keep(kStartMs);
  Keep(kStartMs + kMinuteMs - 1);
  EXPECT_EQ(kStartMs, Kept());
  Keep(kStartMs + kMinuteMs);
  EXPECT_EQ(kStartMs + kMinuteMs, Kept());
}

TEST_F(ClockGuardTest, ADamagedRecordIsAsGoodAsAJump) {
  Keep(kStartMs);
  Bytes damaged = EncodeClock(kStartMs);
  damaged[6] ^= 1;
  Overwrite(damaged);
  REPRISE_EXPECT_CODE(kDataLoss, ReadClock(engine_.get(), kStartMs));
  REPRISE_EXPECT_CODE(kDataLoss, KeepClock(engine_.get(), kStartMs));
  REPRISE_ASSERT_OK(ConfirmClock(engine_.get(), kStartMs));
  EXPECT_EQ(kStartMs, Kept());
}

TEST_F(ClockGuardTest, AnotherDaemonMayBeFaster) {
  FailingEngine hooked(engine_.get());
  int calls = 0;
  hooked.before = [&] {
    if (++calls == 2) Keep(kStartMs + 5);
    return Status();
  };
  REPRISE_ASSERT_OK(StatusOf(KeepClock(&hooked, kStartMs)));
  EXPECT_EQ(kStartMs + 5, Kept());
  calls = 0;
  hooked.before = [&] {
    if (++calls == 2) Keep(kStartMs + kHourMs);
    return Status();
  };
  REPRISE_ASSERT_OK(ConfirmClock(&hooked, kStartMs + kYearMs));
  EXPECT_EQ(kStartMs + kYearMs, Kept());
}

TEST_F(ClockGuardTest, ErrorsOfTheStoreAreAnswered) {
  FailingEngine hooked(engine_.get());
  for (int at = 1; at <= 2; ++at) {
    int calls = 0;
    hooked.before = [&] {
      return ++calls == at ? UnavailableError("down") : Status();
    };
    REPRISE_EXPECT_CODE(kUnavailable, KeepClock(&hooked, kStartMs));
  }
  EXPECT_EQ(0, Kept());
}

}  // namespace
}  // namespace reprise
