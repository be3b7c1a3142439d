// How many bytes of requests all connections together may hold.
#ifndef REPRISE_API_BYTE_BUDGET_H_
#define REPRISE_API_BYTE_BUDGET_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace reprise {

// Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(uint64_t limit) : limit_(limit) {}

  // Takes `bytes` and answers true, if they fit or nobody holds any (so that
  // what is larger than the whole budget comes through alone). Else answers
  // false and calls `retry` once, on any thread, when some were given back.
  bool TryTake(uint64_t bytes, std::function<void()> retry) {
    std::lock_guard lock(mutex_);
    if (used_ != 0 && used_ + bytes > limit_) {
      waiting_.push_back(std::move(retry));
      return false;
    }
    used_ += bytes;
    return true;
  }

  void GiveBack(uint64_t bytes) {
    std::vector<std::function<void()>> waiting;
    {
      std::lock_guard lock(mutex_);
      used_ -= bytes;
      waiting.swap(waiting_);
    }
    for (const auto& retry : waiting) retry();
  }

  uint64_t used() const {
    std::lock_guard lock(mutex_);
    return used_;
  }

 private:
  const uint64_t limit_;
  mutable std::mutex mutex_;
  uint64_t used_ = 0;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace reprise

#endif  // REPRISE_API_BYTE_BUDGET_H_
