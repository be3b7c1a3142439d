#include "tools/eval/judged_windows.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/limits.h"
#include "tools/eval/planted_facts.h"
#include "tools/eval/text_windows.h"

namespace reprise {
namespace {

uint64_t SeedOf(const EvalOptions& options, size_t window) {
  return options.seed * 1'000'003 + window;
}

Result<FactTokens> TokensOfFact(const LlamaRunner& runner, const Fact& fact) {
  FactTokens out;
  REPRISE_ASSIGN_OR_RETURN(out.question, runner.Tokenize(fact.question, false));
  REPRISE_ASSIGN_OR_RETURN(out.answer, runner.Tokenize(fact.answer, false));
  REPRISE_ASSIGN_OR_RETURN(out.end, runner.Tokenize(fact.end, false));
  if (!out.question.empty() && !out.answer.empty() &&
      out.size() <= kFactTokens) {
    return out;
  }
  return FailedPreconditionError("eval: the line of a planted fact is " +
                                 std::to_string(out.size()) +
                                 " tokens of this model, at most " +
                                 std::to_string(kFactTokens) + " are read");
}

void Append(const std::vector<TokenId>& tokens, std::vector<TokenId>* out) {
  out->insert(out->end(), tokens.begin(), tokens.end());
}

// Reads the examples and asks for all others, each after those before it.
void AskForFacts(const PlantedWindow& planted, JudgedWindow* window) {
  // Facts are in the order of their places: examples are to be anywhere.
  const auto order =
      ShuffledOrder(static_cast<uint32_t>(planted.facts.size()), window->seed);
  for (size_t i = 0; i < order.size(); ++i) {
    const FactTokens& fact = planted.facts[order[i]];
    Append(fact.question, &window->continuation);
    if (i >= kExampleFacts) {
      window->scored.push_back(
          {.first = window->continuation.size() - 1, .next = fact.answer});
    }
    Append(fact.answer, &window->continuation);
    Append(fact.end, &window->continuation);
  }
}

Result<PlantedWindow> Plant(const LlamaRunner& runner,
                            std::span<const TokenId> text, uint32_t facts,
                            uint64_t seed) {
  PlantRequest request;
  for (const Fact& fact : MakeFacts(facts + kExampleFacts, seed)) {
    REPRISE_ASSIGN_OR_RETURN(FactTokens tokens, TokensOfFact(runner, fact));
    request.facts.push_back(std::move(tokens));
  }
  std::vector<size_t> borders;
  std::string last = runner.TextOf(text.first(1));
  for (size_t i = 1; i < text.size(); ++i) {
    std::string next = runner.TextOf(text.subspan(i, 1));
    if (IsBorder(last, next)) borders.push_back(i);
    last = std::move(next);
  }
  request.text = text;
  request.borders = borders;
  request.window_tokens = text.size();
  // The tail is not coded.
  request.coded_tokens = text.size() / kSegmentTokens * kSegmentTokens;
  request.seed = seed;
  return PlantFacts(std::move(request));
}

}  // namespace

uint32_t LongestContinuation(const EvalOptions& options) {
  if (options.retrieval == 0) return options.score;
  return std::max(options.score, (options.facts + kExampleFacts) * kFactTokens);
}

Result<std::vector<JudgedWindow>> TextWindows(std::span<const TokenId> text,
                                              uint32_t prefix,
                                              const EvalOptions& options) {
  const uint64_t length = uint64_t{prefix} + options.score + 1;
  REPRISE_ASSIGN_OR_RETURN(
      const std::vector<uint64_t> starts,
      ChooseWindows(text.size(), length, options.windows, options.seed));
  std::vector<JudgedWindow> windows;
  for (const uint64_t start : starts) {
    const auto at = text.begin() + static_cast<ptrdiff_t>(start);
    const auto end = at + prefix;
    JudgedWindow window;
    window.prefix.assign(at, end);
    window.continuation.assign(end, end + options.score);
    // The tokens that do follow: those read, but the first, and one more.
    window.scored.push_back({.next = {end + 1, end + 1 + options.score}});
    window.seed = SeedOf(options, windows.size());
    windows.push_back(std::move(window));
  }
  return windows;
}

Result<std::vector<JudgedWindow>> FactWindows(const LlamaRunner& runner,
                                              std::span<const TokenId> text,
                                              uint32_t prefix,
                                              const EvalOptions& options) {
  std::vector<JudgedWindow> windows;
  if (options.retrieval == 0) return windows;
  REPRISE_ASSIGN_OR_RETURN(
      const std::vector<uint64_t> starts,
      ChooseWindows(text.size(), prefix, options.retrieval, options.seed));
  for (const uint64_t start : starts) {
    JudgedWindow window;
    window.seed = SeedOf(options, windows.size());
    REPRISE_ASSIGN_OR_RETURN(
        const PlantedWindow planted,
        Plant(runner, text.subspan(start, prefix), options.facts, window.seed));
    window.prefix = planted.tokens;
    AskForFacts(planted, &window);
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace reprise
