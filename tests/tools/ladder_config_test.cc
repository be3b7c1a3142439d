#include "tools/ladder_config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace reprise {
namespace {

std::string ErrorOf(const std::vector<std::string>& settings) {
  const auto ladders = SetLadderTiers(BuiltInLadders(), settings);
  if (ladders.ok()) return "OK";
  EXPECT_TRUE(ladders.status().Is(StatusCode::kInvalidArgument));
  return std::string(ladders.status().message());
}

// Each text is a codec's, and makes what the rung promises.
TEST(LadderConfigTest, TheBuiltInLaddersAreGood) {
  for (const Ladder& ladder : BuiltInLadders()) {
    for (const LadderTier& tier : ladder.tiers) {
      const Status status = CheckLadderTier(tier);
      EXPECT_TRUE(status.ok()) << ladder.name << ": " << status.ToString();
    }
  }
}

TEST(LadderConfigTest, SettingsChangeAddAndMake) {
  const std::vector<std::string> settings = {
      "default.near=klt:tier=near,stages=4", "mine.archive=vq",
      "mine.near=tsc:bits=8,kappa=8"};
  const auto ladders = SetLadderTiers(BuiltInLadders(), settings);
  ASSERT_TRUE(ladders.ok()) << ladders.status().ToString();
  ASSERT_EQ(ladders->size(), BuiltInLadders().size() + 1);
  const Ladder* changed = FindLadder(*ladders, "default");
  ASSERT_NE(changed, nullptr);
  EXPECT_EQ(changed->tiers.size(), 4u);
  EXPECT_EQ(changed->Find(Tier::kNear)->codec_choice, "klt:tier=near,stages=4");
  EXPECT_EQ(changed->Find(Tier::kCoarse)->codec_choice, "klt:tier=coarse");
  const Ladder made{"mine",
                    {{Tier::kExact, "exact"},
                     {Tier::kNear, "tsc:bits=8,kappa=8"},
                     {Tier::kArchive, "vq"}}};
  EXPECT_EQ(ladders->back(), made);
  EXPECT_EQ(FindLadder(*ladders, "series")->tiers,
            FindLadder(BuiltInLadders(), "series")->tiers);
}

TEST(LadderConfigTest, ATierHasALimitOfItsOwn) {
  const std::vector<std::string> settings = {
      "default.near=klt:tier=near max-error=0.02", "mine.coarse=tsc:bits=8"};
  const auto ladders = SetLadderTiers(BuiltInLadders(), settings);
  ASSERT_TRUE(ladders.ok()) << ladders.status().ToString();
  const LadderTier& near = *FindLadder(*ladders, "default")->Find(Tier::kNear);
  EXPECT_EQ(near.codec_choice, "klt:tier=near");
  EXPECT_EQ(near.max_relative_error, 0.02);
  EXPECT_EQ(ladders->back().Find(Tier::kCoarse)->max_relative_error,
            DefaultMaxRelativeError(Tier::kCoarse));
  for (const char* number : {"", "0", "-1", "x", "1x", "nan", "11", "inf"}) {
    const std::string text = std::string("mine.near=exact max-error=") + number;
    EXPECT_NE(ErrorOf({text}).find("at most 10, is wanted"), std::string::npos)
        << number;
  }
}

TEST(LadderConfigTest, RefusesWhatIsNoSetting) {
  const std::string form = "NAME.TIER=CODEC is wanted";
  for (const char* text : {"", "near=tsc", "series.near", "series=tsc.near"}) {
    EXPECT_NE(ErrorOf({text}).find(form), std::string::npos) << ErrorOf({text});
  }
  EXPECT_NE(ErrorOf({"Mine.near=tsc:bits=8"}).find("is no name of a ladder"),
            std::string::npos);
  EXPECT_NE(ErrorOf({"mine.nera=vq"}).find("tier: unknown name"),
            std::string::npos);
  EXPECT_NE(ErrorOf({"mine.exact=raw"}).find("tier exact is the same on every"),
            std::string::npos);
  EXPECT_NE(ErrorOf({"mine.tokens=raw"}).find("tier tokens is the same"),
            std::string::npos);
  EXPECT_EQ(ErrorOf({"mine.near=exact", "mine.near=exact"}),
            "ladder mine.near=exact: this tier was set before");
}

// A tier's name promises a quality, whoever configured the ladder.
TEST(LadderConfigTest, RefusesCodecsThatMakeLess) {
  EXPECT_EQ(ErrorOf({"mine.near=vq"}),
            "ladder mine.near=vq: \"vq\" makes tier archive, near or better is "
            "wanted");
  EXPECT_EQ(ErrorOf({"mine.near=tsc:bits=4"}),
            "ladder mine.near=tsc:bits=4: \"tsc:bits=4\" makes tier coarse, "
            "near or better is wanted");
  EXPECT_EQ(ErrorOf({"mine.archive=tsc:bits=4"}), "OK");
  // Frames of stages lie where their stages' tiers say.
  EXPECT_EQ(ErrorOf({"mine.coarse=klt:tier=near"}),
            "ladder mine.coarse=klt:tier=near: \"klt:tier=near\" makes tier "
            "near, coarse is wanted");
  EXPECT_EQ(ErrorOf({"mine.coarse=klt:tier=coarse"}), "OK");
}

TEST(LadderConfigTest, RefusesCodecsAndOptionsThatThereAreNot) {
  EXPECT_NE(ErrorOf({"mine.near=zip"}).find("codec \"zip\" is not built"),
            std::string::npos);
  EXPECT_NE(ErrorOf({"mine.near=tsc:bits=9"}).find("bits"), std::string::npos);
  EXPECT_NE(ErrorOf({"mine.near="}).find("is not built"), std::string::npos);
}

}  // namespace
}  // namespace reprise
