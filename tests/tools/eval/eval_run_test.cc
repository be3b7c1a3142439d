// The judge on a real model: what costs nothing shows 0, what costs something
// does not.
#include "tools/eval/eval_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <span>

#include "tests/client_llama/small_model.h"
#include "tools/eval/attention_mass.h"
#include "tools/eval/judged_model.h"
#include "tools/eval/judged_windows.h"
#include "tools/eval/planted_facts.h"

namespace reprise {
namespace {

class EvalRunTest : public SmallModelTest {
 protected:
  EvalRunTest() {
    options_.model = SmallModel::Path();
    options_.text = "assets/wikitext2-test.txt";
    options_.prefixes = {128};
    options_.score = 16;
    options_.windows = 1;
    options_.weights = "as-is";
  }
  EvalOptions options_;
};

TEST_F(EvalRunTest, NullCodecsCostNothingAndLossyOnesDo) {
  options_.windows = 2;
  options_.codecs = {
      "raw;exact;llama:q4_0;evict:keep=0.75,by=mass;"
      "evict:keep=0.75,by=knorm,then=raw"};
  uint64_t done = 0;
  uint64_t total = 0;
  EvalObserver observer;
  observer.on_progress = [&](uint64_t now, uint64_t of) {
    EXPECT_GE(now, done);
    done = now;
    total = of;
  };
  const auto rows = RunEval(options_, observer);
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_EQ(done, total);
  std::map<std::string, EvalRow> by_name;
  for (const EvalRow& row : *rows) by_name[row.codec] = row;
  ASSERT_EQ(by_name.size(), 5u);
  for (const char* null_codec : {"raw", "exact"}) {
    const EvalRow& row = by_name[null_codec];
    EXPECT_EQ(row.quality.kl.mean, 0) << null_codec;
    EXPECT_EQ(row.quality.kl_max, 0) << null_codec;
    EXPECT_EQ(row.quality.top1.mean, 1) << null_codec;
    EXPECT_EQ(row.quality.ppl, row.quality.ppl_exact) << null_codec;
    EXPECT_EQ(row.quality.tokens, 32u);
  }
  EXPECT_LT(StateRatio(by_name["raw"].size), 1);
  EXPECT_GT(StateRatio(by_name["exact"].size), 1.05);
  EXPECT_GT(by_name["llama:q4_0"].quality.kl.mean, 1e-3);
  EXPECT_NEAR(BitsPerValue(by_name["llama:q4_0"].size), 4.5, 0.05);
  for (const char* evicting : {"evict+exact", "evict+raw"}) {
    EXPECT_GT(by_name[evicting].quality.kl.mean, 1e-4) << evicting;
    EXPECT_LT(by_name[evicting].quality.kl.mean, 3) << evicting;
  }
  EXPECT_LT(by_name["evict+raw"].size.frame_bytes,
            0.76 * by_name["raw"].size.frame_bytes);
  // Quantised weights blow rounding up, to less than a lossy codec costs.
  EXPECT_GT(by_name["raw"].noise.kl.mean, 0);
  EXPECT_LT(by_name["raw"].noise.kl.mean, 0.02);
}

TEST_F(EvalRunTest, PlantedFactsAreAskedFor) {
  options_.prefixes = {256};
  options_.retrieval = 2;
  options_.facts = 4;
  options_.codecs = {"exact;llama:q4_0;evict:keep=0.5,by=random"};
  uint64_t done = 0;
  uint64_t total = 0;
  EvalObserver observer;
  observer.on_progress = [&](uint64_t now, uint64_t of) {
    done = now;
    total = of;
  };
  const auto rows = RunEval(options_, observer);
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_EQ(done, total);
  ASSERT_EQ(rows->size(), 3u);
  for (const EvalRow& row : *rows) EXPECT_EQ(row.retrieval.facts(), 8u);
  const RetrievalFigures& exact = (*rows)[0].retrieval;
  // The model can do it, and losing nothing costs nothing.
  EXPECT_GE(exact.exact.count, 6u);
  EXPECT_EQ(exact.coded.count, exact.exact.count);
  EXPECT_EQ(exact.kept.share(), 1);
  EXPECT_EQ(exact.kl.mean, 0);
  EXPECT_GT((*rows)[1].retrieval.kl.mean, 0);
  EXPECT_LT((*rows)[1].retrieval.kl.mean, 0.5);
  // Digits that are dropped can't be found again.
  const RetrievalFigures& evicted = (*rows)[2].retrieval;
  EXPECT_LT(evicted.coded.count, exact.exact.count);
  EXPECT_GT(evicted.kl.mean, (*rows)[1].retrieval.kl.mean);
}

// Where `part` starts in `all`; all.size() when it is not there.
size_t FindTokens(const std::vector<TokenId>& all,
                  std::span<const TokenId> part) {
  return static_cast<size_t>(
      std::search(all.begin(), all.end(), part.begin(), part.end()) -
      all.begin());
}

size_t LinesOf(const std::string& text) {
  size_t lines = 0;
  for (size_t at = 0; (at = text.find("access code", at)) != text.npos; ++at) {
    ++lines;
  }
  return lines;
}

TEST_F(EvalRunTest, AnAnswerStandsInTheCodedPrefixAndNowhereElse) {
  constexpr uint32_t kPrefix = 300;  // 256 are coded
  options_.retrieval = 2;
  options_.facts = 5;
  const auto text = SmallModel::Prompt(2 * kPrefix);
  const auto runner = SmallModel::Runner({.context_tokens = 256});
  const auto windows = FactWindows(*runner, text, kPrefix, options_);
  ASSERT_TRUE(windows.ok()) << windows.status().ToString();
  ASSERT_EQ(windows->size(), 2u);
  for (const JudgedWindow& window : *windows) {
    EXPECT_EQ(window.prefix.size(), kPrefix);
    const std::vector<TokenId>& read = window.continuation;
    EXPECT_LE(read.size(), LongestContinuation(options_));
    ASSERT_EQ(window.scored.size(), options_.facts);
    std::set<size_t> places;
    for (const ScoredRun& run : window.scored) {
      // What is scored are the answer's tokens, read teacher-forced.
      const auto asked = read.begin() + static_cast<ptrdiff_t>(run.first) + 1;
      const auto answered = asked + static_cast<ptrdiff_t>(run.next.size());
      EXPECT_TRUE(
          std::equal(asked, answered, run.next.begin(), run.next.end()));
      // The question ends a text of whole lines, two examples or more.
      const std::string before = runner->TextOf({read.begin(), asked});
      const std::string answer = runner->TextOf(run.next);
      EXPECT_GE(LinesOf(before), 1 + kExampleFacts) << before;
      EXPECT_EQ(before.find(answer), before.npos) << before;
      const size_t line = before.rfind("\nThe access code is ");
      ASSERT_NE(line, before.npos);
      // The same line stands in the window, among what is coded.
      const std::string fact = before.substr(line) + answer + ".\n";
      EXPECT_NE(runner->TextOf(window.prefix).find(fact), std::string::npos);
      const std::vector<TokenId> whole(asked - 1, answered);
      const size_t place = FindTokens(window.prefix, whole);
      EXPECT_LE(place + whole.size(), 256u);
      places.insert(place);
    }
    EXPECT_EQ(places.size(), options_.facts);
  }
  // Another window has other facts.
  EXPECT_NE((*windows)[0].scored[0].next, (*windows)[1].scored[0].next);
}

TEST_F(EvalRunTest, AnyTextIsJudgedChatsToo) {
  options_.text = "assets/mtbench-chats-test.txt";
  options_.train_text = "assets/mtbench-chats-train.txt";
  options_.train_tokens = 512;
  options_.retrieval = 1;
  options_.facts = 2;
  options_.codecs = {"exact;tsc:bits=8"};
  const auto rows = RunEval(options_, {});
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_EQ((*rows)[0].text, "mtbench-chats-test.txt");
  EXPECT_EQ((*rows)[0].quality.kl_max, 0);
  EXPECT_EQ((*rows)[1].retrieval.facts(), 2u);
}

TEST_F(EvalRunTest, EveryCacheTypeCanBeJudged) {
  options_.codecs = {"exact"};
  for (const char* type : {"bf16", "f32"}) {
    options_.cache_type = type;
    const auto rows = RunEval(options_, {});
    ASSERT_TRUE(rows.ok()) << rows.status().ToString();
    EXPECT_EQ((*rows)[0].quality.kl_max, 0) << type;
    EXPECT_GT((*rows)[0].quality.ppl, 1) << type;
  }
}

TEST_F(EvalRunTest, AttentionIsMeasuredWhole) {
  constexpr uint32_t kTokens = 700;  // more than a batch
  const auto tokens = SmallModel::Prompt(kTokens);
  const auto mass =
      MeasureAttentionMass(SmallModel::Get(), {.context_tokens = 1024}, tokens);
  ASSERT_TRUE(mass.ok()) << mass.status().ToString();
  ASSERT_EQ(mass->all.size(), kTokens);
  const auto sum = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
  };
  // Each query of 30 layers of 9 heads gives away 1.
  EXPECT_NEAR(sum(mass->all), 30 * 9 * kTokens, 1);
  EXPECT_NEAR(sum(mass->recent), 30 * 9 * kRecentQueries, 0.1);
  EXPECT_EQ(std::max_element(mass->all.begin(), mass->all.end()),
            mass->all.begin());
  // The last token is seen by itself only.
  EXPECT_LT(mass->all.back(), 30 * 9);
  EXPECT_DOUBLE_EQ(mass->all.back(), mass->recent.back());
}

TEST_F(EvalRunTest, WithoutAListEveryCodecIsJudgedThatCanBe) {
  std::string notes;
  EvalObserver observer;
  observer.on_note = [&](const std::string& line) { notes += line + "\n"; };
  const auto rows = RunEval(options_, observer);
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  std::set<std::string> judged;
  for (const EvalRow& row : *rows) judged.insert(row.variant);
  EXPECT_EQ(judged, (std::set<std::string>{"raw", "exact", "tsc", "llama:q8_0",
                                           "llama:q4_0"}));
  // These need a profile, and there is neither a file nor a text to train on.
  for (const char* codec : {"vq", "pq", "klt"}) {
    const std::string line = std::string("skips ") + codec + ": ";
    EXPECT_NE(notes.find(line), notes.npos) << notes;
    EXPECT_EQ(notes.find(line, notes.find(line) + 1), notes.npos) << notes;
    // One that was named is not skipped.
    options_.codecs = {codec};
    EXPECT_EQ(RunEval(options_, {}).status().code(),
              StatusCode::kFailedPrecondition);
  }
}

TEST_F(EvalRunTest, SaysWhenTheTextIsTooShort) {
  options_.windows = 10000;
  options_.codecs = {"raw"};
  const auto rows = RunEval(options_, {});
  EXPECT_EQ(rows.status().code(), StatusCode::kInvalidArgument);
}

TEST_F(EvalRunTest, SaysWhenFactsDoNotFit) {
  options_.prefixes = {64};
  options_.retrieval = 1;
  options_.codecs = {"raw"};
  const Status status = RunEval(options_, {}).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("64 coded tokens"), std::string_view::npos)
      << status.ToString();
}

}  // namespace
}  // namespace reprise
