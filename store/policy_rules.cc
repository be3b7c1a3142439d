#include "store/policy_rules.h"

#include <algorithm>
#include <string>

namespace reprise {

Status CheckPolicy(const PolicyRules& rules, const Policy& policy) {
  const Ladder* const ladder = FindLadder(rules.ladders, policy.ladder);
  if (ladder == nullptr) {
    std::string names;
    for (const Ladder& each : rules.ladders) {
      names += (names.empty() ? "" : ", ") + each.name;
    }
    return InvalidArgumentError("policy: there is no ladder \"" +
                                policy.ladder + "\", there are " + names);
  }
  for (const PolicyRung& rung : policy.rungs) {
    if (rung.tier == Tier::kTokens || ladder->Find(rung.tier) != nullptr) {
      continue;
    }
    std::string names;
    for (const LadderTier& each : ladder->tiers) {
      names += std::string(TierName(each.tier)) + ", ";
    }
    return InvalidArgumentError(
        "policy: ladder \"" + policy.ladder + "\" has no tier " +
        std::string(TierName(rung.tier)) + ", it has " + names + "tokens");
  }
  return Status();
}

Result<Policy> PolicyOf(const PolicyRules& rules,
                        const SessionRecord& session) {
  if (session.policy.empty()) return rules.policy;
  Result<Policy> policy = ParsePolicy(session.policy);
  Status status = policy.status();
  if (policy.ok()) status = CheckPolicy(rules, *policy);
  if (status.ok()) return policy;
  return FailedPreconditionError("the session's " +
                                 std::string(status.message()));
}

int64_t TtlOf(const PolicyRules& rules, const SessionRecord& session) {
  return session.ttl_ms == 0 ? rules.ttl_ms : session.ttl_ms;
}

bool IsPinned(const SessionRecord& session, int64_t now_ms) {
  return session.pinned_until_ms == kForeverMs ||
         now_ms < session.pinned_until_ms;
}

bool IsExpired(const PolicyRules& rules, const SessionInfo& session,
               int64_t now_ms) {
  const int64_t ttl_ms = TtlOf(rules, session.record);
  return ttl_ms != kForeverMs && !IsPinned(session.record, now_ms) &&
         IdleMs(session, now_ms) >= ttl_ms;
}

int64_t IdleMs(const SessionInfo& session, int64_t now_ms) {
  const int64_t since_ms =
      std::max({session.last_use_ms, session.record.changed_ms,
                session.record.created_ms});
  return std::max<int64_t>(0, now_ms - since_ms);
}

}  // namespace reprise
