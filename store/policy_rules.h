// What a daemon or a job goes by where a session says nothing of its own: the
// default policy and TTL, and the ladders that policies may name. With it, what
// holds for one session. Plain values and pure functions; all thread-safe.
#ifndef REPRISE_STORE_POLICY_RULES_H_
#define REPRISE_STORE_POLICY_RULES_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/status.h"
#include "store/catalogue.h"
#include "store/ladder.h"
#include "store/policy.h"
#include "store/records.h"

namespace reprise {

inline constexpr std::string_view kDefaultPolicyText =
    "exact 1h, near 1d, coarse 30d, archive 1y, tokens";

struct PolicyRules {
  std::vector<Ladder> ladders = BuiltInLadders();
  // Of sessions without one of their own; CheckPolicy holds for it.
  Policy policy = *ParsePolicy(kDefaultPolicyText);
  // The same; kForeverMs: never removed.
  int64_t ttl_ms = kForeverMs;
};

// kInvalidArgument when there is no ladder of the policy's name, with the names
// that there are, or when it does not make one of the policy's tiers.
Status CheckPolicy(const PolicyRules& rules, const Policy& policy);

// The policy that a session follows, and its ladder. kFailedPrecondition when
// its own is no policy, or is on a ladder that is not configured any more: then
// it is to be left as it is, never moved by another policy.
Result<Policy> PolicyOf(const PolicyRules& rules, const SessionRecord& session);
// kForeverMs: never.
int64_t TtlOf(const PolicyRules& rules, const SessionRecord& session);
bool IsPinned(const SessionRecord& session, int64_t now_ms);

// Not pinned, and idle for as long as its TTL: to be removed. What TTLs go by
// is a clock that may jump: whoever calls this makes sure that it did not.
bool IsExpired(const PolicyRules& rules, const SessionInfo& session,
               int64_t now_ms);

// How long nobody used, changed or made it; not below 0.
int64_t IdleMs(const SessionInfo& session, int64_t now_ms);

}  // namespace reprise

#endif  // REPRISE_STORE_POLICY_RULES_H_
