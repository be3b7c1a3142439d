// What a plan says is what a job then does.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/klt_profile_format.h"
#include "store/segment_reader.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/klt_parts.h"
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
    REPRISE_ASSERT_OK(sinker.Sink(tasks, &reports_));
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

  Status ReadOne(const SegmentId& id, StoredSegment* out) {
    const SegmentRef ref{id, ObjectSpace::kSegment};
    std::vector<StoredSegment> stored;
    REPRISE_RETURN_IF_ERROR(
        ReadSegments(engine_.get(), tenant_, {&ref, 1}, {}, &stored));
    *out = std::move(stored[0]);
    return out->rendition_status;
  }

  PolicyRules rules_;
  std::vector<SinkReport> reports_;  // of the last Run
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

// A tier that can't be made is left out, not replaced: nothing sinks while it
// is the one that is due, and what comes after it in the ladder is reached all
// the same.
TEST_F(PlanJobTest, ATierWithoutAProfileIsPassedOver) {
  rules_.ladders.push_back({"mixed",
                            {{Tier::kExact, "exact"},
                             {Tier::kNear, "klt:tier=near"},
                             {Tier::kCoarse, "tsc:bits=4"},
                             {Tier::kArchive, "vq:centroids=16"}}});
  Save("a", 1, 128, "mixed: exact 1h, near 1d, coarse 30d, archive 1y, tokens");
  const auto tiers = [this] {
    std::string out;
    for (const SegmentRecord& segment :
         ToySegments(coded_.model(), ToyTokens(1, 128))) {
      StoredSegment stored;
      EXPECT_TRUE(ReadOne(segment.Id(), &stored).ok());
      for (const Rendition& each : stored.set.renditions) {
        out += std::string(CodecIdName(each.codec)) + "/" +
               std::string(TierName(each.effective())) + " ";
      }
    }
    return out;
  };
  const std::string of_model =
      " for model " + coded_.model().ShortHex() + "; `reprise calibrate ";

  clock_.AdvanceMs(2 * kHourMs);
  const std::string no_klt =
      "ladder mixed: tier near by klt:tier=near: there is no profile of codec "
      "klt" +
      of_model + "klt` makes one";
  ASSERT_EQ(1u, Plan().skips.size());
  EXPECT_EQ(no_klt, Plan().skips[0].reason);
  ExpectItComesAsPlanned(0);
  ASSERT_EQ(2u, reports_.size());
  EXPECT_EQ(SinkResult::kSkipped, reports_[0].result);
  EXPECT_EQ(no_klt, reports_[0].reason);
  EXPECT_EQ("exact/exact exact/exact ", tiers());

  // The next one is due, and has all that it needs.
  clock_.AdvanceMs(2 * kDayMs);
  EXPECT_TRUE(Plan().skips.empty());
  EXPECT_EQ(no_klt, Plan().ladders[0].problem);  // it is said all the same
  Run();
  EXPECT_EQ(SinkResult::kEncoded, reports_[0].result) << reports_[0].reason;
  EXPECT_EQ("tsc/coarse tsc/coarse ", tiers());

  // One more that lacks it: what it has stays, by its name and its codec.
  clock_.AdvanceMs(40 * kDayMs);
  const std::string no_vq =
      "ladder mixed: tier archive by vq:centroids=16: there is no profile of "
      "codec vq" +
      of_model + "vq` makes one";
  ASSERT_EQ(1u, Plan().skips.size());
  EXPECT_EQ(no_vq, Plan().skips[0].reason);
  ExpectItComesAsPlanned(0);
  EXPECT_EQ(no_vq, reports_[0].reason);
  EXPECT_EQ("tsc/coarse tsc/coarse ", tiers());

  // And tokens need nothing.
  clock_.AdvanceMs(2 * kYearMs);
  ExpectItComesAsPlanned(0);
  EXPECT_EQ("", tiers());
}

TEST_F(PlanJobTest, SaysWhatWasMeasuredOfEachTier) {
  Save("a", 1, 200, "exact 1h, near 1d, tokens");
  KltProfileParts parts = PlainKltParts(coded_.spec());
  parts.notes = R"({"tiers": {"near": {"kl": 0.002}, "archive": {"kl": 1}}})";
  REPRISE_ASSERT_OK(StatusOf(catalogue_->PutProfile(
      tenant_, coded_.model(), CodecId::kKlt, EncodeKltProfile(parts), true)));
  const CompactionPlan plan = Plan();
  ASSERT_EQ(3u, plan.ladders.size());
  const PlanLadderTier near{coded_.model(),  "default", Tier::kNear,
                            "klt:tier=near", 0.002,     ""};
  EXPECT_EQ(near, plan.ladders[0]);
  EXPECT_FALSE(plan.ladders[1].measured_kl.has_value());
  EXPECT_EQ("", plan.ladders[1].problem);
  EXPECT_EQ(1, plan.ladders[2].measured_kl);
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
