// What is asked of a state: pieces of the judged text, each with what a model
// then reads and of which tokens its predictions count.
#ifndef REPRISE_TOOLS_EVAL_JUDGED_WINDOWS_H_
#define REPRISE_TOOLS_EVAL_JUDGED_WINDOWS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "codec/segment.h"
#include "tools/eval/eval_options.h"
#include "tools/llama_runner.h"

namespace reprise {

// What the line of a planted fact may take of a model's tokens.
inline constexpr uint32_t kFactTokens = 32;

// Predictions that count: those after the tokens of a continuation from `first`
// on, one for each of `next`, which are the tokens that do follow.
struct ScoredRun {
  size_t first = 0;
  std::vector<TokenId> next;
};

// A piece of text, and what is read after it, in one batch.
struct JudgedWindow {
  std::vector<TokenId> prefix;
  std::vector<TokenId> continuation;
  std::vector<ScoredRun> scored;
  uint64_t seed = 0;
};

// The most tokens that are read after a prefix.
uint32_t LongestContinuation(const EvalOptions& options);

// options.windows windows of `prefix` tokens, each continued by the
// options.score tokens that follow in the text, all scored. Errors of
// ChooseWindows.
Result<std::vector<JudgedWindow>> TextWindows(std::span<const TokenId> text,
                                              uint32_t prefix,
                                              const EvalOptions& options);

// options.retrieval windows of `prefix` tokens in which options.facts facts are
// planted, and kExampleFacts more. Each is continued by the lines of these
// examples and then, in random order, by those of all facts that are asked for,
// teacher-forced; the tokens of each answer are a scored run. So a question
// comes after the right answers to others, never after its own: that stands in
// the prefix alone. Errors of ChooseWindows and PlantFacts;
// kFailedPrecondition when the model's tokenizer makes a line longer than
// kFactTokens.
Result<std::vector<JudgedWindow>> FactWindows(const LlamaRunner& runner,
                                              std::span<const TokenId> text,
                                              uint32_t prefix,
                                              const EvalOptions& options);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_JUDGED_WINDOWS_H_
