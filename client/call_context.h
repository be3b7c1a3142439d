// What one call of a user waits on: answers of the daemon, codec jobs, its
// deadline, and its cancellation. All of them notify one condition, so that a
// call can wait for whichever comes first.
#ifndef REPRISE_CLIENT_CALL_CONTEXT_H_
#define REPRISE_CLIENT_CALL_CONTEXT_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/clock.h"
#include "base/status.h"

namespace reprise {

// Thread-safe. Shared by a call's ticket, its thread and its jobs.
class CallContext {
 public:
  // In the clock of Clock::MonotonicNs.
  explicit CallContext(int64_t deadline_ns) : deadline_ns_(deadline_ns) {}

  static int64_t NowNs() { return SystemClock().MonotonicNs(); }
  static int64_t InMs(int64_t ms) { return NowNs() + ms * 1'000'000; }

  int64_t deadline_ns() const { return deadline_ns_; }

  // Guards what Wait's predicates read.
  std::mutex& mutex() { return mutex_; }

  // After a change, made under mutex(), that somebody may wait for.
  void Notify() { changed_.notify_all(); }

  void Cancel() {
    {
      std::lock_guard lock(mutex_);
      cancelled_ = true;
    }
    Notify();
  }
  bool cancelled() {
    std::lock_guard lock(mutex_);
    return cancelled_;
  }

  // Waits until `ready()`. kUnavailable when the call was cancelled,
  // kDeadlineExceeded at the earlier of `deadline_ns` and the call's own.
  // REQUIRES: `lock` holds mutex().
  template <typename Ready>
  Status Wait(std::unique_lock<std::mutex>& lock, int64_t deadline_ns,
              Ready ready) {
    const int64_t until_ns = std::min(deadline_ns, deadline_ns_);
    while (!ready()) {
      if (cancelled_) return UnavailableError("call: cancelled");
      const int64_t left_ns = until_ns - NowNs();
      if (left_ns <= 0) {
        return DeadlineExceededError("call: no answer in time");
      }
      // In slices, so that a deadline far away cannot overflow a clock.
      const auto slice =
          std::chrono::nanoseconds(std::min<int64_t>(left_ns, 60'000'000'000));
      changed_.wait_for(lock, slice);
    }
    return Status();
  }

  // Errors as of Wait, without waiting: for a loop that may find something
  // ready each time.
  Status Check() {
    if (cancelled()) return UnavailableError("call: cancelled");
    if (NowNs() < deadline_ns_) return Status();
    return DeadlineExceededError("call: not done in time");
  }

  // Waits until `ready()`, whatever happens: for jobs that hold the caller's
  // memory. REQUIRES: `lock` holds mutex().
  template <typename Ready>
  void WaitAlways(std::unique_lock<std::mutex>& lock, Ready ready) {
    changed_.wait(lock, ready);
  }

  // OK once `until_ns` has come; errors as of Wait.
  Status SleepUntil(int64_t until_ns) {
    std::unique_lock lock(mutex_);
    while (!cancelled_) {
      const int64_t now_ns = NowNs();
      if (now_ns >= until_ns) return Status();
      if (now_ns >= deadline_ns_) {
        return DeadlineExceededError("call: no answer in time");
      }
      const int64_t left_ns = std::min(until_ns, deadline_ns_) - now_ns;
      changed_.wait_for(lock, std::chrono::nanoseconds(left_ns));
    }
    return UnavailableError("call: cancelled");
  }

 private:
  const int64_t deadline_ns_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool cancelled_ = false;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_CALL_CONTEXT_H_
