// Time as an interface, so that tests decide what time it is.
#ifndef REPRISE_BASE_CLOCK_H_
#define REPRISE_BASE_CLOCK_H_

#include <atomic>
#include <cstdint>

namespace reprise {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Milliseconds since 1970-01-01 UTC: for records. May jump.
  virtual int64_t WallMs() const = 0;
  // Nanoseconds since some start: for durations, deadlines and leases. Never
  // goes back.
  virtual int64_t MonotonicNs() const = 0;

  int64_t MonotonicMs() const { return MonotonicNs() / 1'000'000; }
};

// The machine's clocks. Never destroyed.
const Clock& SystemClock();

// Stands still until it is moved.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t wall_ms = 1'700'000'000'000)
      : wall_ms_(wall_ms) {}
  int64_t WallMs() const override { return wall_ms_; }
  int64_t MonotonicNs() const override { return monotonic_ns_; }
  void AdvanceMs(int64_t ms) {
    wall_ms_ += ms;
    monotonic_ns_ += ms * 1'000'000;
  }
  void SetWallMs(int64_t wall_ms) { wall_ms_ = wall_ms; }

 private:
  std::atomic<int64_t> wall_ms_;
  std::atomic<int64_t> monotonic_ns_{0};
};

}  // namespace reprise

#endif  // REPRISE_BASE_CLOCK_H_
