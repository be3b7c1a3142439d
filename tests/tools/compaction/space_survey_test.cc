#include "tools/compaction/space_survey.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class SpaceSurveyTest : public CatalogueFixture {
 protected:
  // A segment that is encoded anew takes 17 bytes: 16 values at 8.5 bits.
  SpaceSurvey Survey(Catalogue* catalogue = nullptr,
                     uint32_t max_sessions = 1000) {
    SpaceSurvey::Options options{.now_ms = clock_.WallMs()};
    options.max_sessions = max_sessions;
    SpaceSurvey survey(
        catalogue == nullptr ? catalogue_.get() : catalogue, &rules_,
        [this](const DomainId&, const ModelId&, const Ladder& ladder,
               Tier tier) -> Result<TierWay> {
          if (tier > lowest_encoded_) {
            return FailedPreconditionError("no profile");
          }
          return TierWay{CodecId::kTsc, ladder.Find(tier)->codec_choice, 16};
        },
        options);
    failed_ = 0;
    for (int i = 0; i < 10'000 && !survey.done(); ++i) {
      if (!survey.Step().ok()) ++failed_;
    }
    EXPECT_TRUE(survey.done());
    return survey;
  }
  static std::map<std::string, SurveyedSession> ByName(
      const SpaceSurvey& survey) {
    std::map<std::string, SurveyedSession> sessions;
    for (const SurveyedSession& each : survey.sessions()) {
      sessions[each.name] = each;
    }
    return sessions;
  }
  void Save(std::string_view name, const std::vector<TokenId>& tokens,
            const ToyOptions& options = {}) {
    REPRISE_ASSERT_OK(StatusOf(worker_.Save(name, tokens, options)));
  }
  void SetPolicy(std::string_view name, std::string_view text) {
    REPRISE_ASSERT_OK(
        StatusOf(catalogue_->SetPolicy(tenant_, name, {.policy = text})));
  }
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

  PolicyRules rules_;
  Tier lowest_encoded_ = Tier::kArchive;
  int failed_ = 0;
  const std::vector<TokenId> a_ = ToyTokens(1, 200);
};

TEST_F(SpaceSurveyTest, MeasuresWhatASessionHoldsAlone) {
  Save("a", a_);
  const uint64_t all = FrameBytes();
  clock_.AdvanceMs(kDayMs);
  auto sessions = ByName(Survey());
  ASSERT_EQ(1u, sessions.size());
  EXPECT_EQ(all, sessions["a"].facts.bytes);
  EXPECT_EQ(all, sessions["a"].facts.own_bytes);
  EXPECT_EQ(all, sessions["a"].facts.tokens_free_bytes);
  EXPECT_EQ(200u, sessions["a"].facts.tokens);
  EXPECT_EQ(kDayMs, sessions["a"].facts.idle_ms);
  EXPECT_EQ(Tier::kArchive, sessions["a"].sink_to);
  // A branch of the first 128: two segments are of both.
  std::vector<TokenId> branch(a_.begin(), a_.begin() + 128);
  branch.resize(192, 9);
  Save("b", branch);
  const uint64_t of_b = FrameBytes() - all;
  sessions = ByName(Survey());
  EXPECT_EQ(all, sessions["a"].facts.bytes);
  EXPECT_EQ(of_b, sessions["b"].facts.own_bytes);
  EXPECT_GT(sessions["b"].facts.bytes, of_b);
  EXPECT_EQ(sessions["a"].facts.bytes - sessions["a"].facts.own_bytes,
            sessions["b"].facts.bytes - sessions["b"].facts.own_bytes);
  // A fork shares everything, so neither holds anything alone.
  REPRISE_ASSERT_OK(StatusOf(catalogue_->Fork(tenant_, "a", {}, "c")));
  sessions = ByName(Survey());
  EXPECT_EQ(1u, sessions.size());
  EXPECT_TRUE(sessions.contains("b"));
}

TEST_F(SpaceSurveyTest, WhatSinkingFreesIsCountedOrEstimated) {
  Save("staged", ToyTokens(1, 128), StagedToy());
  Save("exact", ToyTokens(2, 128));
  SetPolicy("exact", "series: exact 1d, near");
  auto sessions = ByName(Survey());
  const SessionFacts& staged = sessions["staged"].facts;
  // Down to archive: the frames of the other two stages go.
  uint64_t archive = 0;
  std::vector<ObjectStore::Listed> listed;
  REPRISE_ASSERT_OK(
      engine_->List(ObjectSpace::kFrameArchive, "", "", 100, &listed));
  for (const auto& object : listed) archive += object.bytes;
  EXPECT_EQ(staged.own_bytes - archive, staged.sink_frees_bytes);
  const SessionFacts& exact = sessions["exact"].facts;
  EXPECT_EQ(Tier::kNear, sessions["exact"].sink_to);
  EXPECT_EQ(exact.own_bytes - 2 * 17, exact.sink_frees_bytes);
  EXPECT_EQ(0u, exact.tokens_free_bytes);
  lowest_encoded_ = Tier::kExact;
  EXPECT_EQ(0u, ByName(Survey())["exact"].facts.sink_frees_bytes);
  EXPECT_EQ(staged.sink_frees_bytes,
            ByName(Survey())["staged"].facts.sink_frees_bytes);
}

// As if the policy did not name the tier: then the tail stays too.
TEST_F(SpaceSurveyTest, WhatCanNotBeMadeIsMeasuredByTheTierBeforeIt) {
  Save("a", ToyTokens(1, 150));
  SetPolicy("a", "series: exact 1d, near 30d, coarse");
  const auto freed = [this] {
    return ByName(Survey())["a"].facts.sink_frees_bytes;
  };
  const uint64_t with_tail = freed();
  lowest_encoded_ = Tier::kNear;
  const uint64_t without_tail = freed();
  std::vector<ObjectStore::Listed> tails;
  REPRISE_ASSERT_OK(
      engine_->List(ObjectSpace::kTailFrame, "", "", 100, &tails));
  uint64_t of_tail = 0;
  for (const auto& object : tails) of_tail += object.bytes;
  EXPECT_GT(of_tail, 0u);
  EXPECT_GT(without_tail, 0u);
  // Coarse is at 4.5 bits a value: 9 bytes where near takes 17.
  EXPECT_EQ(with_tail - of_tail, without_tail + 2 * (17 - 9));
  lowest_encoded_ = Tier::kExact;
  EXPECT_EQ(0u, freed());
}

TEST_F(SpaceSurveyTest, WhatIsToBeLeftAloneIsLeftOut) {
  Save("pinned", ToyTokens(1, 128));
  Save("lost", ToyTokens(2, 128));
  Save("fetched", ToyTokens(3, 128));
  REPRISE_ASSERT_OK(StatusOf(catalogue_->Pin(tenant_, "pinned", kForeverMs)));
  SetPolicy("lost", "gone: exact 1h, tokens");
  FetchRequest request;
  request.session = "fetched";
  REPRISE_ASSERT_OK(StatusOf(catalogue_->PlanFetch(tenant_, request)));
  EXPECT_TRUE(Survey().sessions().empty());
}

TEST_F(SpaceSurveyTest, TheLeastValueStandsFirstAndIsKept) {
  for (int i = 0; i < 30; ++i) {
    Save("s" + std::to_string(i), ToyTokens(10 + i, 128));
    clock_.AdvanceMs(kHourMs);
  }
  const SpaceSurvey all = Survey();
  ASSERT_EQ(30u, all.sessions().size());
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_EQ("s" + std::to_string(i), all.sessions()[i].name);
    EXPECT_EQ(i, all.Facts()[i].index);
  }
  const SpaceSurvey some = Survey(nullptr, 5);
  ASSERT_EQ(5u, some.sessions().size());
  EXPECT_EQ("s4", some.sessions()[4].name);
  // From the store to the choice.
  const uint64_t used = FrameBytes();
  const Watermarks marks{used + used / 20, 90, 85};
  const SpacePlan plan = PlanSpace(used, marks, {}, all.Facts());
  EXPECT_TRUE(plan.is_enough);
  ASSERT_FALSE(plan.choices.empty());
  EXPECT_EQ(0u, plan.choices[0].index);
}

TEST_F(SpaceSurveyTest, AStepThatFailedMayBeTriedAgain) {
  Save("a", a_, StagedToy());
  Save("b", ToyTokens(2, 128));
  const auto expected = ByName(Survey());
  FailingEngine hooked(engine_.get());
  const auto other = OpenCatalogue(&hooked);
  for (int at = 1;; ++at) {
    int calls = 0;
    hooked.before = [&] {
      return ++calls == at ? UnavailableError("down") : Status();
    };
    const auto sessions = ByName(Survey(other.get()));
    ASSERT_EQ(expected.size(), sessions.size()) << at;
    for (const auto& [name, session] : expected) {
      EXPECT_EQ(session.facts.bytes, sessions.at(name).facts.bytes) << at;
      EXPECT_EQ(session.facts.sink_frees_bytes,
                sessions.at(name).facts.sink_frees_bytes);
    }
    if (failed_ == 0) break;
    ASSERT_LT(at, 100);
  }
}

}  // namespace
}  // namespace reprise
