// Sessions whose frames were given up, as a worker meets them.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/toy_state.h"
#include "tools/compaction/segment_sinker.h"

namespace reprise {
namespace {

class ThawTest : public testing::Test {
 protected:
  // Two segments and a tail, down to their tokens.
  void SaveAndSink() {
    ASSERT_OK(worker_.Save("s", tokens_));
    std::vector<SinkTask> tasks;
    for (const SegmentRecord& segment :
         ToySegments(IdOf(worker_.model), tokens_)) {
      tasks.push_back({tenant_, segment.Id(), {Tier::kTokens}, nullptr});
    }
    SegmentSinker sinker(daemon_.catalogue(), {});
    std::vector<SinkReport> reports;
    const Status status = sinker.Sink(tasks, &reports);
    ASSERT_TRUE(status.ok()) << status.ToString();
    for (const SinkReport& report : reports) {
      ASSERT_EQ(report.result, SinkResult::kDropped);
    }
  }
  uint64_t SegmentsOf(Tier tier) {
    const auto size = daemon_.catalogue()->MeasureSession(tenant_, "s");
    EXPECT_TRUE(size.ok());
    return size.ok() ? size->segments_by_tier[static_cast<size_t>(tier)] : 0;
  }

  const DomainId tenant_ = TenantDomain("default");
  const std::vector<TokenId> tokens_ = ToyTokens(1, 150);
  TestDaemon daemon_;
  TestWorker worker_{daemon_.Connect()};
};

TEST_F(ThawTest, ARestoreGivesTheTokensAndSaysToRecomputeThemAll) {
  SaveAndSink();
  EXPECT_EQ(SegmentsOf(Tier::kTokens), 3u);
  const auto restored = worker_.Restore("s", {.lowest = Tier::kArchive});
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 0u);
  EXPECT_EQ(restored->recompute_from, 0u);
  EXPECT_EQ(restored->info.tokens, tokens_);
}

TEST_F(ThawTest, WhoRecomputedSavesItAndItIsExactAgain) {
  SaveAndSink();
  std::vector<TokenId> longer = tokens_;
  const auto turn = ToyTokens(2, 60);
  longer.insert(longer.end(), turn.begin(), turn.end());
  ASSERT_OK(worker_.Save("s", longer));
  EXPECT_EQ(SegmentsOf(Tier::kExact), 4u);
  const auto restored = worker_.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, longer.size());
  EXPECT_FALSE(restored->recompute_from.has_value());
}

// What there is, up to where it is worse than asked for.
TEST_F(ThawTest, ARestoreGivesWhatIsGoodEnoughAndSaysWhereItEnds) {
  // From token 64 on it was computed from lossy state.
  SaveRequest lossy;
  lossy.basis = {{64, 128, Tier::kNear, Tier::kExact}};
  ASSERT_OK(worker_.Save("s", tokens_, lossy));
  const auto exact = worker_.Restore("s", {.lowest = Tier::kExact});
  ASSERT_OK(exact);
  EXPECT_EQ(exact->valid_end, 64u);
  EXPECT_EQ(exact->recompute_from, 64u);
  EXPECT_EQ(exact->info.tokens, tokens_);
  const auto near = worker_.Restore("s", {.lowest = Tier::kNear});
  ASSERT_OK(near);
  EXPECT_EQ(near->valid_end, tokens_.size());
  EXPECT_FALSE(near->recompute_from.has_value());
  // Of a range that is all there nothing is to be recomputed.
  const auto part =
      worker_.Restore("s", {.end_token = 64, .lowest = Tier::kExact});
  ASSERT_OK(part);
  EXPECT_EQ(part->valid_end, 64u);
  EXPECT_FALSE(part->recompute_from.has_value());
}

TEST_F(ThawTest, ExactStateTakesThePlaceOfLossyStateAndNeverTheOtherWayRound) {
  SaveRequest lossy;
  lossy.basis = {{64, 128, Tier::kNear, Tier::kExact}};
  ASSERT_OK(worker_.Save("s", tokens_, lossy));
  EXPECT_EQ(SegmentsOf(Tier::kNear), 2u);
  // Recomputed from token 64 on, and saved again: nothing else travels.
  const auto restored = worker_.Restore("s", {.lowest = Tier::kExact});
  ASSERT_OK(restored);
  const auto plan = worker_.client->PlanSave("s", worker_.model, tokens_);
  ASSERT_OK(plan);
  EXPECT_EQ(plan->first_token, tokens_.size());
  EXPECT_EQ(plan->better_from, 64u);
  lossy.model = worker_.model;
  lossy.tokens = tokens_;
  EXPECT_EQ(worker_.client->PlanSave("s", lossy)->better_from, tokens_.size());
  SaveRequest recomputed;
  recomputed.basis = restored->info.ranges;
  for (TierRange& range : recomputed.basis) {
    range.end_token = std::min(range.end_token, *restored->recompute_from);
  }
  const auto saved = worker_.Save("s", tokens_, recomputed);
  ASSERT_OK(saved);
  EXPECT_GT(saved->frame_bytes, 0u);
  EXPECT_EQ(SegmentsOf(Tier::kExact), 3u);
  EXPECT_FALSE(worker_.Restore("s")->recompute_from.has_value());
  // The lossy one again changes nothing.
  const auto again = worker_.Save("s", tokens_, lossy);
  ASSERT_OK(again);
  EXPECT_EQ(again->frame_bytes, 0u);
  EXPECT_EQ(SegmentsOf(Tier::kExact), 3u);
  EXPECT_FALSE(worker_.Restore("s")->recompute_from.has_value());
}

TEST_F(ThawTest, AMatchSaysWhatEachRangeTakes) {
  SaveRequest lossy;
  lossy.basis = {{64, 128, Tier::kNear, Tier::kExact}};
  ASSERT_OK(worker_.Save("s", tokens_, lossy));
  // Only a fetch tells how fast frames come.
  const auto before =
      worker_.client->Match(worker_.model, tokens_, {.lowest = Tier::kNear});
  ASSERT_OK(before);
  ASSERT_EQ(before->costs.size(), before->ranges.size());
  EXPECT_EQ(before->costs[0].expected_ms, 0);
  ASSERT_OK(worker_.Restore("s", {.lowest = Tier::kNear}));
  const auto match =
      worker_.client->Match(worker_.model, tokens_, {.lowest = Tier::kNear});
  ASSERT_OK(match);
  ASSERT_EQ(match->ranges.size(), 2u);
  EXPECT_EQ(match->ranges[0], (TierRange{0, 64, Tier::kExact, Tier::kExact}));
  EXPECT_EQ(match->ranges[1], (TierRange{64, 150, Tier::kExact, Tier::kNear}));
  ASSERT_EQ(match->costs.size(), 2u);
  uint64_t bytes = 0;
  double ms = 0;
  for (const MatchCost& cost : match->costs) {
    EXPECT_GT(cost.bytes_to_move, 0u);
    bytes += cost.bytes_to_move;
    ms += cost.expected_ms;
  }
  EXPECT_EQ(bytes, match->bytes_to_move);
  // Small fetches may say nothing of the rate; ranges and sum agree all the
  // same.
  EXPECT_NEAR(ms, match->expected_ms, 0.01 * match->expected_ms);
}

}  // namespace
}  // namespace reprise
