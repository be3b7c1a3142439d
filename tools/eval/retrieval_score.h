// How many of the planted facts a model still finds with a coded cache.
#ifndef REPRISE_TOOLS_EVAL_RETRIEVAL_SCORE_H_
#define REPRISE_TOOLS_EVAL_RETRIEVAL_SCORE_H_

#include <cstddef>
#include <span>
#include <vector>

#include "tools/eval/kl_score.h"

namespace reprise {

// A number of successes. The error is half of the 68 % Wilson interval (Wilson
// 1927), which is the usual sqrt(p (1 - p) / n) but for shares near 0 and 1,
// where that would claim certainty; or what the windows differ by, where that
// is more: facts of one window share a state, and may fail together. NaN of
// nothing.
struct CountedShare {
  size_t count = 0;
  size_t of = 0;
  // The share's standard error as a ratio of sums over windows (Cochran 1977,
  // 6.3); 0 for a single one.
  double over_windows = 0;

  double share() const;
  double error() const;
};

struct RetrievalFigures {
  CountedShare exact;  // facts that the untouched cache answers right
  CountedShare coded;  // that the coded one does
  CountedShare kept;   // of what the untouched cache answers right
  MeanWithError kl;    // over all tokens of the answers; error over windows

  size_t facts() const { return exact.of; }
};

// One row of `answers` a fact, a score for each token of its answer; as many
// facts in each window, window by window. A fact is found when every token of
// its answer is the likeliest one after those before it, which is when greedy
// generation would write all of them.
// REQUIRES: facts_a_window divides the rows; no row is empty.
RetrievalFigures SummariseFacts(
    std::span<const std::vector<TokenScore>> answers, size_t facts_a_window);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_RETRIEVAL_SCORE_H_
