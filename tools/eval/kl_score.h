// What a changed cache costs, from the logits: Kullback-Leibler divergence,
// same-top-1 and perplexity, token by token, against the untouched cache.
//
// All sums are in f64 over the whole vocabulary. Equal logits give a
// divergence of exactly 0, whatever they are: both sides go through the very
// same operations.
#ifndef REPRISE_TOOLS_EVAL_KL_SCORE_H_
#define REPRISE_TOOLS_EVAL_KL_SCORE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/segment.h"

namespace reprise {

// log(sum(exp(logits))), by way of the largest one. REQUIRES: not empty.
double LogSumExp(std::span<const float> logits);

// One scored token: how the next one was predicted. Where the changed cache
// makes logits that are no numbers, the divergence is infinite.
struct TokenScore {
  double kl = 0;         // nats, exact || changed
  double nll_exact = 0;  // of the token that does follow, nats
  double nll = 0;
  bool same_top1 = false;
  bool right_exact = false;  // the likeliest token is the one that follows
  bool right = false;
};

// The logits of the untouched cache for the scored tokens of one window, kept
// as the model gave them (f32) with their sums in f64.
class ScoreReference {
 public:
  // `logits` has next.size() rows of `vocabulary`; next[i] is the token that
  // follows in the text. Copies both. REQUIRES: next[i] < vocabulary.
  ScoreReference(std::span<const float> logits, size_t vocabulary,
                 std::span<const TokenId> next);

  // Against logits of the same shape.
  std::vector<TokenScore> Compare(std::span<const float> logits) const;

 private:
  TokenScore CompareRow(size_t row, std::span<const float> changed) const;

  size_t vocabulary_;
  std::vector<float> logits_;
  std::vector<TokenId> next_;
  std::vector<double> log_sum_;
  std::vector<size_t> top_;
};

// A mean over windows and its standard error: the deviation of the windows'
// means over the root of their number. NaN for a single window, and where a
// mean is infinite.
struct MeanWithError {
  double mean = 0;
  double error = 0;
};
MeanWithError MeanOverWindows(std::span<const double> values);

struct QualityFigures {
  MeanWithError kl;
  double kl_p99 = 0;  // over all tokens of all windows, nearest rank
  double kl_max = 0;
  MeanWithError top1;    // share, 0 to 1
  double ppl_exact = 0;  // over all tokens
  double ppl = 0;
  MeanWithError ppl_delta;  // mean is ppl - ppl_exact; error over windows
  size_t windows = 0;
  size_t tokens = 0;
};

// Every window has the same number of tokens. REQUIRES: at least one token.
QualityFigures Summarise(std::span<const std::vector<TokenScore>> windows);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_KL_SCORE_H_
