#include "store/policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/limits.h"

namespace reprise {
namespace {

constexpr std::string_view kWhole =
    "exact 1h, near 1d, coarse 30d, archive 1y, tokens";

Policy Parsed(std::string_view text) {
  Result<Policy> policy = ParsePolicy(text);
  EXPECT_TRUE(policy.ok()) << text << ": " << policy.status().ToString();
  return policy.ok() ? *std::move(policy) : Policy();
}

TEST(PolicyTest, ReadsEachRung) {
  const Policy expected{"default",
                        {{Tier::kExact, kHourMs},
                         {Tier::kNear, kDayMs},
                         {Tier::kCoarse, 30 * kDayMs},
                         {Tier::kArchive, kYearMs},
                         {Tier::kTokens, kForeverMs}}};
  EXPECT_EQ(Parsed(kWhole), expected);
}

TEST(PolicyTest, ATextHasACanonicalForm) {
  const struct {
    std::string_view text;
    std::string_view canonical;
  } kCases[] = {
      {kWhole, kWhole},
      {"exact", "exact"},
      {"tokens", "tokens"},
      {"near 1d,tokens", "near 1d, tokens"},
      {"\t exact\t60m ,  near   24h\t,coarse ", "exact 1h, near 1d, coarse"},
      {"exact 7d, tokens", "exact 1w, tokens"},
      {"exact 3600s, near 365d, tokens", "exact 1h, near 1y, tokens"},
      {"exact 1s, near 2s, tokens", "exact 1s, near 2s, tokens"},
      {"default: exact", "exact"},
      {"series:exact 1h,tokens", "series: exact 1h, tokens"},
      {" my-2nd :\texact", "my-2nd: exact"},
      {"near: near", "near: near"},  // a name may be that of a tier
      {"exact 999y, near 1000y, tokens", "exact 999y, near 1000y, tokens"},
  };
  for (const auto& each : kCases) {
    const std::string once = FormatPolicy(Parsed(each.text));
    EXPECT_EQ(once, each.canonical);
    EXPECT_EQ(FormatPolicy(Parsed(once)), once);
    EXPECT_EQ(Parsed(once), Parsed(each.text)) << each.text;
  }
}

// docs/format/policy.md, section 5, and more.
TEST(PolicyTest, SaysWhereATextIsWrongAndWhatIsExpected) {
  const struct {
    std::string text;
    int column;
    std::string_view expected;  // somewhere in the message
  } kCases[] = {
      {"", 1,
       "a tier is expected (exact, near, coarse, archive or tokens), or "
       "the name of a ladder and a colon"},
      {"   ", 4, "a tier is expected ("},
      {"exakt 1h, tokens", 1, "a tier is expected ("},
      {"Exact", 1, "a tier is expected ("},
      {"Series: exact", 1, "a tier is expected ("},
      {"exact1h, tokens", 1, "a tier is expected ("},
      {",exact", 1, "a tier is expected ("},
      {": exact", 1, "a ladder's name is expected"},
      {"2nd: exact", 1, "a ladder's name is expected"},
      {" -x: exact", 2, "a ladder's name is expected"},
      {std::string(kMaxLadderNameBytes + 1, 'a') + ": exact", 1,
       "a ladder's name is expected"},
      {"series: exakt 1h", 9, "a tier is expected: "},
      {"series:", 8, "a tier is expected: "},
      {"series: other: exact", 9, "a tier is expected: "},
      {"exact 1h,", 10, "a tier is expected: "},
      {"exact 1h, , tokens", 11, "a tier is expected: "},
      {"exact 1h, near 2h, raw", 20, "a tier is expected: "},
      {"exact, tokens", 6, "a blank and a duration are expected"},
      {"exact , tokens", 6, "only the last rung has none"},
      {"exact tokens", 7, "a duration is expected"},
      {"exact 0h, tokens", 7, "a duration is expected"},
      {"exact -1h, tokens", 7, "a duration is expected"},
      {"exact 1, tokens", 8, "a unit is expected"},
      {"exact 1 h, tokens", 8, "a unit is expected"},
      {"exact 1", 8, "a unit is expected"},
      {"exact 1H, tokens", 8, "a unit is expected"},
      {"exact 1.5h, tokens", 8, "a unit is expected"},
      {"exact 1001y, tokens", 7, "over the limit of 1000y"},
      {"exact 1h near", 10, "a comma is expected"},
      {"exact 1h30m, near", 9, "a comma is expected"},
      {"exact 1h; tokens", 9, "a comma is expected"},
      {"exact 1h", 7, "the last rung has no duration"},
      {"exact 1h, tokens 1y ", 18, "the last rung has no duration"},
      {"near 1d, exact", 10,
       "a tier worse than near is expected, exact is not"},
      {"near 1d, near", 10, "a tier worse than near is expected, near is not"},
      {"tokens 1d, tokens", 12, "a tier worse than tokens is expected"},
      {"exact 1d, near 1h, tokens", 16,
       "a duration longer than 1d is expected, 1h is not"},
      {"exact 1d, near 24h, tokens", 16,
       "a duration longer than 1d is expected, 1d is not"},
      {std::string("exact\0", 6), 6, "a duration is expected"},
      {"exact\n1h, tokens", 6, "a duration is expected"},
      {"\xc3\xa9xact", 1, "a tier is expected ("},
      {"exact 1h, tokens" + std::string(kMaxPolicyBytes - 15, ' '),
       kMaxPolicyBytes + 1,
       "the end is expected: the text has 1025 bytes, at most 1024"},
  };
  for (const auto& each : kCases) {
    const Result<Policy> policy = ParsePolicy(each.text);
    ASSERT_FALSE(policy.ok()) << each.text;
    EXPECT_TRUE(policy.status().Is(StatusCode::kInvalidArgument));
    const std::string message(policy.status().message());
    EXPECT_TRUE(message.starts_with("policy: column " +
                                    std::to_string(each.column) + ": "))
        << each.text << ": " << message;
    EXPECT_NE(message.find(each.expected), std::string::npos)
        << each.text << ": " << message;
  }
}

TEST(PolicyTest, TheLongestTextIsRead) {
  const std::string text =
      "exact 1h, tokens" + std::string(kMaxPolicyBytes - 16, ' ');
  EXPECT_EQ(FormatPolicy(Parsed(text)), "exact 1h, tokens");
  const std::string name(kMaxLadderNameBytes, 'a');
  EXPECT_EQ(Parsed(name + ": exact").ladder, name);
}

TEST(PolicyTest, EveryCutOfATextIsReadOrAnswered) {
  for (size_t size = 0; size < kWhole.size(); ++size) {
    const Result<Policy> policy = ParsePolicy(kWhole.substr(0, size));
    // Only whole words may be left, and no rung with a time at the end.
    const std::string_view cut = kWhole.substr(0, size);
    const bool is_whole = cut == "exact" || cut == "exact " ||
                          cut.ends_with("near") || cut.ends_with("near ") ||
                          cut.ends_with("coarse") || cut.ends_with("coarse ") ||
                          cut.ends_with("archive") || cut.ends_with("archive ");
    EXPECT_EQ(policy.ok(), is_whole) << cut;
  }
}

TEST(PolicyTest, TheWantedTierFallsAtEachDuration) {
  const Policy policy = Parsed(kWhole);
  EXPECT_EQ(WantedTier(policy, 0), Tier::kExact);
  EXPECT_EQ(WantedTier(policy, kHourMs - 1), Tier::kExact);
  EXPECT_EQ(WantedTier(policy, kHourMs), Tier::kNear);
  EXPECT_EQ(WantedTier(policy, kDayMs - 1), Tier::kNear);
  EXPECT_EQ(WantedTier(policy, kDayMs), Tier::kCoarse);
  EXPECT_EQ(WantedTier(policy, 30 * kDayMs - 1), Tier::kCoarse);
  EXPECT_EQ(WantedTier(policy, 30 * kDayMs), Tier::kArchive);
  EXPECT_EQ(WantedTier(policy, kYearMs - 1), Tier::kArchive);
  EXPECT_EQ(WantedTier(policy, kYearMs), Tier::kTokens);
  EXPECT_EQ(WantedTier(policy, kForeverMs), Tier::kTokens);
}

TEST(PolicyTest, TheLastRungIsForGood) {
  const Policy policy = Parsed("exact 1h, near");
  EXPECT_EQ(WantedTier(policy, kForeverMs), Tier::kNear);
  EXPECT_EQ(WantedTier(Parsed("exact"), kForeverMs), Tier::kExact);
}

TEST(PolicyTest, TheTiersDownToOneAreThoseOfItsRungsLowestFirst) {
  using Tiers = std::vector<Tier>;
  const Policy policy = Parsed("exact 1h, near 1d, archive 1y, tokens");
  EXPECT_EQ(TiersDownTo(policy, Tier::kExact), Tiers());
  EXPECT_EQ(TiersDownTo(policy, Tier::kNear), Tiers{Tier::kNear});
  EXPECT_EQ(TiersDownTo(policy, Tier::kArchive),
            (Tiers{Tier::kArchive, Tier::kNear}));
  EXPECT_EQ(TiersDownTo(policy, Tier::kTokens),
            (Tiers{Tier::kTokens, Tier::kArchive, Tier::kNear}));
  EXPECT_EQ(TiersDownTo(Parsed("coarse"), Tier::kCoarse), Tiers{Tier::kCoarse});
}

TEST(PolicyTest, TheNextStepIsWhereTheWantedTierChanges) {
  for (const std::string_view text :
       {kWhole, std::string_view("exact"), std::string_view("near 1d, tokens"),
        std::string_view("exact 1s, near 2s, coarse 3s, archive 4s, tokens")}) {
    const Policy policy = Parsed(text);
    int64_t idle_ms = 0;
    size_t steps = 0;
    while (const std::optional<PolicyStep> step = NextStep(policy, idle_ms)) {
      ASSERT_GT(step->idle_ms, idle_ms) << text;
      EXPECT_EQ(WantedTier(policy, step->idle_ms - 1),
                WantedTier(policy, idle_ms));
      EXPECT_EQ(WantedTier(policy, step->idle_ms), step->tier);
      EXPECT_NE(step->tier, WantedTier(policy, idle_ms));
      idle_ms = step->idle_ms;
      ++steps;
    }
    EXPECT_EQ(steps, policy.rungs.size() - 1) << text;
    EXPECT_EQ(WantedTier(policy, idle_ms), policy.rungs.back().tier);
  }
}

}  // namespace
}  // namespace reprise
