#include "tools/compaction/byte_rate.h"

#include <algorithm>

namespace reprise {
namespace {

// What was not used for so long is not made up for: no bursts.
constexpr double kKeptSeconds = 0.1;

}  // namespace

ByteRate::ByteRate(uint64_t bytes_per_s)
    : bytes_per_s_(static_cast<double>(bytes_per_s)) {}

bool ByteRate::Acquire(uint64_t bytes) {
  std::unique_lock lock(mutex_);
  if (stopped_ || bytes_per_s_ == 0) return !stopped_;
  const Clock::time_point now = Clock::now();
  const double passed_s = std::chrono::duration<double>(now - filled_).count();
  filled_ = now;
  available_ = std::min(available_ + passed_s * bytes_per_s_,
                        kKeptSeconds * bytes_per_s_);
  available_ -= static_cast<double>(bytes);
  if (available_ >= 0) return true;
  const std::chrono::duration<double> debt(-available_ / bytes_per_s_);
  const auto until = now + std::chrono::duration_cast<Clock::duration>(debt);
  return !wake_.wait_until(lock, until, [this] { return stopped_; });
}

void ByteRate::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  wake_.notify_all();
}

}  // namespace reprise
