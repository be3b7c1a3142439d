// What a plan says is what a job then does.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/store/catalogue_fixture.h"
#include "tests/tools/compaction/coded_state.h"
#include "tools/compaction/plan.h"
#include "tools/compaction/segment_sinker.h"
#include "tools/compaction/tier_check.h"

namespace reprise {
namespace {

class PlanJobTest : public CatalogueFixture {
 protected:
  CompactionPlan Plan() {
    CompactionPlanner planner(catalogue_.get(), &rules_,
                              MakeTierCheck(catalogue_.get()),
                              {.now_ms = clock_.WallMs()});
    while (!planner.done()) {
      const Status status = planner.Step();
      EXPECT_TRUE(status.ok()) << status.ToString();
      if (!status.ok()) break;
    }
    return planner.plan();
  }

  // All that a pass over the sessions asks for.
  void Run() {
    WantedTiers wanted(catalogue_.get(), &rules_, {.now_ms = clock_.WallMs()});
    while (!wanted.done()) REPRISE_ASSERT_OK(wanted.Step());
    std::vector<SinkTask> tasks;
    SessionWalk walk(engine_.get());
    while (true) {
      const auto session = walk.Next();
      REPRISE_ASSERT_OK(session.status());
      if (!session->has_value()) break;
      const SessionWish wish = WishOf(rules_, **session, clock_.WallMs());
      SessionSegments segments(catalogue_.get(), (*session)->info.record);
      std::vector<SegmentUse> uses;
      while (!segments.done()) {
        REPRISE_ASSERT_OK(segments.Next(&uses));
        for (const SegmentUse& use : uses) {
          const auto entry = wanted.Find(segments.domain(), use.id);
          if (entry->wanted != wish.wanted || entry->is_visited) continue;
          if (entry->wanted <= Wanted::kExact) continue;
          wanted.Visit(segments.domain(), use.id);
          tasks.push_back({segments.domain(), use.id, TierOf(entry->wanted),
                           FindLadder(rules_.ladders, wish.ladder)});
        }
      }
    }
    SegmentSinker sinker(catalogue_.get(), {});
    std::vector<SinkReport> reports;
    REPRISE_ASSERT_OK(sinker.Sink(tasks, &reports));
  }

  void Save(std::string_view name, uint64_t seed, size_t tokens,
            std::string_view policy) {
    REPRISE_ASSERT_OK(coded_.Save(name, ToyTokens(seed, tokens), {}));
    REPRISE_ASSERT_OK(
        StatusOf(catalogue_->SetPolicy(tenant_, name, {.policy = policy})));
  }

  // Sinks as planned: segments by tier to the number, bytes that are dropped to
  // the byte, bytes that are encoded to `share`.
  void ExpectItComesAsPlanned(double share) {
    const CompactionPlan plan = Plan();
    Run();
    const CompactionPlan after = Plan();
    for (size_t tier = 0; tier < kPlanRows; ++tier) {
      SCOPED_TRACE(tier);
      const PlanRow& planned = plan.rows[tier];
      EXPECT_EQ(planned.segments_after, after.rows[tier].segments_now);
      EXPECT_NEAR(static_cast<double>(planned.bytes_after),
                  static_cast<double>(after.rows[tier].bytes_now),
                  share * static_cast<double>(planned.bytes_after));
    }
    // There is nothing more to do.
    EXPECT_EQ(after.rows, Plan().rows);
    EXPECT_EQ(0u, after.dropped_segments);
    EXPECT_TRUE(after.encodes.empty());
    EXPECT_EQ(after.total().bytes_now, after.total().bytes_after);
  }

  PolicyRules rules_;
  CodedWorker coded_{catalogue_.get(), tenant_, TinyModel()};
};

TEST_F(PlanJobTest, EncodedAndMeasured) {
  const char* const policy = "series: exact 1h, near 1d, coarse 30d, tokens";
  Save("a", 1, 200, policy);
  clock_.AdvanceMs(2 * kHourMs);
  const CompactionPlan first = Plan();
  ASSERT_EQ(1u, first.encodes.size());
  EXPECT_EQ(EstimateFrom::kNominal, first.encodes[0].estimate.from);
  Run();
  // Once some are there, what others will take is known.
  Save("b", 2, 300, policy);
  clock_.AdvanceMs(2 * kHourMs);
  const CompactionPlan second = Plan();
  ASSERT_EQ(1u, second.encodes.size());
  EXPECT_EQ(EstimateFrom::kMeasured, second.encodes[0].estimate.from);
  EXPECT_EQ(4u, second.encodes[0].segments);
  ExpectItComesAsPlanned(0.02);
}

TEST_F(PlanJobTest, ToTokens) {
  Save("a", 1, 200, "exact 1h, tokens");
  Save("b", 2, 200, "exact 1d, tokens");
  clock_.AdvanceMs(2 * kHourMs);
  ExpectItComesAsPlanned(0);
}

TEST_F(PlanJobTest, Derived) {
  REPRISE_ASSERT_OK(
      StatusOf(worker_.Save("a", ToyTokens(1, 128), StagedToy())));
  for (const int64_t idle_ms : {kDayMs, 29 * kDayMs, kYearMs}) {
    clock_.AdvanceMs(idle_ms);
    ExpectItComesAsPlanned(0);
  }
}

TEST_F(PlanJobTest, SkippedAlike) {
  Save("a", 1, 200, "exact 1h, near 1d, tokens");
  clock_.AdvanceMs(2 * kHourMs);
  const CompactionPlan plan = Plan();
  ASSERT_EQ(1u, plan.skips.size());
  EXPECT_EQ(3u, plan.skips[0].segments);
  EXPECT_NE(std::string::npos,
            plan.skips[0].reason.find("reprise calibrate klt"));
  ExpectItComesAsPlanned(0);
}

}  // namespace
}  // namespace reprise
