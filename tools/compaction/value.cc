#include "tools/compaction/value.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace reprise {

double SavedMs(uint64_t tokens, uint64_t bytes, const RestoreRates& rates) {
  const double prefill_s =
      static_cast<double>(tokens) / rates.prefill_tokens_per_s;
  const double restore_s =
      static_cast<double>(bytes) / rates.restore_bytes_per_s;
  return std::max(1.0, (prefill_s - restore_s) * 1000);
}

double ValueOf(const SessionFacts& session, const RestoreRates& rates) {
  if (session.own_bytes == 0) return std::numeric_limits<double>::infinity();
  const double idle_ms =
      static_cast<double>(session.idle_ms) + kValueIdleFloorMs;
  return SavedMs(session.tokens, session.bytes, rates) / idle_ms /
         static_cast<double>(session.own_bytes);
}

SpacePlan PlanSpace(uint64_t used_bytes, const Watermarks& marks,
                    const RestoreRates& rates,
                    std::vector<SessionFacts> sessions) {
  SpacePlan plan;
  if (marks.max_bytes == 0 || used_bytes <= marks.high_bytes()) return plan;
  const uint64_t wanted_bytes = used_bytes - marks.low_bytes();
  std::erase_if(sessions, [](const SessionFacts& session) {
    return session.is_left_alone || session.idle_ms < kSparedIdleMs;
  });
  std::ranges::sort(sessions, {}, [&](const SessionFacts& session) {
    return std::tuple(ValueOf(session, rates), session.index);
  });
  // How far down the list the first round came, all of it if need be.
  size_t sunk = 0;
  for (; sunk < sessions.size() && plan.freed_bytes < wanted_bytes; ++sunk) {
    plan.freed_bytes += sessions[sunk].sink_frees_bytes;
  }
  size_t dropped = 0;
  for (; dropped < sessions.size() && plan.freed_bytes < wanted_bytes;
       ++dropped) {
    const SessionFacts& session = sessions[dropped];
    plan.freed_bytes +=
        session.tokens_free_bytes -
        std::min(session.tokens_free_bytes, session.sink_frees_bytes);
  }
  for (size_t i = 0; i < sunk; ++i) {
    const SessionFacts& session = sessions[i];
    const bool to_tokens =
        i < dropped && session.tokens_free_bytes > session.sink_frees_bytes;
    if (!to_tokens && session.sink_frees_bytes == 0) continue;
    plan.choices.push_back({session.index, to_tokens});
  }
  plan.is_enough = plan.freed_bytes >= wanted_bytes;
  return plan;
}

}  // namespace reprise
