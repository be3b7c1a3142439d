#include "api/space_guard.h"

#include <string>

#include "store/watermarks.h"

namespace reprise {

Status SpaceGuard::Admit(uint64_t bytes) {
  if (max_bytes_ == 0) return Status();
  std::lock_guard lock(mutex_);
  const int64_t now_ms = clock_->MonotonicMs();
  if (!has_looked_ || now_ms >= next_look_ms_) {
    used_bytes_ = UsedBytes(engine_->GetStats());
    next_look_ms_ = now_ms + kLookMs;
    has_looked_ = true;
  }
  if (used_bytes_ > max_bytes_ || bytes > max_bytes_ - used_bytes_) {
    return ResourceExhaustedError(
        "the store is full: it takes " + std::to_string(used_bytes_) +
        " bytes, and with " + std::to_string(bytes) + " more the limit of " +
        std::to_string(max_bytes_) + " would be passed");
  }
  used_bytes_ += bytes;
  return Status();
}

}  // namespace reprise
