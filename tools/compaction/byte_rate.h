// A limit on bytes a second, shared by the threads of one job.
#ifndef REPRISE_TOOLS_COMPACTION_BYTE_RATE_H_
#define REPRISE_TOOLS_COMPACTION_BYTE_RATE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace reprise {

// A token bucket. Thread-safe.
class ByteRate {
 public:
  // 0: no limit.
  explicit ByteRate(uint64_t bytes_per_s);

  // Waits until these bytes may pass, whatever their number: who takes more
  // than there is waits for the debt to be paid. False at once, and from then
  // on, when it was stopped.
  bool Acquire(uint64_t bytes);
  // Ends every wait.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;

  const double bytes_per_s_;
  std::mutex mutex_;
  std::condition_variable wake_;
  double available_ = 0;  // below 0: owed
  Clock::time_point filled_ = Clock::now();
  bool stopped_ = false;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_BYTE_RATE_H_
