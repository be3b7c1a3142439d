#include "store/stages.h"

#include <gtest/gtest.h>

#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

const ModelSpec& Spec() {
  static const ModelSpec spec = TinyModel();
  return spec;
}

// Of a whole segment. TinyModel has one layer group, so a frame a stage.
Rendition Make(const ToyOptions& options, size_t tokens = 64) {
  const auto segments = ToySegments(ModelIdOf(Spec()), ToyTokens(1, tokens));
  return MakeToyRendition(Spec(), segments[0], options).rendition;
}

Rendition Plain(Tier tier, uint64_t seed = 7, Tier basis = Tier::kExact) {
  return Make({.seed = seed, .tier = tier, .basis = basis});
}

struct Chosen {
  size_t rendition;
  Tier tier;
  size_t frames;
  bool operator==(const Chosen&) const = default;
};
std::optional<Chosen> Choose(const std::vector<Rendition>& renditions,
                             const TierWish& wish,
                             std::span<const size_t> present = {}) {
  const auto offer = ChooseOffer(renditions, wish, present);
  if (!offer) return {};
  return Chosen{static_cast<size_t>(offer->rendition - renditions.data()),
                offer->prefix.tier, offer->prefix.frame_count};
}

TEST(StagesTest, AStagedRenditionHasAPrefixForEachTier) {
  EXPECT_EQ(PrefixesOf(Make(StagedToy())),
            (std::vector<StagePrefix>{
                {1, Tier::kArchive}, {2, Tier::kCoarse}, {3, Tier::kNear}}));
  EXPECT_EQ(PrefixesOf(Plain(Tier::kCoarse)),
            (std::vector<StagePrefix>{{1, Tier::kCoarse}}));
  // Stages of one tier belong together; tails are never cut.
  ToyOptions two_near = StagedToy();
  two_near.stages = 4;
  two_near.stage_tiers.push_back(Tier::kNear);
  EXPECT_EQ(PrefixesOf(Make(two_near)).back(), (StagePrefix{4, Tier::kNear}));
  EXPECT_EQ(PrefixesOf(Make(two_near)).size(), 3u);
  EXPECT_EQ(PrefixesOf(Make(StagedToy(), 20)),
            (std::vector<StagePrefix>{{3, Tier::kNear}}));
}

TEST(StagesTest, StagesLieInTheSpacesOfTheirTiers) {
  Rendition rendition = Make(StagedToy());
  EXPECT_TRUE(CheckStages(rendition, false).ok());
  std::swap(rendition.frames[0].space, rendition.frames[1].space);
  EXPECT_FALSE(CheckStages(rendition, false).ok());
  rendition = Make(StagedToy());
  rendition.tier = Tier::kExact;
  EXPECT_FALSE(CheckStages(rendition, false).ok());
  // Two ranks: both frames of a stage in one space.
  ToyOptions ranks = StagedToy();
  ranks.ranks = 2;
  rendition = Make(ranks);
  EXPECT_TRUE(CheckStages(rendition, false).ok());
  rendition.frames[3].space = ObjectSpace::kFrameNear;
  EXPECT_FALSE(CheckStages(rendition, false).ok());
  EXPECT_TRUE(CheckStages(Make(StagedToy(), 20), true).ok());
}

TEST(StagesTest, TheBestThatIsNotBetterThanWantedIsChosen) {
  const std::vector<Rendition> staged = {Make(StagedToy())};
  EXPECT_EQ(Choose(staged, {}), (Chosen{0, Tier::kNear, 3}));
  EXPECT_EQ(Choose(staged, {.highest = Tier::kCoarse}),
            (Chosen{0, Tier::kCoarse, 2}));
  EXPECT_EQ(Choose(staged, {.highest = Tier::kArchive}),
            (Chosen{0, Tier::kArchive, 1}));
  EXPECT_EQ(Choose(staged, {.lowest = Tier::kExact}), std::nullopt);
  const std::vector<Rendition> two = {Plain(Tier::kExact),
                                      Plain(Tier::kArchive)};
  EXPECT_EQ(Choose(two, {}), (Chosen{0, Tier::kExact, 1}));
  EXPECT_EQ(Choose(two, {.highest = Tier::kNear}),
            (Chosen{1, Tier::kArchive, 1}));
}

TEST(StagesTest, ElseTheLeastBetterOne) {
  const std::vector<Rendition> two = {Plain(Tier::kExact), Plain(Tier::kNear)};
  EXPECT_EQ(Choose(two, {.highest = Tier::kCoarse}),
            (Chosen{1, Tier::kNear, 1}));
  // The archive stages would do, but are not good enough.
  ToyOptions gap = StagedToy();
  gap.stages = 2;
  gap.stage_tiers = {Tier::kArchive, Tier::kNear};
  const std::vector<Rendition> staged = {Plain(Tier::kExact), Make(gap)};
  EXPECT_EQ(Choose(staged, {Tier::kCoarse, Tier::kCoarse}),
            (Chosen{1, Tier::kNear, 2}));
}

TEST(StagesTest, OfEquallyGoodOnesTheSmallerIsRead) {
  ToyOptions large;
  large.tier = Tier::kCoarse;
  large.section_bytes = 4000;
  const std::vector<Rendition> both = {Make(StagedToy()), Make(large)};
  EXPECT_EQ(Choose(both, {.highest = Tier::kCoarse}),
            (Chosen{0, Tier::kCoarse, 2}));
}

TEST(StagesTest, WithoutAWishItIsTheBestOfTheSet) {
  const Tier tiers[] = {Tier::kExact, Tier::kNear, Tier::kCoarse,
                        Tier::kArchive};
  for (const Tier basis : tiers) {
    for (const Tier other : tiers) {
      for (const Tier lowest : tiers) {
        RenditionSet set;
        ToyOptions staged = StagedToy();
        staged.basis = basis;
        set.renditions = {Make(staged), Plain(Tier::kCoarse, 8, other)};
        const Rendition* const best = set.Best(lowest);
        const auto offer = ChooseOffer(set.renditions, {.lowest = lowest});
        ASSERT_EQ(best != nullptr, offer.has_value());
        if (best == nullptr) continue;
        EXPECT_EQ(offer->rendition, best);
        EXPECT_EQ(offer->Cut(), *best);
      }
    }
  }
}

TEST(StagesTest, WhatLostAFrameIsReadUpToIt) {
  const std::vector<Rendition> staged = {Make(StagedToy())};
  const size_t two = 2;
  EXPECT_EQ(Choose(staged, {}, {&two, 1}), (Chosen{0, Tier::kCoarse, 2}));
  const size_t none = 0;
  EXPECT_EQ(Choose(staged, {}, {&none, 1}), std::nullopt);
}

}  // namespace
}  // namespace reprise
