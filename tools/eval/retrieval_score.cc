#include "tools/eval/retrieval_score.h"

#include <algorithm>
#include <cmath>

namespace reprise {
namespace {

struct WindowCount {
  double count = 0;
  double of = 0;
};

// Adds the windows up.
CountedShare ShareOf(std::span<const WindowCount> windows) {
  WindowCount all;
  for (const WindowCount& window : windows) {
    all.count += window.count;
    all.of += window.of;
  }
  CountedShare out = {.count = static_cast<size_t>(all.count),
                      .of = static_cast<size_t>(all.of)};
  const auto n = static_cast<double>(windows.size());
  if (n < 2 || all.of == 0) return out;
  double squares = 0;
  for (const WindowCount& window : windows) {
    const double more = window.count - out.share() * window.of;
    squares += more * more;
  }
  out.over_windows = std::sqrt(n / (n - 1) * squares) / all.of;
  return out;
}

}  // namespace

double CountedShare::share() const {
  return static_cast<double>(count) / static_cast<double>(of);
}

double CountedShare::error() const {
  const auto n = static_cast<double>(of);
  const double p = share();
  const double wilson =
      std::sqrt(p * (1 - p) / n + 1 / (4 * n * n)) / (1 + 1 / n);
  // In this order, so that NaN stays.
  return over_windows > wilson ? over_windows : wilson;
}

RetrievalFigures SummariseFacts(
    std::span<const std::vector<TokenScore>> answers, size_t facts_a_window) {
  RetrievalFigures out;
  std::vector<double> kl;
  std::vector<WindowCount> exact_counts, coded_counts, kept_counts;
  for (size_t first = 0; first < answers.size(); first += facts_a_window) {
    double window_kl = 0;
    size_t tokens = 0;
    WindowCount exact_count, coded_count, kept_count;
    for (const auto& answer : answers.subspan(first, facts_a_window)) {
      const bool exact = std::all_of(
          answer.begin(), answer.end(),
          [](const TokenScore& token) { return token.right_exact; });
      const bool coded =
          std::all_of(answer.begin(), answer.end(),
                      [](const TokenScore& token) { return token.right; });
      exact_count.count += exact ? 1 : 0;
      coded_count.count += coded ? 1 : 0;
      kept_count.count += exact && coded ? 1 : 0;
      for (const TokenScore& token : answer) window_kl += token.kl;
      tokens += answer.size();
    }
    kl.push_back(window_kl / static_cast<double>(tokens));
    exact_count.of = coded_count.of = static_cast<double>(facts_a_window);
    kept_count.of = exact_count.count;
    exact_counts.push_back(exact_count);
    coded_counts.push_back(coded_count);
    kept_counts.push_back(kept_count);
  }
  out.exact = ShareOf(exact_counts);
  out.coded = ShareOf(coded_counts);
  out.kept = ShareOf(kept_counts);
  if (!kl.empty()) out.kl = MeanOverWindows(kl);
  return out;
}

}  // namespace reprise
