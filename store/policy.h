// A session's policy: to which tier it may sink, by the time that nobody used
// it. The text is the format, docs/format/policy.md:
//
//   exact 1h, near 1d, coarse 30d, archive 1y, tokens
//
// Plain values and pure functions; all thread-safe.
#ifndef REPRISE_STORE_POLICY_H_
#define REPRISE_STORE_POLICY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/status.h"
#include "codec/tier.h"
#include "store/ladder.h"

namespace reprise {

struct PolicyRung {
  Tier tier = Tier::kExact;
  // Idle time from which on the next rung is wanted; kForeverMs in the last.
  int64_t until_idle_ms = kForeverMs;

  bool operator==(const PolicyRung&) const = default;
};

struct Policy {
  // Says which codec makes each tier, store/ladder.h: configuration.
  std::string ladder{kDefaultLadder};
  // At least one. Tiers fall and times rise, both strictly.
  std::vector<PolicyRung> rungs;

  bool operator==(const Policy&) const = default;
};

// kInvalidArgument, with the column (from 1 on, in bytes) and what is expected
// there: "policy: column 8: a unit is expected: ...".
Result<Policy> ParsePolicy(std::string_view text);

// The canonical text: ParsePolicy(FormatPolicy(p)) is p, and two texts of one
// policy become the same. REQUIRES: `policy` is what ParsePolicy can return.
std::string FormatPolicy(const Policy& policy);

// 1 to kMaxLadderNameBytes of a-z, 0-9 and "-", a letter first.
bool IsLadderName(std::string_view name);

// The lowest tier that a session may be in after this idle time.
// REQUIRES: policy.rungs is not empty; idle_ms >= 0.
Tier WantedTier(const Policy& policy, int64_t idle_ms);

// Where it may sink when it may be as low as `lowest`: that tier and the better
// ones of its rungs, the lowest first; without exact, which nothing sinks to.
std::vector<Tier> TiersDownTo(const Policy& policy, Tier lowest);

// The next change of WantedTier after `idle_ms`.
struct PolicyStep {
  int64_t idle_ms = 0;  // from this idle time on, more than what was asked
  Tier tier = Tier::kTokens;

  bool operator==(const PolicyStep&) const = default;
};
// Nothing when the session is on the last rung. REQUIRES: as WantedTier.
std::optional<PolicyStep> NextStep(const Policy& policy, int64_t idle_ms);

}  // namespace reprise

#endif  // REPRISE_STORE_POLICY_H_
