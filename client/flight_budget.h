// Bounds the bytes that all calls of a client keep in flight together.
#ifndef REPRISE_CLIENT_FLIGHT_BUDGET_H_
#define REPRISE_CLIENT_FLIGHT_BUDGET_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "client/call_context.h"

namespace reprise {

// Thread-safe. One take is granted however large it is when nothing else is
// taken, so that no call waits for ever.
class FlightBudget {
 public:
  explicit FlightBudget(uint64_t bytes) : total_(bytes) {}

  bool TryTake(uint64_t bytes) {
    std::lock_guard lock(mutex_);
    if (taken_ != 0 && (taken_ >= total_ || bytes > total_ - taken_)) {
      return false;
    }
    taken_ += bytes;
    return true;
  }

  // Waits. Errors of CallContext::Wait. A caller that holds bytes which only
  // it can free must free them first.
  Status Take(const std::shared_ptr<CallContext>& call, uint64_t bytes) {
    {
      std::lock_guard lock(mutex_);
      waiting_.push_back(call);
    }
    std::unique_lock lock(call->mutex());
    Status status = call->Wait(lock, INT64_MAX, [&] { return TryTake(bytes); });
    lock.unlock();
    std::lock_guard guard(mutex_);
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), call));
    return status;
  }

  void Give(uint64_t bytes) {
    std::vector<std::shared_ptr<CallContext>> waiting;
    {
      std::lock_guard lock(mutex_);
      taken_ -= bytes;
      waiting = waiting_;
    }
    for (const auto& call : waiting) {
      // Through its mutex: it is either before its look at the budget, or
      // waits already.
      { std::lock_guard lock(call->mutex()); }
      call->Notify();
    }
  }

  uint64_t taken() {
    std::lock_guard lock(mutex_);
    return taken_;
  }

 private:
  const uint64_t total_;
  std::mutex mutex_;  // taken after a call's, never before
  uint64_t taken_ = 0;
  std::vector<std::shared_ptr<CallContext>> waiting_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_FLIGHT_BUDGET_H_
