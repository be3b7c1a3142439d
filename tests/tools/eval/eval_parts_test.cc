// Ratios, windows, importance, names of variants, options.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "tests/tools/eval/staged_codec.h"
#include "tools/eval/eval_options.h"
#include "tools/eval/eval_variant.h"
#include "tools/eval/importance.h"
#include "tools/eval/state_ratios.h"
#include "tools/eval/text_windows.h"

namespace reprise {
namespace {

TEST(StateRatiosTest, BothAccountingsFollowTheirDefinitions) {
  // 100 tokens of 10 values: 2,000 bytes at 16 bits, stored in 500.
  const StoredSize size = {.tokens = 100,
                           .values = 1000,
                           .frame_bytes = 400,
                           .record_bytes = 100,
                           .profile_bytes = 1e9};
  EXPECT_DOUBLE_EQ(StateRatio(size), 4);
  EXPECT_DOUBLE_EQ(BitsPerValue(size), 4);
  // After every token: 1 + 2 + ... + 100 tokens of 20 bytes.
  const HistoryRatio by_token = HistoryRatioOf(size, 1);
  EXPECT_EQ(by_token.snapshots, 100u);
  EXPECT_EQ(by_token.snapshot_bytes, 5050.0 * 20);
  EXPECT_DOUBLE_EQ(by_token.ratio, 202);
  // After every 40: 40 + 80 + 100.
  const HistoryRatio by_turn = HistoryRatioOf(size, 40);
  EXPECT_EQ(by_turn.snapshots, 3u);
  EXPECT_EQ(by_turn.snapshot_bytes, 220.0 * 20);
  // One snapshot of all of it is the state ratio.
  EXPECT_DOUBLE_EQ(HistoryRatioOf(size, 100).ratio, StateRatio(size));
  EXPECT_EQ(HistoryRatioOf(size, 1000).snapshots, 1u);
}

TEST(TextWindowsTest, SeedZeroTakesTheStartOfTheText) {
  EXPECT_EQ(*ChooseWindows(1000, 100, 3, 0),
            (std::vector<uint64_t>{0, 100, 200}));
}

TEST(TextWindowsTest, SeededWindowsDoNotOverlapAndStayInside) {
  std::set<std::vector<uint64_t>> seen;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const auto starts = *ChooseWindows(1000, 100, 7, seed);
    EXPECT_EQ(starts, *ChooseWindows(1000, 100, 7, seed));
    for (size_t i = 0; i + 1 < starts.size(); ++i) {
      EXPECT_GE(starts[i + 1], starts[i] + 100);
    }
    EXPECT_LE(starts.back(), 900u);
    seen.insert(starts);
  }
  EXPECT_GT(seen.size(), 40u);
}

TEST(TextWindowsTest, SaysHowManyTokensAreMissing) {
  const Status status = ChooseWindows(299, 100, 3, 0).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("299 tokens, 3 windows of 100 need 300"),
            std::string_view::npos)
      << status.ToString();
  EXPECT_FALSE(ChooseWindows(299, 100, 0, 0).ok());
  EXPECT_TRUE(ChooseWindows(300, 100, 3, 9).ok());
}

TEST(TextWindowsTest, ShuffledOrderIsASeededPermutation) {
  auto order = ShuffledOrder(100, 7);
  EXPECT_EQ(order, ShuffledOrder(100, 7));
  EXPECT_NE(order, ShuffledOrder(100, 8));
  std::sort(order.begin(), order.end());
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(ImportanceTest, KeepsTheShareAndWhatIsProtected) {
  std::vector<double> scores(400);
  for (size_t i = 0; i < scores.size(); ++i) {
    scores[i] = static_cast<double>((i * 37) % 400);
  }
  const auto kept = ChooseKept(scores, 0.75);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), 1), 300);
  double least_kept = 1e9;
  double best_dropped = -1;
  for (size_t i = 0; i < kept.size(); ++i) {
    const bool is_protected = i < kProtectedFirst || i >= 400 - kProtectedLast;
    if (is_protected) {
      EXPECT_EQ(kept[i], 1) << i;
    } else if (kept[i] != 0) {
      least_kept = std::min(least_kept, scores[i]);
    } else {
      best_dropped = std::max(best_dropped, scores[i]);
    }
  }
  EXPECT_GT(least_kept, best_dropped);
}

TEST(ImportanceTest, ShortStatesAreKeptWhole) {
  const std::vector<double> scores(68, 0);
  const auto kept = ChooseKept(scores, 0.5);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), 1), 68);
}

TEST(ImportanceTest, EqualScoresGoByPosition) {
  const auto kept = ChooseKept(std::vector<double>(100, 1.0), 0.7);
  EXPECT_EQ(kept[5], 1);
  EXPECT_EQ(kept[6], 0);
  EXPECT_EQ(MaskOf(std::span(kept).first(8)), 0x3fu);
}

TEST(EvalVariantTest, ReadsCodecsAnchorsAndEviction) {
  const auto exact = ParseVariant("exact");
  ASSERT_TRUE(exact.ok());
  EXPECT_EQ(exact->codec, "exact");
  EXPECT_FALSE(exact->evicts());
  const auto anchor = ParseVariant("llama:q8_0");
  ASSERT_TRUE(anchor.ok());
  EXPECT_EQ(anchor->llama_type, "q8_0");
  EXPECT_EQ(anchor->codec, "llama:q8_0");
  const auto evict = ParseVariant("evict:keep=0.5,by=knorm,then=raw");
  ASSERT_TRUE(evict.ok()) << evict.status().ToString();
  EXPECT_TRUE(evict->evicts());
  EXPECT_EQ(evict->keep, 0.5);
  EXPECT_EQ(evict->by, Importance::kKeyNorm);
  EXPECT_EQ(evict->codec, "evict+raw");
  EXPECT_EQ(evict->parameters, "keep=0.5,by=knorm");
  const auto bare = ParseVariant("evict");
  ASSERT_TRUE(bare.ok());
  EXPECT_EQ(bare->keep, 0.75);
  EXPECT_EQ(bare->codec, "evict+exact");
  EXPECT_EQ(ParseVariant("evict:then=raw")->codec, "evict+raw");
}

TEST(EvalVariantTest, RefusesWhatItDoesNotKnow) {
  for (const char* text :
       {"", "nonesuch", "llama", "llama:", "raw:bits=3", "evict:keep=2",
        "evict:keep=0.5,by=luck", "evict:then=nonesuch", "evict:what=1"}) {
    EXPECT_FALSE(ParseVariant(text).ok()) << text;
  }
}

TEST(EvalVariantTest, AStagedCodecIsAVariantATier) {
  const StagedCodec codec;
  EvalVariant variant;
  variant.text = "evict:keep=0.5,then=staged:shift=2";
  variant.codec = "evict+staged";
  variant.parameters = "keep=0.5,shift=2";
  variant.choice.codec = &codec;
  variant.choice_text = "staged:shift=2";
  const auto all = WithStagePrefixes(variant);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].text, "evict:keep=0.5,then=staged@archive:shift=2");
  EXPECT_EQ(all[0].parameters, "keep=0.5,shift=2,@archive");
  EXPECT_EQ(all[0].stages, 1u);
  EXPECT_EQ(all[1].text, "evict:keep=0.5,then=staged@coarse:shift=2");
  EXPECT_EQ(all[1].stages, 2u);
  EXPECT_EQ(all[2].text, variant.text);
  EXPECT_EQ(all[2].stages, 0u);
  for (const EvalVariant& each : all) {
    EXPECT_EQ(each.choice_text, "staged:shift=2");
    EXPECT_EQ(each.codec, "evict+staged");
  }
  // One that names its tier is alone.
  EXPECT_EQ(WithStagePrefixes(all[1]).size(), 1u);
}

TEST(EvalVariantTest, ATierAfterTheNameIsAPrefixOfTheStages) {
  const auto whole = ParseVariant("exact@exact");
  ASSERT_TRUE(whole.ok()) << whole.status().ToString();
  EXPECT_EQ(whole->stages, 1u);
  EXPECT_EQ(whole->codec, "exact");
  EXPECT_EQ(whole->choice_text, "exact");
  const auto options = ParseVariant("tsc@near:bits=8");
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_EQ(options->choice_text, "tsc:bits=8");
  EXPECT_EQ(options->parameters, "bits=8,@near");
  EXPECT_EQ(SplitVariants("raw,tsc@near:bits=8,exact").size(), 3u);
  EXPECT_FALSE(ParseVariant("exact@archive").ok());
  EXPECT_FALSE(ParseVariant("exact@nonesuch").ok());
  EXPECT_FALSE(ParseVariant("exact@").ok());
  // Every staged codec that is built.
  for (const Codec* codec : AllCodecs()) {
    for (uint32_t k = 0; k < codec->stage_count(nullptr); ++k) {
      const Tier tier = codec->stage_tier(k, nullptr);
      const auto variant = ParseVariant(std::string(codec->name()) + "@" +
                                        std::string(TierName(tier)));
      ASSERT_TRUE(variant.ok()) << variant.status().ToString();
      EXPECT_LE(variant->stages, k + 1);
    }
  }
}

TEST(EvalVariantTest, SplitsListsWhoseOptionsHaveCommas) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(SplitVariants("raw,exact;llama:q8_0"),
            (Names{"raw", "exact", "llama:q8_0"}));
  EXPECT_EQ(SplitVariants("tsc:bits=8,kappa=64,raw,tsc:bits=4"),
            (Names{"tsc:bits=8,kappa=64", "raw", "tsc:bits=4"}));
  EXPECT_EQ(SplitVariants("evict:keep=0.7,by=mass,then=tsc:bits=8,kappa=3;raw"),
            (Names{"evict:keep=0.7,by=mass,then=tsc:bits=8,kappa=3", "raw"}));
  EXPECT_EQ(SplitVariants(" "), Names{" "});
  EXPECT_TRUE(SplitVariants(";,;").empty());
}

class EvalOptionsTest : public testing::Test {
 protected:
  EvalOptionsTest() {
    options_.model = "m.gguf";
    options_.text = Write("judged.txt", "some text");
    options_.train_text = Write("trained.txt", "another text");
  }
  static std::string Write(const std::string& name, const std::string& text) {
    const std::string path = testing::TempDir() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  StatusCode Code() const { return CheckEvalOptions(options_).code(); }

  EvalOptions options_;
};

TEST_F(EvalOptionsTest, AcceptsTheDefaults) {
  EXPECT_EQ(Code(), StatusCode::kOk) << CheckEvalOptions(options_).ToString();
}

TEST_F(EvalOptionsTest, NeverJudgesOnTheTrainingText) {
  options_.train_text = Write("copy.txt", "some text");
  EXPECT_EQ(Code(), StatusCode::kInvalidArgument);
  options_.train_text = options_.text;
  EXPECT_EQ(Code(), StatusCode::kInvalidArgument);
}

TEST_F(EvalOptionsTest, SaysWhichOptionIsWrong) {
  const auto refused = [this](auto EvalOptions::*option, auto value) {
    EvalOptions changed = options_;
    changed.*option = value;
    return std::string(CheckEvalOptions(changed).message());
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(refused(&EvalOptions::score, 0u), "--score is 0"));
  EXPECT_TRUE(has(refused(&EvalOptions::windows, 0u), "--windows is 0"));
  EXPECT_TRUE(has(refused(&EvalOptions::threads, 0), "--threads is 0"));
  EXPECT_TRUE(has(refused(&EvalOptions::facts, 0u), "--facts is 0"));
  EXPECT_TRUE(has(refused(&EvalOptions::facts, 23u), "--facts is 23"));
  EXPECT_TRUE(
      has(refused(&EvalOptions::retrieval, 10001u), "--retrieval is 10001"));
  EXPECT_TRUE(has(refused(&EvalOptions::keep, 1.5), "--keep is 1.5"));
  EXPECT_TRUE(has(refused(&EvalOptions::cache_type, "q8_0"), "q8_0"));
  EXPECT_TRUE(has(refused(&EvalOptions::text, ""), "--text"));
  EXPECT_TRUE(has(refused(&EvalOptions::prefixes, std::vector<uint32_t>()),
                  "--prefix is an empty list"));
  EXPECT_TRUE(has(refused(&EvalOptions::text, "/nowhere"), "can't read"));
  options_.session = "chat";
  EXPECT_EQ(Code(), StatusCode::kOk);
  EXPECT_TRUE(has(refused(&EvalOptions::retrieval, 1u), "--retrieval"));
  options_.session.clear();
  options_.profiles = {"tsc"};
  EXPECT_EQ(Code(), StatusCode::kInvalidArgument);
  options_.profiles = {"pq:d=4=some.profile"};
  EXPECT_EQ(Code(), StatusCode::kOk);
  EXPECT_EQ((*ProfileFilesOf(options_))[0].first, "pq:d=4");
}

TEST_F(EvalOptionsTest, ListsVariantsOnceAndAgainWithEviction) {
  options_.codecs = {"raw;exact", "raw", "llama:q4_0"};
  options_.keep = 0.75;
  const auto variants = VariantsOf(options_);
  ASSERT_TRUE(variants.ok());
  std::vector<std::string> names;
  for (const EvalVariant& variant : *variants) names.push_back(variant.text);
  EXPECT_EQ(names, (std::vector<std::string>{"raw", "exact", "llama:q4_0",
                                             "evict:keep=0.75,then=raw",
                                             "evict:keep=0.75,then=exact"}));
}

TEST_F(EvalOptionsTest, WithoutAListEveryCodecIsJudged) {
  const auto variants = VariantsOf(options_);
  ASSERT_TRUE(variants.ok());
  size_t wanted = 2;
  for (const Codec* codec : AllCodecs()) {
    EvalVariant variant;
    variant.text = variant.choice_text = codec->name();
    variant.choice.codec = codec;
    wanted += WithStagePrefixes(variant).size();
  }
  EXPECT_EQ(variants->size(), wanted);
}

TEST_F(EvalOptionsTest, ReadsACommandLine) {
  EvalOptions read;
  const char* line[] = {"eval",      "--model",  "m",       "--text",
                        "t",         "--prefix", "128,256", "--codecs",
                        "raw;exact", "--keep",   "0.5"};
  ASSERT_FALSE(ParseEvalCommand(std::size(line), line, &read).has_value());
  EXPECT_EQ(read.prefixes, (std::vector<uint32_t>{128, 256}));
  EXPECT_EQ(read.keep, 0.5);
  EXPECT_EQ(read.weights, "f32");
  EXPECT_EQ(read.codecs, std::vector<std::string>{"raw;exact"});
}

TEST_F(EvalOptionsTest, AWrongCommandLineEndsWithTwo) {
  EvalOptions read;
  const char* line[] = {"eval", "--model", "m", "--nonesuch"};
  EXPECT_EQ(ParseEvalCommand(std::size(line), line, &read), 2);
  EXPECT_EQ(ParseEvalCommand(1, line, &read), 2);
}

}  // namespace
}  // namespace reprise
