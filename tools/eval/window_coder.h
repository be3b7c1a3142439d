// The state of one window of text, changed in each way that is judged: coded
// and decoded, rounded as llama.cpp does, without the tokens that an evicting
// cache drops.
#ifndef REPRISE_TOOLS_EVAL_WINDOW_CODER_H_
#define REPRISE_TOOLS_EVAL_WINDOW_CODER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "tools/eval/attention_mass.h"
#include "tools/eval/eval_variant.h"
#include "tools/eval/judged_model.h"
#include "tools/eval/state_coder.h"

namespace reprise {

struct ChangedState {
  SequenceState state;
  std::vector<uint8_t> keep;  // one flag a token; empty: all are there
  CodedState coded;
};

// Not thread-safe. Variants of one encoding that follow one another, such as
// the tiers of a staged codec, share it.
class WindowCoder {
 public:
  // Neither `judged` nor `coder` is owned. `on_tokens` is told how many tokens
  // were decoded since it was last called.
  WindowCoder(LlamaModelPtr model, JudgedModel* judged, StateCoder* coder,
              std::function<void(uint64_t)> on_tokens);

  // Prefills a window, whose tokens must live until the next one. The seed is
  // that of all that is random about it.
  Status Begin(std::span<const TokenId> tokens, uint64_t seed);

  // Of the window, untouched.
  const SequenceState& state() const { return *state_; }

  // REQUIRES: Begin was called. `profile` is null for none.
  Result<ChangedState> Change(const EvalVariant& variant,
                              const EvalProfile* profile);

 private:
  Result<std::vector<uint8_t>> Kept(const EvalVariant& variant);
  Result<std::vector<double>> Scores(Importance by);
  Status MeasureAttention();
  Status Code(const EvalVariant& variant, const EvalProfile* profile,
              const KvSink& sink, ChangedState* out);

  const LlamaModelPtr model_;
  JudgedModel* const judged_;
  StateCoder* const coder_;
  const std::function<void(uint64_t)> on_tokens_;

  std::span<const TokenId> tokens_;
  uint64_t seed_ = 0;
  std::optional<SequenceState> state_;
  KvView view_;
  AttentionMass attention_;  // measured when first asked for
  std::string encoded_as_;   // what names the encoding; empty: there is none
  EncodedState encoded_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_WINDOW_CODER_H_
