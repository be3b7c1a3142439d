// What a plan says is what a job then does.
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "codec/klt_profile_format.h"
#include "store/segment_reader.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/klt_parts.h"
#include "tests/tools/compaction/coded_state.h"
#include "tools/compaction/plan.h"
#include "tools/compaction/policy_wishes.h"
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

  // All that policies ask for.
  void Run() {
    PolicyWishes wishes(catalogue_.get(), &rules_);
    while (!wishes.ready()) REPRISE_ASSERT_OK(wishes.Prepare());
    std::vector<SinkTask> tasks;
    for (bool is_last = false; !is_last;) {
      const auto batch = wishes.Next(64);
      REPRISE_ASSERT_OK(batch.status());
      tasks.insert(tasks.end(), batch->tasks.begin(), batch->tasks.end());
      is_last = batch->is_last;
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

  // "tsc/near " for each rendition, segment by segment, then of the tail.
  std::string Kept(const std::vector<TokenId>& tokens) {
    std::string out;
    for (const SegmentRecord& segment : ToySegments(coded_.model(), tokens)) {
      const SegmentRef ref{segment.Id(), segment.is_tail()
                                             ? ObjectSpace::kTail
                                             : ObjectSpace::kSegment};
      std::vector<StoredSegment> stored;
      EXPECT_TRUE(
          ReadSegments(engine_.get(), tenant_, {&ref, 1}, {}, &stored).ok());
      EXPECT_TRUE(stored[0].rendition_status.ok());
      for (const Rendition& each : stored[0].set.renditions) {
        out += std::string(CodecIdName(each.codec)) + "/" +
               std::string(TierName(each.effective())) + " ";
      }
    }
    return out;
  }
  std::string NoProfile(const std::string& way, const std::string& codec) {
    return way + ": there is no profile of codec " + codec + " for model " +
           coded_.model().ShortHex() + "; `reprise calibrate " + codec +
           "` makes one";
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

// Nothing sinks while the only tier that is due can't be made, and what comes
// after it in the ladder is reached all the same.
TEST_F(PlanJobTest, ATierWithoutAProfileIsPassedOver) {
  rules_.ladders.push_back({"mixed",
                            {{Tier::kExact, "exact"},
                             {Tier::kNear, "klt:tier=near"},
                             {Tier::kCoarse, "tsc:bits=4"},
                             {Tier::kArchive, "vq:centroids=16"}}});
  Save("a", 1, 128, "mixed: exact 1h, near 1d, coarse 30d, archive 1y, tokens");
  const auto tiers = [this] { return Kept(ToyTokens(1, 128)); };

  clock_.AdvanceMs(2 * kHourMs);
  const std::string no_klt =
      NoProfile("ladder mixed: tier near by klt:tier=near", "klt");
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
      NoProfile("ladder mixed: tier archive by vq:centroids=16", "vq");
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

// Two of its tiers need profiles.
Ladder WithHoles() {
  return {"holes",
          {{Tier::kExact, "exact"},
           {Tier::kNear, "tsc:bits=8"},
           {Tier::kCoarse, "klt:tier=coarse"},
           {Tier::kArchive, "vq:centroids=16"}}};
}

// What is due for a tier that can't be made sinks as if the ladder did not have
// it: to the tier before, with its tail, and never up.
TEST_F(PlanJobTest, WhatATierCanNotTakeSinksToTheOneBeforeIt) {
  rules_.ladders.push_back(WithHoles());
  const std::string_view policy =
      "holes: exact 1h, near 1d, coarse 30d, archive 1y, tokens";
  const auto a = ToyTokens(1, 150);
  const auto b = ToyTokens(2, 128);
  Save("a", 1, 150, policy);
  // As bad as the tier that is due already, whatever can be made.
  REPRISE_ASSERT_OK(coded_.Save("b", b, {.codec = "tsc:bits=4"}));
  REPRISE_ASSERT_OK(
      StatusOf(catalogue_->SetPolicy(tenant_, "b", {.policy = policy})));
  const std::string no_klt =
      NoProfile("ladder holes: tier coarse by klt:tier=coarse", "klt");
  const std::string no_vq =
      NoProfile("ladder holes: tier archive by vq:centroids=16", "vq");

  clock_.AdvanceMs(2 * kDayMs);
  CompactionPlan plan = Plan();
  ASSERT_EQ(2u, plan.skips.size());
  EXPECT_EQ(Tier::kExact, plan.skips[0].instead);
  EXPECT_EQ(1u, plan.skips[0].segments);  // the tail
  EXPECT_EQ(no_klt, plan.skips[1].reason);
  EXPECT_EQ(Tier::kCoarse, plan.skips[1].tier);
  EXPECT_EQ(Tier::kNear, plan.skips[1].instead);
  EXPECT_EQ(2u, plan.skips[1].segments);
  ASSERT_EQ(1u, plan.encodes.size());
  EXPECT_EQ(Tier::kNear, plan.encodes[0].tier);
  Run();
  ASSERT_EQ(5u, reports_.size());
  int encoded = 0;
  for (const SinkReport& each : std::span(reports_).first(3)) {
    EXPECT_EQ(no_klt, each.reason);
    const bool is_segment = each.result == SinkResult::kEncoded;
    encoded += is_segment ? 1 : 0;
    EXPECT_EQ(is_segment ? Tier::kNear : Tier::kExact, each.instead);
    EXPECT_TRUE(is_segment || each.result == SinkResult::kSkipped);
  }
  EXPECT_EQ(2, encoded);  // and the tail skipped
  EXPECT_EQ(SinkResult::kNothingToDo, reports_[3].result);
  EXPECT_EQ("", reports_[3].reason);
  EXPECT_EQ("tsc/near tsc/near exact/exact ", Kept(a));
  EXPECT_EQ("tsc/coarse tsc/coarse ", Kept(b));
  // That was all: the plan from here on has nothing to do, and says why.
  ExpectItComesAsPlanned(0);
  ASSERT_EQ(1u, Plan().skips.size());
  EXPECT_EQ(3u, Plan().skips[0].segments);

  // Two that are due can't be made: it stays where the third one is.
  clock_.AdvanceMs(40 * kDayMs);
  plan = Plan();
  ASSERT_EQ(2u, plan.skips.size());
  EXPECT_EQ(3u, plan.skips[0].segments);
  EXPECT_EQ(no_vq, plan.skips[1].reason);
  EXPECT_EQ(5u, plan.skips[1].segments);
  ExpectItComesAsPlanned(0);
  EXPECT_EQ(no_vq + "; " + no_klt, reports_[0].reason);
  EXPECT_EQ(SinkResult::kSkipped, reports_[0].result);
  EXPECT_EQ(no_vq, reports_[3].reason);
  EXPECT_EQ("tsc/near tsc/near exact/exact ", Kept(a));
  EXPECT_EQ("tsc/coarse tsc/coarse ", Kept(b));

  // It goes on once the lack is over.
  REPRISE_ASSERT_OK(StatusOf(catalogue_->PutProfile(
      tenant_, coded_.model(), CodecId::kKlt,
      EncodeKltProfile(PlainKltParts(coded_.spec())), true)));
  Run();
  EXPECT_EQ("klt/coarse klt/coarse ", Kept(a));
  EXPECT_EQ(no_vq, reports_[0].reason);
  EXPECT_EQ(Tier::kCoarse, reports_[0].instead);
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
