#include "client/save_planner.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class SavePlannerTest : public testing::Test {
 protected:
  std::vector<uint32_t> Items(const PlannedSave& plan) {
    std::vector<uint32_t> out;
    for (const PlannedItem& planned : plan.items) out.push_back(planned.item);
    return out;
  }
  PlannedSave Plan() {
    return PlanItems({.chain = &chain_,
                      .head = &head_,
                      .stored = &stored_,
                      .basis = basis_,
                      .view_first = view_first_,
                      .view_end = 200,
                      .missing = &missing_});
  }

  const ModelId model_ = {{1}};
  const std::vector<TokenId> tokens_ = ToyTokens(1, 200);
  const TokenChain chain_{model_, tokens_};  // 3 segments and a tail of 8
  SessionHead head_;
  StoredPrefix stored_;
  std::vector<TierRange> basis_;
  uint64_t view_first_ = 0;
  std::set<SegmentId> missing_;
};

TEST_F(SavePlannerTest, ANewPromptIsNeededWhole) {
  const PlannedSave plan = Plan();
  EXPECT_EQ(plan.needed_first, 0u);
  EXPECT_EQ(plan.needed_end, 200u);
  EXPECT_EQ(Items(plan), (std::vector<uint32_t>{0, 1, 2, 3}));
}

TEST_F(SavePlannerTest, WhatIsStoredIsNotNeeded) {
  stored_.segments = {Tier::kExact, Tier::kExact};
  view_first_ = 128;
  const PlannedSave plan = Plan();
  EXPECT_EQ(plan.needed_first, 128u);
  EXPECT_EQ(Items(plan), (std::vector<uint32_t>{2, 3}));
  stored_.segments.push_back(Tier::kExact);
  stored_.has_tail = true;
  stored_.tail = Tier::kExact;
  EXPECT_TRUE(Plan().items.empty());
  EXPECT_EQ(Plan().needed_first, 200u);
}

TEST_F(SavePlannerTest, WorseTiersAreReplacedWhereTheViewHoldsThem) {
  stored_.segments = {Tier::kNear, Tier::kNear, Tier::kExact};
  EXPECT_EQ(Items(Plan()), (std::vector<uint32_t>{0, 1, 3}));
  EXPECT_EQ(Plan().needed_first, 192u);
  view_first_ = 64;
  EXPECT_EQ(Items(Plan()), (std::vector<uint32_t>{1, 3}));
  // Ours is no better from token 64 on.
  view_first_ = 0;
  basis_ = {{64, 128, Tier::kNear, Tier::kExact}};
  EXPECT_EQ(Items(Plan()), (std::vector<uint32_t>{0, 3}));
}

// Who reads a cache only as far as is needed would never replace anything.
TEST_F(SavePlannerTest, SaysFromWhereOnTheCallersStateIsBetter) {
  stored_.segments = {Tier::kExact, Tier::kNear, Tier::kExact};
  stored_.has_tail = true;
  stored_.tail = Tier::kExact;
  view_first_ = 200;
  EXPECT_EQ(Plan().needed_first, 200u);
  EXPECT_EQ(Plan().wanted_first, 64u);
  EXPECT_TRUE(Plan().items.empty());
  // Computed on near state it is no better than what is there.
  basis_ = {{0, 64, Tier::kNear, Tier::kExact}};
  EXPECT_EQ(Plan().wanted_first, 200u);
  // Frames that the head's segments lost are wanted, not needed.
  basis_.clear();
  stored_ = {};
  head_.version.incarnation = 1;
  head_.tokens = 128;
  EXPECT_EQ(Plan().needed_first, 128u);
  EXPECT_EQ(Plan().wanted_first, 0u);
}

TEST_F(SavePlannerTest, WhatTheHeadHoldsIsNeverNeeded) {
  head_.version.incarnation = 1;
  head_.tokens = 130;
  view_first_ = 128;
  EXPECT_EQ(Plan().needed_first, 128u);
  EXPECT_EQ(Items(Plan()), (std::vector<uint32_t>{2, 3}));
}

TEST_F(SavePlannerTest, WhatTheDaemonAsksForIsNeeded) {
  stored_.segments = {Tier::kExact, Tier::kExact, Tier::kExact};
  missing_ = {chain_.id(1)};
  EXPECT_EQ(Plan().needed_first, 64u);
  EXPECT_EQ(Items(Plan()), (std::vector<uint32_t>{1, 3}));
}

TEST_F(SavePlannerTest, ABasisIsTheWorstUpToTheSegmentsEnd) {
  const std::vector<TierRange> ranges = {{0, 64, Tier::kExact, Tier::kExact},
                                         {64, 128, Tier::kExact, Tier::kCoarse},
                                         {128, 192, Tier::kNear, Tier::kExact}};
  EXPECT_EQ(BasisOf(ranges, 64), Tier::kExact);
  EXPECT_EQ(BasisOf(ranges, 65), Tier::kCoarse);
  EXPECT_EQ(BasisOf(ranges, 192), Tier::kCoarse);
  EXPECT_EQ(BasisOf({}, 192), Tier::kExact);
}

TEST_F(SavePlannerTest, CommitsAreValid) {
  const CommitRecord commit = MakeCommit(chain_, head_, {}, 1);
  EXPECT_TRUE(ValidateCommit(commit).ok());
  EXPECT_EQ(commit.end, CommitEnd::kTail);
  EXPECT_EQ(commit.segments.size(), 3u);
}

TEST_F(SavePlannerTest, ACutHeadIsAPrefixWhateverWasCutOff) {
  auto longer = tokens_;
  for (size_t i = 100; i < longer.size(); ++i) ++longer[i];
  const TokenChain other(model_, longer);
  head_.version.incarnation = 1;
  head_.tokens = 100;
  head_.last = other.id(1);
  head_.last_first_token = 64;
  head_.last_tokens.assign(other.tokens_of(1).begin(),
                           other.tokens_of(1).end());
  EXPECT_TRUE(CheckHeadIsPrefix(head_, chain_).ok());
  head_.tokens = 101;
  EXPECT_FALSE(CheckHeadIsPrefix(head_, chain_).ok());
}

}  // namespace
}  // namespace reprise
