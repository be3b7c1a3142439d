// A session's settings: its policy, its TTL, its pin. They lie in the record
// that a save swings, so both sides go on from what the other wrote: here by
// trying again, in Swing by keeping settings that were changed meanwhile.
#include <string>
#include <utility>

#include "base/duration.h"
#include "store/catalogue_impl.h"
#include "store/policy.h"

namespace reprise {
namespace {

Status CheckTtl(int64_t ttl_ms) {
  const bool is_time = ttl_ms >= kSecondMs && ttl_ms <= kMaxDurationMs;
  if (is_time || ttl_ms == 0 || ttl_ms == kForeverMs) return Status();
  return InvalidArgumentError("policy: ttl is " + std::to_string(ttl_ms) +
                              " ms, " + std::to_string(kSecondMs) + " to " +
                              std::to_string(kMaxDurationMs) +
                              " are allowed, 0 for the default and " +
                              std::to_string(kForeverMs) + " for never");
}

}  // namespace

Result<SessionRecord> CatalogueImpl::ChangeSettings(
    const DomainId& tenant, std::string_view name,
    const std::function<void(SessionRecord*)>& change) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(name));
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  const std::string key = DomainKey(tenant, AsBytes(name));
  while (true) {
    REPRISE_ASSIGN_OR_RETURN(const VersionedSession now,
                             LoadSession(tenant, name));
    SessionRecord next = now.record;
    change(&next);
    if (next == now.record) return next;
    REPRISE_RETURN_IF_ERROR(CheckDeadline(begun));
    const Status swapped =
        engine_
            ->CompareAndSwap(HeadSpace::kSession, key, now.version,
                             EncodeSession(next), options_.durability)
            .status();
    if (swapped.ok()) return next;
    if (!swapped.Is(StatusCode::kFailedPrecondition)) {
      return swapped.WithContext("change settings");
    }
  }
}

Result<SessionRecord> CatalogueImpl::SetPolicy(const DomainId& tenant,
                                               std::string_view name,
                                               const PolicyChange& change) {
  std::string text;
  if (change.policy && !change.policy->empty()) {
    REPRISE_ASSIGN_OR_RETURN(const Policy policy, ParsePolicy(*change.policy));
    text = FormatPolicy(policy);
  }
  if (change.ttl_ms) REPRISE_RETURN_IF_ERROR(CheckTtl(*change.ttl_ms));
  return ChangeSettings(tenant, name, [&](SessionRecord* record) {
    if (change.policy) record->policy = text;
    if (change.ttl_ms) record->ttl_ms = *change.ttl_ms;
  });
}

Result<SessionRecord> CatalogueImpl::Pin(const DomainId& tenant,
                                         std::string_view name,
                                         int64_t until_ms) {
  const int64_t now_ms = clock_->WallMs();
  if (until_ms != 0 && until_ms <= now_ms) {
    return InvalidArgumentError("pin: until " + std::to_string(until_ms) +
                                ", it is " + std::to_string(now_ms) +
                                " already (ms since 1970; 0 takes a pin off)");
  }
  return ChangeSettings(tenant, name, [&](SessionRecord* record) {
    record->pinned_until_ms = until_ms;
  });
}

Result<bool> CatalogueImpl::RemoveSessionIf(
    const DomainId& tenant, std::string_view name,
    const std::function<bool(const SessionInfo&)>& is_due) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(name));
  const std::string key = DomainKey(tenant, AsBytes(name));
  while (true) {
    REPRISE_ASSIGN_OR_RETURN(VersionedSession session,
                             LoadSession(tenant, name));
    SessionInfo info;
    info.name = name;
    info.record = std::move(session.record);
    REPRISE_ASSIGN_OR_RETURN(info.last_use_ms, LastUse(key));
    if (!is_due(info)) return false;
    const Status removed = engine_->RemoveHead(
        HeadSpace::kSession, key, session.version, options_.durability);
    if (removed.ok()) break;
    if (!removed.Is(StatusCode::kFailedPrecondition)) return removed;
  }
  REPRISE_RETURN_IF_ERROR(ForgetLastUse(key));
  return true;
}

}  // namespace reprise
