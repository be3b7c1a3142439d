// Sessions whose frames were given up, as a worker meets them.
#include <gtest/gtest.h>

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
      tasks.push_back({tenant_, segment.Id(), Tier::kTokens, nullptr});
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
}

}  // namespace
}  // namespace reprise
