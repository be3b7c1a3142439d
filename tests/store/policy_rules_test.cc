#include "store/policy_rules.h"

#include <gtest/gtest.h>

#include <string>

namespace reprise {
namespace {

Policy Parsed(std::string_view text) {
  const Result<Policy> policy = ParsePolicy(text);
  EXPECT_TRUE(policy.ok()) << policy.status().ToString();
  return *policy;
}

std::string Checked(const PolicyRules& rules, std::string_view text) {
  const Status status = CheckPolicy(rules, Parsed(text));
  EXPECT_TRUE(status.ok() || status.Is(StatusCode::kInvalidArgument));
  return std::string(status.message());
}

TEST(PolicyRulesTest, TheBuiltInLaddersMakeEveryTier) {
  const PolicyRules rules;
  ASSERT_EQ(rules.ladders.size(), 3u);
  for (const Ladder& ladder : rules.ladders) {
    EXPECT_TRUE(IsLadderName(ladder.name));
    EXPECT_EQ(
        Checked(rules, ladder.name + ": " + std::string(kDefaultPolicyText)),
        "");
    Tier before{};
    for (const LadderTier& each : ladder.tiers) {
      EXPECT_GT(each.tier, before);
      EXPECT_FALSE(each.codec_choice.empty());
      before = each.tier;
    }
    EXPECT_EQ(ladder.tiers.front().codec_choice, "exact");
    EXPECT_EQ(ladder.Find(Tier::kTokens), nullptr);
  }
  EXPECT_TRUE(CheckPolicy(rules, rules.policy).ok());
  EXPECT_EQ(FormatPolicy(rules.policy), kDefaultPolicyText);
}

TEST(PolicyRulesTest, APolicyNeedsALadderThatMakesItsTiers) {
  PolicyRules rules;
  EXPECT_EQ(Checked(rules, "mine: exact"),
            "policy: there is no ladder \"mine\", there are default, series, "
            "series-vq");
  rules.ladders.push_back(
      {"mine", {{Tier::kExact, "exact"}, {Tier::kCoarse, "tsc"}}});
  EXPECT_EQ(Checked(rules, "mine: exact 1h, coarse 1d, tokens"), "");
  EXPECT_EQ(Checked(rules, "mine: exact 1h, near 1d, tokens"),
            "policy: ladder \"mine\" has no tier near, it has exact, coarse, "
            "tokens");
}

TEST(PolicyRulesTest, ASessionsOwnSettingsWin) {
  PolicyRules rules;
  rules.ttl_ms = kYearMs;
  SessionRecord session;
  EXPECT_EQ(*PolicyOf(rules, session), rules.policy);
  EXPECT_EQ(TtlOf(rules, session), kYearMs);
  session.policy = "series: exact 1h, tokens";
  session.ttl_ms = kDayMs;
  EXPECT_EQ(FormatPolicy(*PolicyOf(rules, session)), session.policy);
  EXPECT_EQ(TtlOf(rules, session), kDayMs);
  session.ttl_ms = kForeverMs;
  EXPECT_EQ(TtlOf(rules, session), kForeverMs);
}

// Nobody else's policy is put in the place of one that can't be followed.
TEST(PolicyRulesTest, APolicyThatCannotBeFollowedIsAnError) {
  PolicyRules rules;
  for (const char* text : {"gone: exact", "exact 1h", "nonsense"}) {
    SessionRecord session;
    session.policy = text;
    const Result<Policy> policy = PolicyOf(rules, session);
    ASSERT_FALSE(policy.ok()) << text;
    EXPECT_TRUE(policy.status().Is(StatusCode::kFailedPrecondition));
    EXPECT_TRUE(policy.status().message().starts_with("the session's policy: "))
        << policy.status().ToString();
  }
}

TEST(PolicyRulesTest, APinEnds) {
  SessionRecord session;
  EXPECT_FALSE(IsPinned(session, 0));
  EXPECT_FALSE(IsPinned(session, 1'000));
  session.pinned_until_ms = 1'000;
  EXPECT_TRUE(IsPinned(session, 999));
  EXPECT_FALSE(IsPinned(session, 1'000));
  session.pinned_until_ms = kForeverMs;
  EXPECT_TRUE(IsPinned(session, kForeverMs));
}

TEST(PolicyRulesTest, ASessionExpiresAtItsTtlUnlessItIsPinned) {
  PolicyRules rules;
  SessionInfo session;
  session.record.created_ms = 1'000;
  EXPECT_FALSE(IsExpired(rules, session, kYearMs));  // by default never
  rules.ttl_ms = kDayMs;
  EXPECT_FALSE(IsExpired(rules, session, 999 + kDayMs));
  EXPECT_TRUE(IsExpired(rules, session, 1'000 + kDayMs));
  session.record.pinned_until_ms = 1'001 + kDayMs;
  EXPECT_FALSE(IsExpired(rules, session, 1'000 + kDayMs));
  EXPECT_TRUE(IsExpired(rules, session, 1'001 + kDayMs));
  session.record.pinned_until_ms = 0;
  session.record.ttl_ms = kForeverMs;
  EXPECT_FALSE(IsExpired(rules, session, kYearMs));
  session.record.ttl_ms = kHourMs;
  EXPECT_TRUE(IsExpired(rules, session, kDayMs));
  session.last_use_ms = kDayMs - 1;
  EXPECT_FALSE(IsExpired(rules, session, kDayMs));
}

TEST(PolicyRulesTest, IdleTimeCountsFromTheLatestOfAll) {
  SessionInfo session;
  session.record.created_ms = 100;
  session.record.changed_ms = 200;
  EXPECT_EQ(IdleMs(session, 1'000), 800);
  session.last_use_ms = 900;
  EXPECT_EQ(IdleMs(session, 1'000), 100);
  session.record.changed_ms = 950;
  EXPECT_EQ(IdleMs(session, 1'000), 50);
  session.record.created_ms = 999;
  EXPECT_EQ(IdleMs(session, 1'000), 1);
  // A clock that was set back.
  EXPECT_EQ(IdleMs(session, 10), 0);
}

}  // namespace
}  // namespace reprise
