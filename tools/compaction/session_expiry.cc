#include "tools/compaction/session_expiry.h"

#include <optional>

#include "store/clock_guard.h"

namespace reprise {
namespace {

constexpr int kStepSessions = 64;

}  // namespace

Status SessionExpiry::Step() {
  if (is_done_) return Status();
  const int64_t now_ms = catalogue_->clock()->WallMs();
  REPRISE_ASSIGN_OR_RETURN(const ClockReading clock,
                           KeepClock(catalogue_->engine(), now_ms));
  REPRISE_RETURN_IF_ERROR(CheckClock(clock));
  for (int i = 0; i < kStepSessions; ++i) {
    REPRISE_ASSIGN_OR_RETURN(const std::optional<WalkedSession> session,
                             walk_.Next());
    if (!session) {
      is_done_ = true;
      return Status();
    }
    REPRISE_RETURN_IF_ERROR(Remove(*session, now_ms + idle_plus_ms_));
  }
  return Status();
}

Status SessionExpiry::Remove(const WalkedSession& session, int64_t now_ms) {
  // Of what can't be read nobody knows how long it is idle.
  if (!session.record_status.ok() || !session.last_use_status.ok() ||
      !IsExpired(*rules_, session.info, now_ms)) {
    return Status();
  }
  const Result<bool> removed = catalogue_->RemoveSessionIf(
      session.tenant, session.info.name, [&](const SessionInfo& info) {
        return IsExpired(*rules_, info, now_ms);
      });
  if (removed.status().Is(StatusCode::kNotFound) ||
      removed.status().Is(StatusCode::kDataLoss)) {
    return Status();
  }
  REPRISE_RETURN_IF_ERROR(removed.status());
  if (*removed) ++removed_;
  return Status();
}

}  // namespace reprise
