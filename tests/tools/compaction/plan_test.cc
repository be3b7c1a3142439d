#include "tools/compaction/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"
#include "tests/support/toy_state.h"
#include "tools/compaction/plan_text.h"

namespace reprise {
namespace {

using Options = CompactionPlanner::Options;

class PlanTest : public CatalogueFixture {
 protected:
  // A way to every tier, unless it is named in no_way_.
  Result<TierWay> Check(const Ladder& ladder, Tier tier) const {
    const auto reason = no_way_.find(tier);
    if (reason != no_way_.end()) return FailedPreconditionError(reason->second);
    const std::string& choice = ladder.Find(tier)->codec_choice;
    TierWay way{CodecId::kTsc, choice, 1000, {}};
    if (tier == Tier::kNear) way.measured_kl = 0.00137;
    return way;
  }

  CompactionPlan Plan(int64_t idle_ms, Catalogue* catalogue = nullptr,
                      double rate = 0) {
    Options options{.now_ms = clock_.WallMs() + idle_ms};
    options.encode_bytes_per_s = rate;
    CompactionPlanner planner(
        catalogue == nullptr ? catalogue_.get() : catalogue, &rules_,
        [this](const DomainId& domain, const ModelId& model,
               const Ladder& ladder, Tier tier) {
          EXPECT_EQ(tenant_, domain);
          EXPECT_EQ(worker_.model(), model);
          return Check(ladder, tier);
        },
        options);
    failed_ = 0;
    for (int i = 0; i < 10'000 && !planner.done(); ++i) {
      if (!planner.Step().ok()) ++failed_;
    }
    EXPECT_TRUE(planner.done());
    return planner.plan();
  }
  static const PlanRow& Row(const CompactionPlan& plan, Tier tier) {
    return plan.rows[static_cast<size_t>(tier)];
  }
  // All that lies in the spaces of frames.
  uint64_t FrameBytes() {
    uint64_t bytes = 0;
    for (const ObjectSpace space : kAllObjectSpaces) {
      if (space < ObjectSpace::kTailFrame) continue;
      std::vector<ObjectStore::Listed> listed;
      EXPECT_TRUE(engine_->List(space, "", "", 100'000, &listed).ok());
      for (const auto& object : listed) bytes += object.bytes;
    }
    return bytes;
  }
  void Save(std::string_view name, const std::vector<TokenId>& tokens,
            const ToyOptions& options = {}) {
    REPRISE_ASSERT_OK(StatusOf(worker_.Save(name, tokens, options)));
  }
  void SetOwnPolicy(std::string_view name, std::string_view text) {
    REPRISE_ASSERT_OK(
        StatusOf(catalogue_->SetPolicy(tenant_, name, {.policy = text})));
  }
  std::vector<SegmentId> Ids(const std::vector<TokenId>& tokens) {
    return SegmentIdsOf(worker_.model(), tokens);
  }

  PolicyRules rules_;
  std::map<Tier, std::string> no_way_;
  int failed_ = 0;
  const std::vector<TokenId> a_ = ToyTokens(1, 128);
};

TEST_F(PlanTest, AFreshStoreStaysAsItIs) {
  Save("a", ToyTokens(1, 200));
  const CompactionPlan plan = Plan(0);
  EXPECT_EQ(4u, Row(plan, Tier::kExact).segments_now);
  EXPECT_EQ(FrameBytes(), Row(plan, Tier::kExact).bytes_now);
  PlanRow same = Row(plan, Tier::kExact);
  EXPECT_EQ(same.segments_now, same.segments_after);
  EXPECT_EQ(same.bytes_now, same.bytes_after);
  EXPECT_EQ(same, plan.total());
  EXPECT_EQ(0u, plan.dropped_segments);
  EXPECT_TRUE(plan.encodes.empty());
}

// What the plan says of dropping is what comes of it, to the byte.
TEST_F(PlanTest, DroppedBytesAreExact) {
  Save("a", a_, StagedToy());
  const uint64_t before = FrameBytes();
  const CompactionPlan plan = Plan(kDayMs);
  const PlanRow& coarse = Row(plan, Tier::kCoarse);
  EXPECT_EQ(2u, Row(plan, Tier::kNear).segments_now);
  EXPECT_EQ(before, Row(plan, Tier::kNear).bytes_now);
  EXPECT_EQ(0u, Row(plan, Tier::kNear).segments_after);
  EXPECT_EQ(2u, coarse.segments_after);
  EXPECT_EQ(2u, plan.dropped_segments);
  EXPECT_GT(plan.drop_seconds, 0);
  EXPECT_EQ(0, plan.encode_seconds);
  std::vector<SinkOutcome> out;
  REPRISE_ASSERT_OK(catalogue_->DeriveRenditions(
      tenant_, Ids(a_), {Tier::kNear, Tier::kCoarse}, &out));
  // With both there, what they share is counted once.
  EXPECT_EQ(before, Row(Plan(0), Tier::kNear).bytes_now);
  EXPECT_EQ(coarse, Row(Plan(kDayMs), Tier::kCoarse));
  REPRISE_ASSERT_OK(
      catalogue_->DropRenditions(tenant_, Ids(a_), Tier::kNear, &out));
  const CompactionPlan after = Plan(0);
  EXPECT_EQ(coarse.bytes_after, after.total().bytes_now);
  EXPECT_EQ(coarse.dropped_bytes, before - after.total().bytes_now);
}

TEST_F(PlanTest, TokensFreeEverything) {
  Save("a", ToyTokens(1, 200));
  const CompactionPlan plan = Plan(kYearMs);
  EXPECT_EQ(4u, Row(plan, Tier::kTokens).segments_after);
  EXPECT_EQ(0u, plan.total().bytes_after);
  EXPECT_EQ(FrameBytes(), Row(plan, Tier::kTokens).dropped_bytes);
}

TEST_F(PlanTest, TailsGoBelowNear) {
  Save("a", ToyTokens(1, 40));
  EXPECT_EQ(1u, Row(Plan(kHourMs), Tier::kExact).segments_after);
  const CompactionPlan plan = Plan(kDayMs);
  EXPECT_EQ(1u, Row(plan, Tier::kTokens).segments_after);
  EXPECT_EQ(0u, plan.total().bytes_after);
  EXPECT_TRUE(plan.encodes.empty());
}

TEST_F(PlanTest, WithoutAMeasureAnEstimateIsNominal) {
  Save("a", a_);
  const CompactionPlan plan = Plan(kHourMs);
  ASSERT_EQ(1u, plan.encodes.size());
  const PlanEncode& encode = plan.encodes[0];
  EXPECT_EQ(2u, encode.segments);
  EXPECT_EQ(Tier::kNear, encode.tier);
  EXPECT_EQ("klt:tier=near", encode.way.choice);
  EXPECT_EQ(FrameBytes(), encode.bytes_now);
  EXPECT_EQ(EstimateFrom::kNominal, encode.estimate.from);
  // Two segments of 1,000 values at 8.5 bits.
  EXPECT_EQ(2125u, encode.estimate.bytes);
  EXPECT_EQ(2125u, Row(plan, Tier::kNear).bytes_after);
  EXPECT_EQ(2u, Row(plan, Tier::kNear).segments_after);
  EXPECT_EQ(0u, Row(plan, Tier::kExact).segments_after);
  EXPECT_EQ(0u, plan.dropped_segments);
}

TEST_F(PlanTest, RenditionsThatAreThereMeasure) {
  Save("a", a_, {.section_bytes = 400});
  // Of the same model, codec and tier; toys' codec is what they say.
  Save("b", ToyTokens(2, 64), {.tier = Tier::kNear, .section_bytes = 50});
  const CodecId codec = CodecId::kRaw;
  CompactionPlanner planner(
      catalogue_.get(), &rules_,
      [&](const DomainId&, const ModelId&, const Ladder& ladder, Tier tier) {
        return TierWay{codec, ladder.Find(tier)->codec_choice, 1000};
      },
      {.now_ms = clock_.WallMs() + kHourMs});
  while (!planner.done()) REPRISE_ASSERT_OK(planner.Step());
  ASSERT_EQ(1u, planner.plan().encodes.size());
  const PlanEncode& encode = planner.plan().encodes[0];
  const uint64_t one = planner.plan().rows[2].bytes_now;  // b's, near
  EXPECT_EQ(EstimateFrom::kMeasured, encode.estimate.from);
  EXPECT_EQ(2 * one, encode.estimate.bytes);
  EXPECT_EQ(encode.bytes_now - 2 * one,
            planner.plan().rows[2].encode_freed_bytes);
  EXPECT_EQ(3 * one, planner.plan().rows[2].bytes_after);
}

TEST_F(PlanTest, TheRateIsTheCallersOrAssumed) {
  Save("a", a_);
  const CompactionPlan assumed = Plan(kHourMs);
  EXPECT_FALSE(assumed.is_rate_configured);
  const double raw = static_cast<double>(assumed.encodes[0].raw_bytes);
  EXPECT_GT(raw, 0);
  EXPECT_DOUBLE_EQ(raw / AssumedEncodeRate(CodecId::kTsc),
                   assumed.encode_seconds);
  const CompactionPlan plan = Plan(kHourMs, nullptr, 1000);
  EXPECT_TRUE(plan.is_rate_configured);
  EXPECT_DOUBLE_EQ(raw / 1000, plan.encode_seconds);
}

TEST_F(PlanTest, ATierThatCanNotBeMadeIsSkippedWithTheReason) {
  Save("a", a_);
  no_way_[Tier::kCoarse] = "there is no profile";
  CompactionPlan plan = Plan(kDayMs);
  ASSERT_EQ(1u, plan.skips.size());
  EXPECT_EQ("there is no profile", plan.skips[0].reason);
  EXPECT_EQ("default", plan.skips[0].ladder);
  EXPECT_EQ(Tier::kCoarse, plan.skips[0].tier);
  EXPECT_EQ(Tier::kNear, plan.skips[0].instead);
  EXPECT_EQ(2u, plan.skips[0].segments);
  EXPECT_EQ(FrameBytes(), plan.skips[0].bytes);
  EXPECT_EQ(2u, Row(plan, Tier::kNear).segments_after);
  ASSERT_EQ(1u, plan.encodes.size());
  EXPECT_EQ(Tier::kNear, plan.encodes[0].tier);
  EXPECT_NE(std::string::npos, PlanText(plan).find(" sink to near\n"));
  EXPECT_EQ("near", PlanJson(plan)["skipped"][0]["instead"]);
  // Nor can the one before it: then it stays.
  no_way_[Tier::kNear] = "of neither";
  plan = Plan(kDayMs);
  ASSERT_EQ(2u, plan.skips.size());
  EXPECT_EQ("of neither", plan.skips[0].reason);
  for (const PlanSkip& skip : plan.skips) {
    EXPECT_EQ(Tier::kExact, skip.instead);
    EXPECT_EQ(2u, skip.segments);
  }
  EXPECT_NE(std::string::npos, PlanText(plan).find(" stay as they are\n"));
  EXPECT_TRUE(PlanJson(plan)["skipped"][0]["instead"].is_null());
  EXPECT_EQ(2u, Row(plan, Tier::kExact).segments_after);
  EXPECT_EQ(plan.total().bytes_now, plan.total().bytes_after);
  EXPECT_TRUE(plan.encodes.empty());
  // The tokens are kept whatever a codec can do.
  EXPECT_TRUE(Plan(kYearMs).skips.empty());
  EXPECT_EQ(0u, Plan(kYearMs).total().bytes_after);
}

TEST_F(PlanTest, SharedSegmentsAreCountedOnceByTheBetterWish) {
  // Listed before the one that asks for better.
  Save("a", a_);
  clock_.AdvanceMs(kYearMs);
  std::vector<TokenId> tokens(a_.begin(), a_.begin() + 64);
  tokens.resize(128, 9);
  Save("b", tokens);
  SetOwnPolicy("b", "series: near 1d, tokens");
  const CompactionPlan plan = Plan(0);
  EXPECT_EQ(3u, plan.total().segments_now);
  EXPECT_EQ(FrameBytes(), plan.total().bytes_now);
  EXPECT_EQ(1u, Row(plan, Tier::kTokens).segments_after);
  ASSERT_EQ(1u, plan.encodes.size());
  EXPECT_EQ(2u, plan.encodes[0].segments);
  // By the ladder of who asks for it.
  EXPECT_EQ("tsc:bits=8", plan.encodes[0].way.choice);
}

TEST_F(PlanTest, PinnedAndUnreferencedAreTold) {
  Save("a", a_);
  REPRISE_ASSERT_OK(StatusOf(catalogue_->Pin(tenant_, "a", kForeverMs)));
  const uint64_t pinned = FrameBytes();
  REPRISE_ASSERT_OK(worker_.Put(ToyTokens(3, 64)));
  const CompactionPlan plan = Plan(kYearMs);
  EXPECT_EQ(2u, plan.left_alone_segments);
  EXPECT_EQ(pinned, plan.left_alone_bytes);
  EXPECT_EQ(2u, Row(plan, Tier::kExact).segments_after);
  EXPECT_EQ(1u, plan.unreferenced_segments);
  EXPECT_EQ(FrameBytes() - pinned, plan.unreferenced_bytes);
  EXPECT_EQ(pinned, plan.total().bytes_now);
  EXPECT_EQ(1u, plan.sessions.pinned_sessions);
}

TEST_F(PlanTest, NothingIsWritten) {
  Save("a", a_, StagedToy());
  Save("b", ToyTokens(2, 100));
  FailingEngine hooked(engine_.get());
  const auto other = OpenCatalogue(&hooked);
  Engine* const engine = engine_.get();
  const auto versions = [&] {
    std::vector<HeadVersion> all;
    for (const HeadSpace space : kAllHeadSpaces) {
      std::vector<HeadStore::ListedHead> listed;
      EXPECT_TRUE(engine->ListHeads(space, "", "", 100'000, &listed).ok());
      for (const auto& head : listed) all.push_back(head.record.version);
    }
    return all;
  };
  const auto before = versions();
  const uint64_t bytes = FrameBytes();
  Plan(kYearMs, other.get());
  EXPECT_EQ(before, versions());
  EXPECT_EQ(bytes, FrameBytes());
}

TEST_F(PlanTest, AStepThatFailedMayBeTriedAgain) {
  Save("a", a_, StagedToy());
  Save("b", ToyTokens(2, 200));
  REPRISE_ASSERT_OK(worker_.Put(ToyTokens(3, 64)));
  const CompactionPlan expected = Plan(kDayMs);
  FailingEngine hooked(engine_.get());
  const auto other = OpenCatalogue(&hooked);
  for (int at = 1;; ++at) {
    int calls = 0;
    hooked.before = [&] {
      return ++calls == at ? UnavailableError("down") : Status();
    };
    const CompactionPlan plan = Plan(kDayMs, other.get());
    EXPECT_EQ(expected.rows, plan.rows) << at;
    EXPECT_EQ(expected.unreferenced_segments, plan.unreferenced_segments);
    EXPECT_EQ(expected.dropped_segments, plan.dropped_segments);
    if (failed_ == 0) break;
    ASSERT_LT(at, 100);
  }
}

TEST_F(PlanTest, IsShownInOneTable) {
  Save("a", a_);
  Save("b", ToyTokens(2, 64), StagedToy());
  SetOwnPolicy("b", "gone: exact");
  no_way_[Tier::kNear] = "there is no profile";
  CompactionPlan plan = Plan(kHourMs);
  std::string text = PlanText(plan);
  for (const char* part :
       {"tier     segments", "exact           2", "near            1",
        "all             3", "skipped: there is no profile; 2 segments (",
        "left alone: session b: ", "there is nothing to do"}) {
    EXPECT_NE(std::string::npos, text.find(part)) << part << "\n" << text;
  }
  no_way_ = {{Tier::kCoarse, "no coarse"}};
  plan = Plan(kHourMs);
  text = PlanText(plan);
  for (const char* part :
       {"klt:tier=near", "0.0014  yes", "no: see below",
        "can't be made, but is not due: no coarse", "nominal",
        "rates that are assumed", "time: about 1s on one thread"}) {
    EXPECT_NE(std::string::npos, text.find(part)) << part << "\n" << text;
  }
  const nlohmann::json shown = PlanJson(plan);
  ASSERT_EQ(3u, shown["ladders"].size());
  EXPECT_EQ(0.00137, shown["ladders"][0]["measured_kl"]);
  EXPECT_TRUE(shown["ladders"][0]["problem"].is_null());
  EXPECT_EQ("coarse", shown["ladders"][1]["tier"]);
  EXPECT_TRUE(shown["ladders"][1]["measured_kl"].is_null());
  EXPECT_EQ("no coarse", shown["ladders"][1]["problem"]);
  EXPECT_EQ(5u, shown["tiers"].size());
  EXPECT_EQ("tokens", shown["tiers"][4]["tier"]);
  EXPECT_EQ(3u, shown["total"]["segments_now"]);
  EXPECT_EQ("assumed", shown["rate"]);
  EXPECT_EQ(1u, shown["problems"].size());
  uint64_t now = 0, after = 0;
  for (const auto& row : shown["tiers"]) {
    now += row["segments_now"].get<uint64_t>();
    after += row["segments_after"].get<uint64_t>();
  }
  EXPECT_EQ(now, after);
}

}  // namespace
}  // namespace reprise
