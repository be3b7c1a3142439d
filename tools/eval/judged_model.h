// A model that is asked to go on from a state: prefill, take the state, put a
// changed one back, score the tokens that follow.
#ifndef REPRISE_TOOLS_EVAL_JUDGED_MODEL_H_
#define REPRISE_TOOLS_EVAL_JUDGED_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/llama/llama_spec.h"
#include "client/llama/llama_state.h"
#include "codec/segment.h"
#include "llama.h"
#include "tools/llama_runner.h"

namespace reprise {

struct JudgedModelOptions {
  std::string path;  // of the GGUF file that was loaded
  std::string cache_type = "f16";
  uint32_t context_tokens = 0;  // of a prefix and what is scored after it
  uint32_t scored_tokens = 256;
  int32_t threads = 1;
};

// One context, used again for every state: prefill and scoring see the same
// parameters, and every score the same shape of batch. Not thread-safe.
class JudgedModel {
 public:
  static Result<std::unique_ptr<JudgedModel>> Make(
      LlamaModelPtr model, const JudgedModelOptions& options);

  const LlamaCache& cache() const { return cache_; }
  const LlamaRunner& runner() const { return *runner_; }
  const LlamaRunnerOptions& runner_options() const { return runner_options_; }
  size_t vocabulary() const;

  // The state after `tokens`, computed from nothing. `on_tokens`, which may be
  // null, is told how many were decoded since it was last called.
  Result<SequenceState> Prefill(std::span<const TokenId> tokens,
                                const std::function<void(uint64_t)>& on_tokens);

  // Puts a state back without the tokens whose flag is 0 (all where `keep` is
  // empty).
  Status Put(const SequenceState& state, std::span<const uint8_t> keep);

  // Computes `tokens` after the first `position` tokens of the state that was
  // put, in the place of what else it had. For what was lost at its end.
  // REQUIRES: a state was put; position is at most its tokens.
  Status Recompute(uint64_t position, std::span<const TokenId> tokens);

  // Decodes `tokens` in one batch after the state that was put, in the place
  // of those of the last call. The logits, [tokens, vocabulary], are valid
  // until the next call.
  // REQUIRES: a state was put; as many tokens as options.scored_tokens at most.
  Result<std::span<const float>> Continue(std::span<const TokenId> tokens);

  // Put, then Continue.
  Result<std::span<const float>> Score(const SequenceState& state,
                                       std::span<const uint8_t> keep,
                                       std::span<const TokenId> tokens);

 private:
  struct FreeBatch {
    void operator()(llama_batch* batch) const;
  };

  LlamaRunnerOptions runner_options_;
  std::unique_ptr<LlamaRunner> runner_;
  LlamaCache cache_;
  std::unique_ptr<llama_batch, FreeBatch> batch_;
  llama_pos end_ = 0;  // of the state that was put, and what was recomputed
};

// The same state with its cells in another order: nothing is lost, only sums
// are made differently. What that costs is the noise floor.
// kFailedPrecondition for states of several streams or with transposed V.
Result<SequenceState> ShuffleCells(const SequenceState& state, uint64_t seed);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_JUDGED_MODEL_H_
