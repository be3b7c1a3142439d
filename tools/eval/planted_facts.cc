#include "tools/eval/planted_facts.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "tools/eval/text_windows.h"

namespace reprise {
namespace {

// The name stands right before the digits, and has two words. What SmolLM2-135M
// answers in 1,024 tokens of text with the exact cache, and the probability of
// the least likely digit at the 5th percentile of the facts (2026-11, six
// windows of eight, asked in one chain): of "<name>-" 47 of 48, .62; of
// "<name> <surname>-" 48 of 48, .83 (by the judge, twelve a window: 93 of 96);
// of "<name>'s access code is <name>-" 48 of 48, .48. The larger that margin,
// the less is lost to chance.
std::string Question(std::string_view name) {
  return "\nThe access code is " + std::string(name) + "-";
}

// Of different letters: names that begin alike are harder to tell apart.
constexpr const char* kNames[] = {
    "Amelia",  "Boris", "Carla", "Dennis", "Elena",  "Felix",  "Greta", "Hugo",
    "Irene",   "Jonas", "Karen", "Leo",    "Maria",  "Nadia",  "Oscar", "Paula",
    "Quentin", "Rosa",  "Simon", "Teresa", "Ursula", "Victor", "Wanda", "Zoe"};
constexpr const char* kSurnames[] = {
    "Keller", "Lopez", "Novak",   "Stein",  "Moreau", "Tanaka",
    "Brandt", "Walsh", "Ferrari", "Okafor", "Jansen", "Petrov",
    "Quinn",  "Rossi", "Dubois",  "Evans",  "Ganz",   "Hansen",
    "Ibarra", "Unger", "Vidal",   "Young",  "Zeller", "Craig"};
static_assert(std::size(kSurnames) == kMaxFacts);
static_assert(std::size(kNames) == kMaxFacts);

Status TooShort(const char* what, size_t has, size_t wanted) {
  return InvalidArgumentError("eval: a window with planted facts has " +
                              std::to_string(has) + " " + what + ", " +
                              std::to_string(wanted) + " are wanted");
}

}  // namespace

std::vector<Fact> MakeFacts(uint32_t count, uint64_t seed) {
  SplitMix random(seed);
  const auto names = ShuffledOrder(kMaxFacts, random.Next());
  const auto surnames = ShuffledOrder(kMaxFacts, random.Next());
  std::vector<Fact> facts;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t code = 10'000 + random.Below(90'000);
    const std::string name =
        std::string(kNames[names[i]]) + " " + kSurnames[surnames[i]];
    facts.push_back({Question(name), std::to_string(code), ".\n"});
  }
  return facts;
}

bool IsBorder(std::string_view text, std::string_view next) {
  if (text.ends_with('\n')) return true;
  if (text.empty() || std::string_view(".!?").find(text.back()) == text.npos) {
    return false;
  }
  // Not within "U.S.A", "3.14" or "...".
  return next.empty() || std::isspace(static_cast<unsigned char>(next[0]));
}

Result<PlantedWindow> PlantFacts(PlantRequest request) {
  size_t fact_tokens = 0;
  for (const FactTokens& fact : request.facts) fact_tokens += fact.size();
  if (request.coded_tokens <= fact_tokens) {
    return TooShort("coded tokens", request.coded_tokens, fact_tokens + 1);
  }
  const size_t text_tokens = request.window_tokens - fact_tokens;
  if (request.text.size() < text_tokens) {
    return TooShort("tokens of text", request.text.size(), text_tokens);
  }
  // Wherever the others are, a fact at one of these ends early enough.
  const auto early =
      std::upper_bound(request.borders.begin(), request.borders.end(),
                       request.coded_tokens - fact_tokens);
  const auto borders = request.borders.first(
      static_cast<size_t>(early - request.borders.begin()));
  if (borders.empty()) return TooShort("ends of sentences", 0, 1);
  const auto order =
      ShuffledOrder(static_cast<uint32_t>(borders.size()), request.seed);
  std::vector<size_t> places;
  for (size_t i = 0; i < request.facts.size(); ++i) {
    places.push_back(borders[order[i % order.size()]]);
  }
  std::sort(places.begin(), places.end());

  PlantedWindow out;
  size_t at = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    const auto before = request.text.subspan(at, places[i] - at);
    out.tokens.insert(out.tokens.end(), before.begin(), before.end());
    out.places.push_back(out.tokens.size());
    const FactTokens& fact = request.facts[i];
    for (const auto* part : {&fact.question, &fact.answer, &fact.end}) {
      out.tokens.insert(out.tokens.end(), part->begin(), part->end());
    }
    at = places[i];
  }
  const auto rest = request.text.subspan(at, text_tokens - at);
  out.tokens.insert(out.tokens.end(), rest.begin(), rest.end());
  out.facts = std::move(request.facts);
  return out;
}

}  // namespace reprise
