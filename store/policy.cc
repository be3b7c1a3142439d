#include "store/policy.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"
#include "base/limits.h"

namespace reprise {
namespace {

constexpr char kTiers[] = "exact, near, coarse, archive or tokens";

bool IsBlank(char c) { return c == ' ' || c == '\t'; }
bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }
bool IsNameByte(char c) {
  return IsLetter(c) || (c >= '0' && c <= '9') || c == '-';
}

// Recursive descent over the text, one method a rule of the grammar.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  Result<Policy> Run() {
    if (text_.size() > kMaxPolicyBytes) {
      return Wrong(kMaxPolicyBytes,
                   "the end is expected: the text has " +
                       std::to_string(text_.size()) + " bytes, at most " +
                       std::to_string(kMaxPolicyBytes) + " are allowed");
    }
    REPRISE_RETURN_IF_ERROR(TakeLadder());
    do {
      REPRISE_RETURN_IF_ERROR(TakeRung());
    } while (TakeIf(','));
    return std::move(policy_);
  }

 private:
  size_t at() const { return text_.size() - rest_.size(); }

  static Status Wrong(size_t at, const std::string& what) {
    return InvalidArgumentError("policy: column " + std::to_string(at + 1) +
                                ": " + what);
  }

  void SkipBlanks() {
    rest_.remove_prefix(static_cast<size_t>(
        std::ranges::find_if_not(rest_, IsBlank) - rest_.begin()));
  }

  bool TakeIf(char c) {
    SkipBlanks();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::string_view TakeWord() {
    SkipBlanks();
    const auto size = static_cast<size_t>(
        std::ranges::find_if_not(rest_, IsNameByte) - rest_.begin());
    const std::string_view word = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return word;
  }

  // A name before a colon, or nothing.
  Status TakeLadder() {
    SkipBlanks();
    const std::string_view start = rest_;
    const size_t first = at();
    const std::string_view name = TakeWord();
    if (TakeIf(':')) {
      if (!IsLadderName(name)) {
        return Wrong(first,
                     "a ladder's name is expected before the colon, a "
                     "letter and at most " +
                         std::to_string(kMaxLadderNameBytes - 1) +
                         " letters, digits and \"-\"");
      }
      policy_.ladder = name;
      return Status();
    }
    rest_ = start;
    if (TierFromName(name).ok()) return Status();
    return Wrong(first, std::string("a tier is expected (") + kTiers +
                            "), or the name of a ladder and a colon");
  }

  Status TakeRung() {
    SkipBlanks();
    const size_t first = at();
    const Result<Tier> tier = TierFromName(TakeWord());
    if (!tier.ok()) {
      return Wrong(first, std::string("a tier is expected: ") + kTiers);
    }
    if (!policy_.rungs.empty() && *tier <= policy_.rungs.back().tier) {
      return Wrong(first, "a tier worse than " +
                              std::string(TierName(policy_.rungs.back().tier)) +
                              " is expected, " + std::string(TierName(*tier)) +
                              " is not");
    }
    policy_.rungs.push_back({*tier, kForeverMs});
    return TakeTime();
  }

  // What follows a rung's tier, up to the comma or the end.
  Status TakeTime() {
    const size_t after_tier = at();
    SkipBlanks();
    if (rest_.empty()) return Status();
    if (rest_.front() == ',') {
      return Wrong(after_tier,
                   "a blank and a duration are expected, such as \" 30d\": "
                   "only the last rung has none");
    }
    const size_t first = at();
    const Result<int64_t> ms = TakeDuration(&rest_);
    if (!ms.ok()) return Wrong(at(), std::string(ms.status().message()));
    SkipBlanks();
    if (rest_.empty()) {
      return Wrong(first,
                   "the end is expected: the last rung has no duration, "
                   "a session stays there");
    }
    if (rest_.front() != ',') return Wrong(at(), "a comma is expected");
    auto& rungs = policy_.rungs;
    const int64_t before_ms =
        rungs.size() < 2 ? 0 : rungs[rungs.size() - 2].until_idle_ms;
    if (*ms <= before_ms) {
      return Wrong(first, "a duration longer than " +
                              FormatDuration(before_ms) + " is expected, " +
                              FormatDuration(*ms) +
                              " is not: all are counted from the last use");
    }
    rungs.back().until_idle_ms = *ms;
    return Status();
  }

  const std::string_view text_;
  std::string_view rest_;  // of text_, not read yet
  Policy policy_;
};

}  // namespace

Result<Policy> ParsePolicy(std::string_view text) { return Parser(text).Run(); }

std::string FormatPolicy(const Policy& policy) {
  std::string text;
  if (policy.ladder != kDefaultLadder) text = policy.ladder + ": ";
  for (const PolicyRung& rung : policy.rungs) {
    if (&rung != &policy.rungs.front()) text += ", ";
    text += TierName(rung.tier);
    if (rung.until_idle_ms != kForeverMs) {
      text += " " + FormatDuration(rung.until_idle_ms);
    }
  }
  return text;
}

bool IsLadderName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxLadderNameBytes &&
         IsLetter(name.front()) && std::ranges::all_of(name, IsNameByte);
}

Tier WantedTier(const Policy& policy, int64_t idle_ms) {
  REPRISE_CHECK(!policy.rungs.empty());
  for (const PolicyRung& rung : policy.rungs) {
    if (idle_ms < rung.until_idle_ms) return rung.tier;
  }
  return policy.rungs.back().tier;
}

std::vector<Tier> TiersDownTo(const Policy& policy, Tier lowest) {
  std::vector<Tier> tiers;
  for (const PolicyRung& rung : policy.rungs) {
    if (rung.tier > Tier::kExact && rung.tier <= lowest) {
      tiers.push_back(rung.tier);
    }
  }
  std::ranges::reverse(tiers);
  return tiers;
}

std::optional<PolicyStep> NextStep(const Policy& policy, int64_t idle_ms) {
  REPRISE_CHECK(!policy.rungs.empty());
  for (size_t i = 0; i + 1 < policy.rungs.size(); ++i) {
    if (idle_ms < policy.rungs[i].until_idle_ms) {
      return PolicyStep{policy.rungs[i].until_idle_ms,
                        policy.rungs[i + 1].tier};
    }
  }
  return std::nullopt;
}

}  // namespace reprise
