#include "tools/eval/retrieval_score.h"

#include <algorithm>
#include <cmath>

namespace reprise {

double CountedShare::share() const {
  return static_cast<double>(count) / static_cast<double>(of);
}

double CountedShare::error() const {
  const auto n = static_cast<double>(of);
  const double p = share();
  return std::sqrt(p * (1 - p) / n + 1 / (4 * n * n)) / (1 + 1 / n);
}

RetrievalFigures SummariseFacts(
    std::span<const std::vector<TokenScore>> answers, size_t facts_a_window) {
  RetrievalFigures out;
  std::vector<double> kl;
  for (size_t first = 0; first < answers.size(); first += facts_a_window) {
    double window_kl = 0;
    size_t tokens = 0;
    for (const auto& answer : answers.subspan(first, facts_a_window)) {
      const bool exact = std::all_of(
          answer.begin(), answer.end(),
          [](const TokenScore& token) { return token.right_exact; });
      const bool coded =
          std::all_of(answer.begin(), answer.end(),
                      [](const TokenScore& token) { return token.right; });
      out.exact.count += exact ? 1 : 0;
      out.coded.count += coded ? 1 : 0;
      out.kept.count += exact && coded ? 1 : 0;
      for (const TokenScore& token : answer) window_kl += token.kl;
      tokens += answer.size();
    }
    kl.push_back(window_kl / static_cast<double>(tokens));
  }
  out.exact.of = out.coded.of = answers.size();
  out.kept.of = out.exact.count;
  if (!kl.empty()) out.kl = MeanOverWindows(kl);
  return out;
}

}  // namespace reprise
