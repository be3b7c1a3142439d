// Facts planted in real text: does a coded cache still find what was said
// once? Each is a line "The access code is <name>-<five digits>." of its own,
// put where a sentence or a line of the text ends; the question is the line's
// beginning, once more, after the lines of other facts.
//
// Names, digits and places are seeded and the same on every machine.
#ifndef REPRISE_TOOLS_EVAL_PLANTED_FACTS_H_
#define REPRISE_TOOLS_EVAL_PLANTED_FACTS_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codec/segment.h"

namespace reprise {

inline constexpr uint32_t kMaxFacts = 24;  // a window
// Of these, so many are not asked for: before the questions their lines are
// read once more, so that a model sees what it is about.
inline constexpr uint32_t kExampleFacts = 2;

struct Fact {
  std::string question;  // all of the line before the digits
  std::string answer;    // "48213"
  std::string end;       // of the line
};

// `count` facts on different names and surnames. REQUIRES: count <= kMaxFacts.
std::vector<Fact> MakeFacts(uint32_t count, uint64_t seed);

// A fact as a model reads it.
struct FactTokens {
  std::vector<TokenId> question;
  std::vector<TokenId> answer;
  std::vector<TokenId> end;

  size_t size() const { return question.size() + answer.size() + end.size(); }
};

struct PlantedWindow {
  std::vector<TokenId> tokens;
  std::vector<FactTokens> facts;
  std::vector<size_t> places;  // where each fact starts in tokens
};

// Whether a sentence or a line ends with a token of this text, when the next
// token has that one.
bool IsBorder(std::string_view text, std::string_view next);

struct PlantRequest {
  std::span<const TokenId> text;
  // Ascending: so many tokens of the text before each place that will do.
  std::span<const size_t> borders;
  std::vector<FactTokens> facts;
  size_t window_tokens = 0;
  // Facts end before this token: what comes after it is not coded.
  size_t coded_tokens = 0;
  uint64_t seed = 0;
};

// A window of text and facts. Borders are chosen at random, each once while
// there are enough of them. kInvalidArgument with the numbers when text or
// window are too short, or no border is early enough.
Result<PlantedWindow> PlantFacts(PlantRequest request);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_PLANTED_FACTS_H_
