#include "tools/eval/kl_score.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace reprise {
namespace {

size_t TopOf(std::span<const float> logits) {
  return static_cast<size_t>(std::max_element(logits.begin(), logits.end()) -
                             logits.begin());
}

// Of a state that broke the model: as bad as it gets, and in order with what
// others cost, which a NaN is not.
TokenScore BrokenScore(const TokenScore& score) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return {.kl = kInfinity,
          .nll_exact = score.nll_exact,
          .nll = kInfinity,
          .right_exact = score.right_exact};
}

}  // namespace

double LogSumExp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

ScoreReference::ScoreReference(std::span<const float> logits, size_t vocabulary,
                               std::span<const TokenId> next)
    : vocabulary_(vocabulary),
      logits_(logits.begin(), logits.end()),
      next_(next.begin(), next.end()) {
  for (size_t row = 0; row < next_.size(); ++row) {
    const auto values =
        std::span(logits_).subspan(row * vocabulary, vocabulary);
    log_sum_.push_back(LogSumExp(values));
    top_.push_back(TopOf(values));
  }
}

std::vector<TokenScore> ScoreReference::Compare(
    std::span<const float> logits) const {
  std::vector<TokenScore> scores;
  scores.reserve(next_.size());
  for (size_t row = 0; row < next_.size(); ++row) {
    scores.push_back(
        CompareRow(row, logits.subspan(row * vocabulary_, vocabulary_)));
  }
  return scores;
}

TokenScore ScoreReference::CompareRow(size_t row,
                                      std::span<const float> changed) const {
  const float* const exact = logits_.data() + row * vocabulary_;
  const double exact_sum = log_sum_[row];
  const double changed_sum = LogSumExp(changed);
  TokenScore score;
  for (size_t i = 0; i < vocabulary_; ++i) {
    const double log_p = exact[i] - exact_sum;
    score.kl += std::exp(log_p) * (log_p - (changed[i] - changed_sum));
  }
  const auto next = static_cast<size_t>(next_[row]);
  score.nll_exact = exact_sum - exact[next];
  score.right_exact = top_[row] == next;
  if (std::isnan(score.kl)) return BrokenScore(score);
  score.nll = changed_sum - changed[next];
  const size_t top = TopOf(changed);
  score.same_top1 = top == top_[row];
  score.right = top == next;
  return score;
}

MeanWithError MeanOverWindows(std::span<const double> values) {
  const auto count = static_cast<double>(values.size());
  MeanWithError out;
  for (const double value : values) out.mean += value / count;
  double squares = 0;
  for (const double value : values) {
    squares += (value - out.mean) * (value - out.mean);
  }
  out.error = values.size() > 1 ? std::sqrt(squares / (count - 1) / count)
                                : std::numeric_limits<double>::quiet_NaN();
  return out;
}

QualityFigures Summarise(std::span<const std::vector<TokenScore>> windows) {
  QualityFigures out;
  std::vector<double> all, kl, top1, ppl_delta;
  double nll_exact = 0;
  double nll = 0;
  for (const auto& window : windows) {
    double window_kl = 0, window_top1 = 0, window_exact = 0, window_nll = 0;
    for (const TokenScore& token : window) {
      all.push_back(token.kl);
      window_kl += token.kl;
      window_top1 += token.same_top1 ? 1 : 0;
      window_exact += token.nll_exact;
      window_nll += token.nll;
    }
    const auto count = static_cast<double>(window.size());
    kl.push_back(window_kl / count);
    top1.push_back(window_top1 / count);
    ppl_delta.push_back(std::exp(window_nll / count) -
                        std::exp(window_exact / count));
    nll_exact += window_exact;
    nll += window_nll;
  }
  std::sort(all.begin(), all.end());
  out.windows = windows.size();
  out.tokens = all.size();
  const auto count = static_cast<double>(all.size());
  out.kl = MeanOverWindows(kl);
  out.kl_p99 = all[static_cast<size_t>(std::ceil(0.99 * count)) - 1];
  out.kl_max = all.back();
  out.top1 = MeanOverWindows(top1);
  out.ppl_exact = std::exp(nll_exact / count);
  out.ppl = std::exp(nll / count);
  out.ppl_delta = MeanOverWindows(ppl_delta);
  out.ppl_delta.mean = out.ppl - out.ppl_exact;
  return out;
}

}  // namespace reprise
