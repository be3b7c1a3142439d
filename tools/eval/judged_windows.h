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

// Room for the examples, a question about a planted fact, and its answer.
inline constexpr uint32_t kQuestionTokens = 96;

// Read in one batch after the state. What is predicted after the tokens from
// `first_scored` on is compared; `next` are those that do follow.
struct Continuation {
  std::vector<TokenId> tokens;
  size_t first_scored = 0;
  std::vector<TokenId> next;
};

// A piece of text, and what is asked after it.
struct JudgedWindow {
  std::vector<TokenId> prefix;
  std::vector<Continuation> continuations;
  uint64_t seed = 0;
};

// options.windows windows of `prefix` tokens, each with one continuation: the
// options.score tokens that follow in the text. Errors of ChooseWindows.
Result<std::vector<JudgedWindow>> TextWindows(std::span<const TokenId> text,
                                              uint32_t prefix,
                                              const EvalOptions& options);

// options.retrieval windows of `prefix` tokens in which options.facts facts are
// planted, with a continuation for each: the lines of kExampleFacts more, the
// question and, teacher-forced, all of the answer but its last token. Errors
// of ChooseWindows and PlantFacts;
// kFailedPrecondition when the model's tokenizer makes a question longer than
// kQuestionTokens.
Result<std::vector<JudgedWindow>> FactWindows(const LlamaRunner& runner,
                                              std::span<const TokenId> text,
                                              uint32_t prefix,
                                              const EvalOptions& options);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_JUDGED_WINDOWS_H_
