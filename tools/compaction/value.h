// Which sessions are sunk first when space runs short: those of the least
// value. The formula, and why, is in docs/operations/space.md:
//
//             milliseconds that the stored state saves a restore
//   value = -----------------------------------------------------
//            (idle time + 1 hour) x bytes that only it holds
//
// Plain values and pure functions; all thread-safe.
#ifndef REPRISE_TOOLS_COMPACTION_VALUE_H_
#define REPRISE_TOOLS_COMPACTION_VALUE_H_

#include <cstdint>
#include <vector>

#include "store/watermarks.h"

namespace reprise {

// What makes a restore worth it: figures of a deployment.
struct RestoreRates {
  double prefill_tokens_per_s = 2000;
  double restore_bytes_per_s = 500e6;
};

// Milliseconds by which a restore of `bytes` beats a prefill of `tokens`; at
// least 1, since also state that is no faster spares the worker.
// REQUIRES: rates are positive.
double SavedMs(uint64_t tokens, uint64_t bytes, const RestoreRates& rates);

// Added to the idle time: so a session that was used just now is not worth
// without end, and minutes of idleness make little difference.
inline constexpr int64_t kValueIdleFloorMs = 60 * 60 * 1000;
// Sessions used so lately are never sunk for space: somebody may be at work,
// and what is sunk now would be saved anew at once.
inline constexpr int64_t kSparedIdleMs = 10 * 60 * 1000;

struct SessionFacts {
  uint64_t index = 0;  // the caller's
  int64_t idle_ms = 0;
  uint64_t tokens = 0;
  uint64_t bytes = 0;      // of its frames, also of those it shares
  uint64_t own_bytes = 0;  // of these, that no other session refers to
  // Of own_bytes, freed on the lowest tier with frames of its policy...
  uint64_t sink_frees_bytes = 0;
  // ... and with no frames at all; 0 where its policy does not end in tokens.
  uint64_t tokens_free_bytes = 0;
  bool is_left_alone = false;  // pinned, leased, or its policy is no use
};

// Infinite when nothing is its own: to sink it frees nothing.
// REQUIRES: idle_ms >= 0.
double ValueOf(const SessionFacts& session, const RestoreRates& rates);

struct SpaceChoice {
  uint64_t index = 0;
  bool to_tokens = false;  // else to the lowest tier with frames
  bool operator==(const SpaceChoice&) const = default;
};
struct SpacePlan {
  // Each session at most once, in the order in which they are to be sunk.
  std::vector<SpaceChoice> choices;
  uint64_t freed_bytes = 0;
  // Whether that gets down to the low watermark.
  bool is_enough = true;
};

// Nothing unless `used_bytes` is over the high watermark. Else those of the
// least value, one after the other, to the lowest tier with frames, until the
// low one is reached; where all of them are not enough, those of the least
// value to tokens. A policy's times are hurried by that, its tiers never left.
SpacePlan PlanSpace(uint64_t used_bytes, const Watermarks& marks,
                    const RestoreRates& rates,
                    std::vector<SessionFacts> sessions);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_VALUE_H_
