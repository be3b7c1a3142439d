// Figures of the daemon, counted where things happen and read by the admin
// listener and by Stats. Thread-safe; counting never blocks.
#ifndef REPRISE_API_METRICS_H_
#define REPRISE_API_METRICS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "api/framing.h"
#include "base/status.h"

namespace reprise {

// Durations in buckets that grow by a factor of two, from 16 us on: bucket i
// counts those below UpperNs(i), the last one all above.
class LatencyHistogram {
 public:
  static constexpr int kBuckets = 24;
  static constexpr int64_t UpperNs(int bucket) { return 16'384ll << bucket; }

  void Record(int64_t ns);

  uint64_t count() const;
  int64_t sum_ns() const { return sum_ns_.load(std::memory_order_relaxed); }
  uint64_t bucket(int i) const {
    return buckets_[i].load(std::memory_order_relaxed);
  }
  // The duration, to a bucket's width, that a share `quantile` of all stayed
  // below; 0 when nothing was recorded.
  int64_t QuantileNs(double quantile) const;

 private:
  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  std::atomic<int64_t> sum_ns_{0};
};

// An exponentially weighted mean of bytes a second, over transfers.
class TransferRate {
 public:
  // Transfers too short to say anything are left out.
  void Record(uint64_t bytes, int64_t ns);
  // 0: not known yet.
  double bytes_per_second() const {
    return rate_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<double> rate_{0};
};

inline constexpr int kStatusCodes = 10;

struct RequestFigures {
  std::atomic<uint64_t> answered{0};
  std::array<std::atomic<uint64_t>, kStatusCodes> by_code{};
  LatencyHistogram latency;  // from the whole request to its last answer
};

struct ServerMetrics {
  std::atomic<uint64_t> connections_accepted{0};
  std::atomic<uint64_t> connections_refused{0};  // over the limit
  std::atomic<int64_t> connections_open{0};
  std::atomic<int64_t> requests_open{0};
  std::atomic<uint64_t> received_bytes{0};
  std::atomic<uint64_t> sent_bytes{0};
  std::atomic<int64_t> upload_bytes_held{0};  // requests not answered
  std::atomic<int64_t> send_bytes_held{0};    // answers not yet sent
  std::atomic<uint64_t> malformed_messages{0};
  std::atomic<uint64_t> deadlines_missed{0};  // peers that fell silent
  std::atomic<uint64_t> frames_stored{0};
  std::atomic<uint64_t> frames_sent{0};
  std::atomic<uint64_t> frames_lost{0};  // asked for, missing or damaged
  std::array<RequestFigures, kMaxMessageType + 1> requests;
  TransferRate fetch_rate;

  void RecordRequest(MessageType type, StatusCode code, int64_t ns);
};

}  // namespace reprise

#endif  // REPRISE_API_METRICS_H_
