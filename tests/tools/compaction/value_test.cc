#include "tools/compaction/value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace reprise {
namespace {

constexpr int64_t kHour = 3'600'000;
constexpr RestoreRates kRates{.prefill_tokens_per_s = 1000,
                              .restore_bytes_per_s = 1e6};
constexpr Watermarks kMarks{1000, 90, 70};

// 10,000 tokens that take ten seconds to prefill.
SessionFacts Facts(uint64_t index, int64_t idle_ms, uint64_t own_bytes) {
  SessionFacts facts;
  facts.index = index;
  facts.idle_ms = idle_ms;
  facts.tokens = 10'000;
  facts.bytes = own_bytes;
  facts.own_bytes = own_bytes;
  facts.sink_frees_bytes = own_bytes / 2;
  facts.tokens_free_bytes = own_bytes;
  return facts;
}

TEST(ValueTest, IsSavedTimeOverIdleTimeAndOwnBytes) {
  SessionFacts facts = Facts(0, 3 * kHour, 1'000'000);
  EXPECT_DOUBLE_EQ(9000, SavedMs(facts.tokens, facts.bytes, kRates));
  EXPECT_DOUBLE_EQ(9000.0 / (4.0 * kHour) / 1e6, ValueOf(facts, kRates));
  // No faster than a prefill.
  facts.bytes = 100'000'000;
  EXPECT_DOUBLE_EQ(1, SavedMs(facts.tokens, facts.bytes, kRates));
  facts.own_bytes = 0;
  EXPECT_TRUE(std::isinf(ValueOf(facts, kRates)));
}

TEST(ValueTest, FallsWithIdleTimeAndOwnBytesAndRisesWithTokens) {
  const double value = ValueOf(Facts(0, kHour, 1000), kRates);
  EXPECT_LT(ValueOf(Facts(0, 2 * kHour, 1000), kRates), value);
  EXPECT_LT(ValueOf(Facts(0, kHour, 2000), kRates), value);
  SessionFacts longer = Facts(0, kHour, 1000);
  longer.tokens *= 2;
  EXPECT_GT(ValueOf(longer, kRates), value);
  // Shared bytes are no gain.
  SessionFacts shared = Facts(0, kHour, 1000);
  shared.own_bytes = 10;
  EXPECT_GT(ValueOf(shared, kRates), value);
}

TEST(ValueTest, TheExamplesOfThePageAreRight) {
  const RestoreRates rates;
  SessionFacts facts;
  facts.tokens = 4000;
  facts.bytes = facts.own_bytes = 120'000'000;
  facts.idle_ms = 24 * kHour;
  EXPECT_NEAR(1760, SavedMs(facts.tokens, facts.bytes, rates), 0.01);
  const double a_day = ValueOf(facts, rates);
  EXPECT_NEAR(1.63e-13, a_day, 0.005e-13);
  SessionFacts branch = facts;
  branch.tokens = 4100;
  branch.bytes = 123'000'000;
  branch.own_bytes = 3'000'000;
  EXPECT_NEAR(41, ValueOf(branch, rates) / a_day, 0.5);
  facts.idle_ms = 30 * 24 * kHour;
  EXPECT_NEAR(5.65e-15, ValueOf(facts, rates), 0.005e-15);
}

TEST(SpaceTest, NothingIsSunkUpToTheHighWatermark) {
  const std::vector<SessionFacts> sessions = {Facts(0, kHour, 500)};
  EXPECT_TRUE(PlanSpace(900, kMarks, kRates, sessions).choices.empty());
  EXPECT_EQ(1u, PlanSpace(901, kMarks, kRates, sessions).choices.size());
  const Watermarks no_limit;
  EXPECT_TRUE(
      PlanSpace(UINT64_MAX, no_limit, kRates, sessions).choices.empty());
}

TEST(SpaceTest, TheLeastValueGoesFirstDownToTheLowWatermark) {
  // 950 used: 250 are to be freed, half of what each holds is.
  const std::vector<SessionFacts> sessions = {
      Facts(0, kHour, 300), Facts(1, 30 * kHour, 300), Facts(2, kHour, 200),
      Facts(3, 8 * kHour, 300)};
  const SpacePlan plan = PlanSpace(950, kMarks, kRates, sessions);
  EXPECT_EQ((std::vector<SpaceChoice>{{1, false}, {3, false}}), plan.choices);
  EXPECT_EQ(300u, plan.freed_bytes);
  EXPECT_TRUE(plan.is_enough);
}

TEST(SpaceTest, ThenTokensAgainOfTheLeastValueFirst) {
  // 1,000 used: 300 are to be freed; sinking all frees 200.
  const std::vector<SessionFacts> sessions = {Facts(0, kHour, 200),
                                              Facts(1, 30 * kHour, 200)};
  const SpacePlan plan = PlanSpace(1000, kMarks, kRates, sessions);
  EXPECT_EQ((std::vector<SpaceChoice>{{1, true}, {0, false}}), plan.choices);
  EXPECT_EQ(300u, plan.freed_bytes);
  EXPECT_TRUE(plan.is_enough);
}

TEST(SpaceTest, WhatIsNotEnoughIsSaid) {
  std::vector<SessionFacts> sessions = {Facts(0, kHour, 100)};
  const SpacePlan plan = PlanSpace(1000, kMarks, kRates, sessions);
  EXPECT_EQ((std::vector<SpaceChoice>{{0, true}}), plan.choices);
  EXPECT_EQ(100u, plan.freed_bytes);
  EXPECT_FALSE(plan.is_enough);
  // A policy that does not end in tokens is kept to.
  sessions[0].tokens_free_bytes = 0;
  const SpacePlan kept = PlanSpace(1000, kMarks, kRates, sessions);
  EXPECT_EQ((std::vector<SpaceChoice>{{0, false}}), kept.choices);
  EXPECT_EQ(50u, kept.freed_bytes);
}

TEST(SpaceTest, PinsRecentUseAndSharedStateAreSpared) {
  std::vector<SessionFacts> sessions = {Facts(0, kHour, 900),
                                        Facts(1, kSparedIdleMs - 1, 900),
                                        Facts(2, kHour, 0)};
  sessions[0].is_left_alone = true;
  const SpacePlan plan = PlanSpace(1000, kMarks, kRates, sessions);
  EXPECT_TRUE(plan.choices.empty());
  EXPECT_FALSE(plan.is_enough);
  sessions[1].idle_ms = kSparedIdleMs;
  EXPECT_EQ((std::vector<SpaceChoice>{{1, false}}),
            PlanSpace(1000, kMarks, kRates, sessions).choices);
}

TEST(WatermarksTest, LeaveRoomAndStandInOrder) {
  EXPECT_EQ(900u, kMarks.high_bytes());
  EXPECT_EQ(700u, kMarks.low_bytes());
  const Watermarks huge{UINT64_MAX, 95, 50};
  EXPECT_GT(huge.high_bytes(), UINT64_MAX / 100 * 94);
  EXPECT_TRUE(CheckWatermarks(Watermarks()).ok());
  EXPECT_TRUE(CheckWatermarks({1, 95, 94}).ok());
  EXPECT_FALSE(CheckWatermarks({1, 96, 50}).ok());
  EXPECT_FALSE(CheckWatermarks({1, 80, 80}).ok());
  const Status none = CheckWatermarks({1, 80, 0});
  EXPECT_TRUE(none.Is(StatusCode::kInvalidArgument));
  EXPECT_NE(std::string::npos, none.message().find("low watermark is 0 %"));
  EXPECT_EQ(5u, UsedBytes({.live_bytes = 3, .disk_bytes = 5}));
  EXPECT_EQ(3u, UsedBytes({.live_bytes = 3}));
}

}  // namespace
}  // namespace reprise
