#include "tools/compaction/wanted_tiers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

using Options = WantedTiers::Options;

class WantedTiersTest : public CatalogueFixture {
 protected:
  Options Now() const { return {.now_ms = clock_.WallMs()}; }

  std::unique_ptr<WantedTiers> Pass(std::optional<Options> options = {}) {
    auto pass = std::make_unique<WantedTiers>(catalogue_.get(), &rules_,
                                              options.value_or(Now()));
    for (int i = 0; i < 10'000 && !pass->done(); ++i) {
      const Status status = pass->Step();
      EXPECT_TRUE(status.ok()) << status.ToString();
      if (!status.ok()) break;
    }
    EXPECT_TRUE(pass->done());
    return pass;
  }

  // Segments, and the tail behind them.
  std::vector<SegmentId> IdsOf(const std::vector<TokenId>& tokens) {
    std::vector<SegmentId> ids;
    for (const auto& segment : ToySegments(worker_.model(), tokens)) {
      ids.push_back(segment.Id());
    }
    return ids;
  }
  std::optional<Wanted> At(const WantedTiers& pass, const SegmentId& id) {
    const auto entry = pass.Find(tenant_, id);
    return entry ? std::optional(entry->wanted) : std::nullopt;
  }
  // Of all its segments and its tail; nothing unless they agree.
  std::optional<Wanted> Of(const WantedTiers& pass,
                           const std::vector<TokenId>& tokens) {
    const std::vector<SegmentId> ids = IdsOf(tokens);
    for (const SegmentId& id : ids) {
      if (At(pass, id) != At(pass, ids[0])) return std::nullopt;
    }
    return At(pass, ids[0]);
  }
  void Save(std::string_view name, const std::vector<TokenId>& tokens) {
    REPRISE_ASSERT_OK(StatusOf(worker_.Save(name, tokens)));
  }
  void SetPolicy(std::string_view name, std::string_view text) {
    REPRISE_ASSERT_OK(
        StatusOf(catalogue_->SetPolicy(tenant_, name, {.policy = text})));
  }
  void Overwrite(HeadSpace space, const std::string& key, ByteView value) {
    const auto record = engine_->GetHead(space, key);
    REPRISE_ASSERT_OK(StatusOf(
        engine_->CompareAndSwap(space, key, record.ok() ? record->version : 0,
                                value, Durability::kWritten)));
  }
  void RemoveCommit(const CommitId& commit) {
    const std::string key = DomainKey(tenant_, commit.view());
    const ObjectRef ref{ObjectSpace::kCommit, key};
    REPRISE_ASSERT_OK(
        StatusOf(engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX)));
  }

  PolicyRules rules_;
  const std::vector<TokenId> a_ = ToyTokens(1, 200);
  const std::vector<TokenId> b_ = ToyTokens(2, 130);
};

TEST_F(WantedTiersTest, FollowsThePolicyByIdleTime) {
  Save("a", a_);
  const std::pair<int64_t, Wanted> steps[] = {{0, Wanted::kExact},
                                              {kHourMs - 1, Wanted::kExact},
                                              {kHourMs, Wanted::kNear},
                                              {kDayMs, Wanted::kCoarse},
                                              {30 * kDayMs, Wanted::kArchive},
                                              {kYearMs, Wanted::kTokens}};
  for (const auto& [idle_ms, wanted] : steps) {
    const auto pass = Pass(Options{.now_ms = clock_.WallMs() + idle_ms});
    EXPECT_EQ(wanted, Of(*pass, a_)) << idle_ms;
    EXPECT_EQ(4u, pass->map().size());
    EXPECT_EQ(4u, pass->map().Counts()[static_cast<size_t>(wanted)]);
  }
}

TEST_F(WantedTiersTest, AUseNotYetWrittenDownCounts) {
  Save("a", a_);
  clock_.AdvanceMs(kYearMs);
  Save("b", b_);
  catalogue_->MarkUsed(tenant_, "b");  // flushes, and starts a batch
  catalogue_->MarkUsed(tenant_, "a");
  EXPECT_EQ(Wanted::kExact, Of(*Pass(), a_));
}

TEST_F(WantedTiersTest, SharedSegmentsKeepTheBestThatAnybodyAsksFor) {
  Save("old", a_);
  clock_.AdvanceMs(2 * kDayMs);
  // New on the first two segments of the old one.
  std::vector<TokenId> tokens(a_.begin(), a_.begin() + 128);
  const auto more = ToyTokens(9, 64);
  tokens.insert(tokens.end(), more.begin(), more.end());
  Save("new", tokens);
  const auto pass = Pass();
  const auto old_ids = IdsOf(a_);
  const auto new_ids = IdsOf(tokens);
  ASSERT_EQ(old_ids[1], new_ids[1]);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(Wanted::kExact, At(*pass, old_ids[i]));
    EXPECT_TRUE(pass->Find(tenant_, old_ids[i])->is_shared);
  }
  EXPECT_EQ(Wanted::kCoarse, At(*pass, old_ids[2]));
  EXPECT_EQ(Wanted::kCoarse, At(*pass, old_ids[3]));  // its tail
  EXPECT_FALSE(pass->Find(tenant_, old_ids[2])->is_shared);
  EXPECT_EQ(Wanted::kExact, At(*pass, new_ids[2]));
  EXPECT_FALSE(pass->Find(tenant_, new_ids[2])->is_shared);
}

TEST_F(WantedTiersTest, KeptCommitsAreReferredToAndGarbageIsNot) {
  Save("a", a_);
  Save("b", b_);
  auto longer = a_;
  longer.resize(300, 7);
  Save("a", longer);
  REPRISE_ASSERT_OK(worker_.Put(ToyTokens(5, 64)));
  const auto pass = Pass();
  // The tail of the first commit too.
  EXPECT_EQ(Wanted::kExact, At(*pass, IdsOf(a_).back()));
  EXPECT_FALSE(pass->Find(tenant_, IdsOf(a_)[0])->is_shared);
  EXPECT_EQ(Wanted::kExact, Of(*pass, longer));
  EXPECT_EQ(std::nullopt, At(*pass, IdsOf(ToyTokens(5, 64))[0]));
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "b"));
  EXPECT_EQ(std::nullopt, Of(*Pass(), b_));
}

TEST_F(WantedTiersTest, APinnedSessionIsLeftAloneUntilThePinIsOver) {
  Save("a", a_);
  Save("b", b_);
  const int64_t until_ms = clock_.WallMs() + 10 * kDayMs;
  REPRISE_ASSERT_OK(StatusOf(catalogue_->Pin(tenant_, "a", until_ms)));
  const auto pass = Pass(Options{.now_ms = until_ms - 1});
  EXPECT_EQ(Wanted::kLeftAlone, Of(*pass, a_));
  EXPECT_EQ(Wanted::kCoarse, Of(*pass, b_));
  EXPECT_EQ(1u, pass->report().pinned_sessions);
  EXPECT_EQ(0u, pass->report().problem_count);
  EXPECT_EQ(Wanted::kCoarse, Of(*Pass(Options{.now_ms = until_ms}), a_));
}

TEST_F(WantedTiersTest, LeasedSegmentsAreLeftAlone) {
  Save("a", a_);
  clock_.AdvanceMs(kYearMs);
  const auto ids = SegmentIdsOf(worker_.model(), a_);
  const auto lease = catalogue_->Lease(tenant_, std::span(ids).first(1),
                                       TierWish{}, kMinuteMs);
  REPRISE_ASSERT_OK(StatusOf(lease));
  const auto pass = Pass();
  EXPECT_EQ(1u, pass->report().leases);
  EXPECT_EQ(Wanted::kLeftAlone, At(*pass, ids[0]));
  EXPECT_EQ(Wanted::kTokens, At(*pass, ids[1]));
  clock_.AdvanceMs(kMinuteMs);
  const auto later = Pass();
  EXPECT_EQ(0u, later->report().leases);
  EXPECT_EQ(Wanted::kTokens, At(*later, ids[0]));
}

TEST_F(WantedTiersTest, AFetchUnderWayIsLeftAloneAfterItsSessionWent) {
  Save("a", a_);
  FetchRequest request;
  request.session = "a";
  REPRISE_ASSERT_OK(StatusOf(catalogue_->PlanFetch(tenant_, request)));
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "a"));
  EXPECT_EQ(Wanted::kLeftAlone, Of(*Pass(), a_));
}

TEST_F(WantedTiersTest, APolicyThatCanNotBeFollowedLeavesTheSessionAlone) {
  Save("a", a_);
  Save("b", b_);
  SetPolicy("a", "gone: exact 1h, tokens");
  clock_.AdvanceMs(kYearMs);
  const auto pass = Pass();
  EXPECT_EQ(Wanted::kLeftAlone, Of(*pass, a_));
  EXPECT_EQ(Wanted::kTokens, Of(*pass, b_));
  ASSERT_EQ(1u, pass->report().problems.size());
  EXPECT_EQ("a", pass->report().problems[0].session);
  EXPECT_NE(std::string::npos,
            pass->report().problems[0].reason.find("there is no ladder"));
}

TEST_F(WantedTiersTest, OwnPoliciesAndExpiryAreSeen) {
  rules_.ttl_ms = 10 * kDayMs;
  Save("a", a_);
  Save("b", b_);
  SetPolicy("a", "series: near 1d, archive");
  REPRISE_ASSERT_OK(
      StatusOf(catalogue_->SetPolicy(tenant_, "b", {.ttl_ms = kForeverMs})));
  clock_.AdvanceMs(10 * kDayMs);
  const auto pass = Pass();
  EXPECT_EQ(Wanted::kArchive, Of(*pass, a_));
  EXPECT_EQ(Wanted::kCoarse, Of(*pass, b_));
  EXPECT_EQ(1u, pass->report().expired_sessions);
  const auto info = catalogue_->GetSession(tenant_, "a");
  REPRISE_ASSERT_OK(info.status());
  const SessionWish wish =
      WishOf(rules_, {tenant_, *info, {}, {}}, clock_.WallMs());
  EXPECT_EQ("series", wish.ladder);
  EXPECT_TRUE(wish.is_expired);
}

TEST_F(WantedTiersTest, AClockThatWasSetBackSinksNothing) {
  Save("a", a_);
  const int64_t saved_ms = clock_.WallMs();
  for (const int64_t back_ms : {int64_t{1}, kDayMs, 10 * kYearMs}) {
    const auto pass = Pass(Options{.now_ms = saved_ms - back_ms});
    EXPECT_EQ(Wanted::kExact, Of(*pass, a_)) << back_ms;
    EXPECT_EQ(0u, pass->report().expired_sessions);
  }
  clock_.SetWallMs(saved_ms - kYearMs);
  EXPECT_EQ(Wanted::kExact, Of(*Pass(), a_));
}

TEST_F(WantedTiersTest, WhatCanNotBeReadIsLeftAlone) {
  Save("a", a_);
  Save("b", b_);
  clock_.AdvanceMs(kYearMs);
  const std::string key = DomainKey(tenant_, AsBytes("a"));
  Bytes session = EncodeSession(Session("a"));
  // Nobody knows when it was last used.
  Bytes last_use = EncodeLastUse(1);
  last_use[5] ^= 1;
  Overwrite(HeadSpace::kLastUse, key, last_use);
  auto pass = Pass();
  EXPECT_EQ(Wanted::kLeftAlone, Of(*pass, a_));
  EXPECT_EQ(Wanted::kTokens, Of(*pass, b_));
  EXPECT_EQ(1u, pass->report().problem_count);
  // Nobody knows what it refers to: all that is in its domain may be.
  session[40] ^= 1;
  Overwrite(HeadSpace::kSession, key, session);
  pass = Pass();
  EXPECT_EQ(Wanted::kLeftAlone, Of(*pass, a_));
  EXPECT_EQ(Wanted::kLeftAlone, Of(*pass, b_));
  EXPECT_EQ(2u, pass->report().sessions);
  EXPECT_EQ(1u, pass->report().problem_count);
  // Another tenant's are not touched by that.
  EXPECT_FALSE(pass->Find(TenantDomain("other"), IdsOf(b_)[0]).has_value());
}

TEST_F(WantedTiersTest, ACommitThatIsGoneLeavesTheDomainAlone) {
  Save("a", a_);
  Save("b", b_);
  clock_.AdvanceMs(kYearMs);
  RemoveCommit(Session("a").head);
  const auto pass = Pass();
  EXPECT_EQ(Wanted::kLeftAlone, Of(*pass, b_));
  ASSERT_EQ(1u, pass->report().problem_count);
  EXPECT_EQ("a", pass->report().problems[0].session);
}

// A session that moves on, or is removed, between being listed and read.
TEST_F(WantedTiersTest, ACommitThatTheSessionLeftIsNoDamage) {
  CatalogueOptions options;
  options.kept_commits = 0;
  const auto other = OpenCatalogue(engine_.get(), options);
  ToyWorker worker(other.get(), tenant_, TinyModel());
  auto longer = a_;
  longer.resize(300, 7);
  for (const bool is_removed : {false, true}) {
    REPRISE_ASSERT_OK(StatusOf(worker.Save("a", a_)));
    REPRISE_ASSERT_OK(StatusOf(worker.Save("b", b_)));
    clock_.AdvanceMs(kYearMs);
    const CommitId before = Session("a").head;
    FailingEngine hooked(engine_.get());
    const auto walked = OpenCatalogue(&hooked, options);
    int calls = 0;
    hooked.before = [&]() -> Status {
      if (++calls != 3) return Status();  // after a page of sessions was read
      if (is_removed) {
        REPRISE_RETURN_IF_ERROR(other->RemoveSession(tenant_, "a"));
      } else {
        REPRISE_RETURN_IF_ERROR(worker.Save("a", longer).status());
      }
      RemoveCommit(before);
      return Status();
    };
    WantedTiers pass(walked.get(), &rules_, Now());
    calls = 0;
    while (!pass.done()) REPRISE_ASSERT_OK(pass.Step());
    EXPECT_EQ(0u, pass.report().problem_count);
    EXPECT_EQ(is_removed ? std::nullopt : std::optional(Wanted::kLeftAlone),
              At(pass, IdsOf(a_)[0]));
    EXPECT_EQ(Wanted::kTokens, Of(pass, b_));
    REPRISE_ASSERT_OK(other->RemoveSession(tenant_, "b"));
    if (is_removed) return;
    REPRISE_ASSERT_OK(other->RemoveSession(tenant_, "a"));
  }
}

TEST_F(WantedTiersTest, StepsAreSmallAndManySessionsAreAllSeen) {
  for (int i = 0; i < 150; ++i) {
    Save("s" + std::to_string(i), ToyTokens(100 + i, 70));
    clock_.AdvanceMs(kHourMs / 100);
  }
  Options options = Now();
  options.step_segments = 1;
  FailingEngine hooked(engine_.get());
  const auto other = OpenCatalogue(&hooked);
  WantedTiers pass(other.get(), &rules_, options);
  int calls = 0;
  hooked.before = [&] {
    ++calls;
    return Status();
  };
  int steps = 0;
  for (; !pass.done(); ++steps) {
    calls = 0;
    REPRISE_ASSERT_OK(pass.Step());
    EXPECT_LE(calls, 3);
  }
  EXPECT_GE(steps, 300);
  EXPECT_EQ(150u, pass.report().sessions);
  const auto counts = pass.map().Counts();
  // The last 99 are idle for less than an hour.
  EXPECT_EQ(198u, counts[static_cast<size_t>(Wanted::kExact)]);
  EXPECT_EQ(102u, counts[static_cast<size_t>(Wanted::kNear)]);
}

// Whatever call fails, the step is tried again and nothing is lost or doubled.
TEST_F(WantedTiersTest, AStepThatFailedMayBeTriedAgain) {
  Save("a", a_);
  Save("b", b_);
  clock_.AdvanceMs(kYearMs);
  const auto ids = SegmentIdsOf(worker_.model(), b_);
  REPRISE_ASSERT_OK(StatusOf(catalogue_->Lease(tenant_, std::span(ids).first(1),
                                               TierWish{}, kMinuteMs)));
  const auto expected = Pass();
  FailingEngine hooked(engine_.get());
  const auto other = OpenCatalogue(&hooked);
  for (int at = 1;; ++at) {
    int calls = 0;
    int failed = 0;
    hooked.before = [&] {
      return ++calls == at ? UnavailableError("down") : Status();
    };
    WantedTiers pass(other.get(), &rules_, Now());
    while (!pass.done()) failed += pass.Step().ok() ? 0 : 1;
    EXPECT_EQ(expected->map().Counts(), pass.map().Counts()) << at;
    EXPECT_EQ(expected->report().sessions, pass.report().sessions);
    EXPECT_EQ(expected->report().leases, pass.report().leases);
    EXPECT_FALSE(pass.Find(tenant_, IdsOf(a_)[0])->is_shared);
    if (failed == 0) break;
    ASSERT_LT(at, 100);
  }
}

}  // namespace
}  // namespace reprise
