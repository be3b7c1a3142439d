// Refuses what does not fit into the space that the store may take.
#ifndef REPRISE_API_SPACE_GUARD_H_
#define REPRISE_API_SPACE_GUARD_H_

#include <cstdint>
#include <mutex>

#include "base/clock.h"
#include "base/status.h"
#include "store/engine.h"

namespace reprise {

// Thread-safe.
class SpaceGuard {
 public:
  // Neither is owned; both outlive this. `max_bytes` 0: no limit.
  SpaceGuard(Engine* engine, const Clock* clock, uint64_t max_bytes)
      : engine_(engine), clock_(clock), max_bytes_(max_bytes) {}

  // Before `bytes` are written. kResourceExhausted, with both numbers, when
  // what is used and what was admitted since would be more than the limit. The
  // engine is asked once a second, so nobody waits for it at each write.
  Status Admit(uint64_t bytes);

 private:
  static constexpr int64_t kLookMs = 1000;

  Engine* const engine_;
  const Clock* const clock_;
  const uint64_t max_bytes_;
  std::mutex mutex_;
  // Guarded by mutex_.
  bool has_looked_ = false;
  int64_t next_look_ms_ = 0;
  uint64_t used_bytes_ = 0;  // when it was looked, and all admitted since
};

}  // namespace reprise

#endif  // REPRISE_API_SPACE_GUARD_H_
