#include "tools/eval/retrieval_score.h"

#include <gtest/gtest.h>

#include <cmath>

namespace reprise {
namespace {

TokenScore Score(bool exact, bool coded, double kl) {
  TokenScore score;
  score.kl = kl;
  score.right_exact = exact;
  score.right = coded;
  return score;
}

TEST(RetrievalScoreTest, AFactIsFoundWhenItsWholeAnswerIs) {
  const std::vector<std::vector<TokenScore>> answers = {
      {Score(true, true, 0.1), Score(true, true, 0.1)},    // both
      {Score(true, true, 0.1), Score(true, false, 0.1)},   // lost
      {Score(false, true, 0.3), Score(true, true, 0.3)},   // gained
      {Score(true, false, 0.3), Score(false, false, 0.3)}  // neither
  };
  const RetrievalFigures figures = SummariseFacts(answers, 2);
  EXPECT_EQ(figures.facts(), 4u);
  EXPECT_EQ(figures.exact.count, 2u);
  EXPECT_EQ(figures.coded.count, 2u);
  EXPECT_EQ(figures.kept.count, 1u);
  EXPECT_EQ(figures.kept.of, 2u);
  EXPECT_DOUBLE_EQ(figures.kl.mean, 0.2);
  // Two windows of 0.1 and 0.3.
  EXPECT_NEAR(figures.kl.error, 0.1, 1e-12);
}

TEST(RetrievalScoreTest, NothingAskedIsNothingFound) {
  const RetrievalFigures figures = SummariseFacts({}, 8);
  EXPECT_EQ(figures.facts(), 0u);
  EXPECT_TRUE(std::isnan(figures.kept.share()));
}

TEST(RetrievalScoreTest, TheErrorIsThatOfABinomialCount) {
  const CountedShare half = {.count = 200, .of = 400};
  EXPECT_DOUBLE_EQ(half.share(), 0.5);
  EXPECT_NEAR(half.error(), std::sqrt(0.25 / 400), 1e-4);
  // All of n: no certainty, but what one more failure would have meant.
  const CountedShare all = {.count = 100, .of = 100};
  EXPECT_NEAR(all.error(), 1.0 / 202, 1e-12);
  EXPECT_GT((CountedShare{.count = 10, .of = 10}).error(), all.error());
}

TEST(RetrievalScoreTest, FactsThatFailTogetherMakeTheErrorLarger) {
  // Eight facts in each of four windows: in two of them none is kept.
  const auto error_of = [](bool together) {
    std::vector<std::vector<TokenScore>> answers;
    for (size_t window = 0; window < 4; ++window) {
      for (size_t fact = 0; fact < 8; ++fact) {
        const bool lost = together ? window < 2 : fact < 4;
        answers.push_back({Score(true, !lost, 0.1)});
      }
    }
    const CountedShare kept = SummariseFacts(answers, 8).kept;
    EXPECT_EQ(kept.count, 16u);
    EXPECT_EQ(kept.of, 32u);
    return kept.error();
  };
  EXPECT_NEAR(error_of(false), std::sqrt(0.25 / 32), 2e-3);
  // Shares of 0, 0, 1, 1: their deviation over the root of their number.
  EXPECT_NEAR(error_of(true), std::sqrt(1.0 / 3) / 2, 1e-12);
}

}  // namespace
}  // namespace reprise
