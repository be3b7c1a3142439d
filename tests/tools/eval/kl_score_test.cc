// The judge's arithmetic against the textbook's formulas.
#include "tools/eval/kl_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr size_t kVocabulary = 101;

std::vector<float> RandomLogits(size_t rows, uint64_t seed) {
  Random random(seed);
  std::vector<float> logits(rows * kVocabulary);
  for (float& logit : logits) {
    logit = static_cast<float>(4 * random.Normal());
  }
  return logits;
}

// Probabilities first, then the sum: no shortcut.
double DirectKl(std::span<const float> p, std::span<const float> q) {
  double p_sum = 0;
  double q_sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    p_sum += std::exp(double{p[i]});
    q_sum += std::exp(double{q[i]});
  }
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double a = std::exp(double{p[i]}) / p_sum;
    const double b = std::exp(double{q[i]}) / q_sum;
    kl += a * std::log(a / b);
  }
  return kl;
}

TEST(KlScoreTest, AgreesWithADirectComputation) {
  const std::vector<float> exact = RandomLogits(3, 1);
  const std::vector<float> changed = RandomLogits(3, 2);
  const std::vector<TokenId> next = {5, 0, 100};
  const ScoreReference reference(exact, kVocabulary, next);
  const auto scores = reference.Compare(changed);
  ASSERT_EQ(scores.size(), 3u);
  for (size_t row = 0; row < 3; ++row) {
    const auto p = std::span(exact).subspan(row * kVocabulary, kVocabulary);
    const auto q = std::span(changed).subspan(row * kVocabulary, kVocabulary);
    EXPECT_NEAR(scores[row].kl, DirectKl(p, q), 1e-12);
    EXPECT_GT(scores[row].kl, 0);
    EXPECT_NEAR(scores[row].nll, LogSumExp(q) - q[next[row]], 1e-12);
    EXPECT_NEAR(scores[row].nll_exact, LogSumExp(p) - p[next[row]], 1e-12);
  }
}

TEST(KlScoreTest, SaysWhetherTheTokenThatFollowsWasTheLikeliest) {
  const std::vector<float> exact = RandomLogits(4, 1);
  std::vector<float> changed = exact;
  std::vector<TokenId> next;
  for (size_t row = 0; row < 4; ++row) {
    const auto begin =
        exact.begin() + static_cast<ptrdiff_t>(row * kVocabulary);
    const auto top = std::max_element(begin, begin + kVocabulary) - begin;
    // Rows 0 and 1 are right as they are, in 1 and 3 another token wins.
    const auto other = static_cast<size_t>((top + 7) % kVocabulary);
    next.push_back(
        static_cast<TokenId>(row < 2 ? static_cast<size_t>(top) : other));
    if (row % 2 == 1) changed[row * kVocabulary + other] = 100;
  }
  const auto scores = ScoreReference(exact, kVocabulary, next).Compare(changed);
  const bool wanted_exact[] = {true, true, false, false};
  const bool wanted[] = {true, false, false, true};
  for (size_t row = 0; row < 4; ++row) {
    EXPECT_EQ(scores[row].right_exact, wanted_exact[row]) << row;
    EXPECT_EQ(scores[row].right, wanted[row]) << row;
  }
}

TEST(KlScoreTest, EqualLogitsCostExactlyNothing) {
  const std::vector<float> exact = RandomLogits(2, 3);
  const ScoreReference reference(exact, kVocabulary,
                                 std::vector<TokenId>{1, 2});
  for (const TokenScore& score : reference.Compare(exact)) {
    EXPECT_EQ(score.kl, 0);
    EXPECT_EQ(score.nll, score.nll_exact);
    EXPECT_TRUE(score.same_top1);
  }
}

TEST(KlScoreTest, LargeLogitsDoNotOverflow) {
  const std::vector<float> large = {3e38f, 0, -3e38f};
  EXPECT_DOUBLE_EQ(LogSumExp(large), double{3e38f});
  const std::vector<float> equal = {1000, 1000};
  EXPECT_DOUBLE_EQ(LogSumExp(equal), 1000 + std::log(2.0));
}

TEST(KlScoreTest, AShiftOfAllLogitsIsNoChange) {
  const std::vector<float> exact = {1, 2, 3, 4};
  const std::vector<float> shifted = {11, 12, 13, 14};
  const ScoreReference reference(exact, 4, std::vector<TokenId>{0});
  EXPECT_NEAR(reference.Compare(shifted)[0].kl, 0, 1e-15);
}

// NaNs among what is sorted for the p99 would leave it in any order.
TEST(KlScoreTest, LogitsThatAreNoNumbersCostInfinitelyMuch) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::vector<float> exact = {1, 2, 3, 1, 2, 3, 1, 2, 3};
  const std::vector<float> changed = {kNan, kNan, kNan, 1, 2, 3, 1, kInf, 3};
  const ScoreReference reference(exact, 3, std::vector<TokenId>{0, 1, 2});
  const std::vector<std::vector<TokenScore>> windows = {
      reference.Compare(changed)};
  EXPECT_EQ(windows[0][0].kl, double{kInf});
  EXPECT_FALSE(windows[0][0].same_top1);
  EXPECT_EQ(windows[0][1].kl, 0);
  EXPECT_EQ(windows[0][2].kl, double{kInf});
  const QualityFigures figures = Summarise(windows);
  EXPECT_EQ(figures.kl.mean, double{kInf});
  EXPECT_EQ(figures.kl_max, double{kInf});
  EXPECT_EQ(figures.ppl, double{kInf});
  EXPECT_DOUBLE_EQ(figures.top1.mean, 1.0 / 3);
}

TEST(KlScoreTest, SummarisesWindows) {
  const std::vector<std::vector<TokenScore>> windows = {
      {{.kl = 1, .nll_exact = 1, .nll = 2, .same_top1 = true},
       {.kl = 3, .nll_exact = 1, .nll = 2, .same_top1 = false}},
      {{.kl = 5, .nll_exact = 1, .nll = 1, .same_top1 = true},
       {.kl = 7, .nll_exact = 1, .nll = 1, .same_top1 = true}},
  };
  const QualityFigures figures = Summarise(windows);
  EXPECT_EQ(figures.windows, 2u);
  EXPECT_EQ(figures.tokens, 4u);
  EXPECT_DOUBLE_EQ(figures.kl.mean, 4);
  // Windows' means are 2 and 6: deviation 2.83, over the root of 2.
  EXPECT_DOUBLE_EQ(figures.kl.error, 2);
  EXPECT_EQ(figures.kl_max, 7);
  EXPECT_EQ(figures.kl_p99, 7);
  EXPECT_DOUBLE_EQ(figures.top1.mean, 0.75);
  EXPECT_DOUBLE_EQ(figures.ppl_exact, std::exp(1.0));
  EXPECT_DOUBLE_EQ(figures.ppl, std::exp(1.5));
  EXPECT_DOUBLE_EQ(figures.ppl_delta.mean, std::exp(1.5) - std::exp(1.0));
}

TEST(KlScoreTest, TheP99IsTheNearestRank) {
  std::vector<TokenScore> window(200);
  for (size_t i = 0; i < window.size(); ++i) {
    window[i].kl = static_cast<double>(199 - i);
  }
  const std::vector<std::vector<TokenScore>> windows = {window};
  EXPECT_EQ(Summarise(windows).kl_p99, 197);
}

TEST(KlScoreTest, OneWindowHasNoError) {
  EXPECT_TRUE(std::isnan(MeanOverWindows(std::vector{1.0}).error));
}

}  // namespace
}  // namespace reprise
