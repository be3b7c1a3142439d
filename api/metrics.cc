#include "api/metrics.h"

#include <algorithm>

namespace reprise {

void LatencyHistogram::Record(int64_t ns) {
  int bucket = 0;
  while (bucket + 1 < kBuckets && ns >= UpperNs(bucket)) bucket++;
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(ns, std::memory_order_relaxed);
}

uint64_t LatencyHistogram::count() const {
  uint64_t count = 0;
  for (int i = 0; i < kBuckets; i++) count += bucket(i);
  return count;
}

int64_t LatencyHistogram::QuantileNs(double quantile) const {
  uint64_t total = count();
  if (total == 0) return 0;
  auto wanted = static_cast<uint64_t>(quantile * static_cast<double>(total));
  uint64_t below = 0;
  for (int i = 0; i < kBuckets; i++) {
    below += bucket(i);
    if (below > wanted) return UpperNs(i);
  }
  return UpperNs(kBuckets - 1);
}

void TransferRate::Record(uint64_t bytes, int64_t ns) {
  constexpr uint64_t kLeastBytes = 256 << 10;
  constexpr double kWeightOfNew = 0.25;
  if (bytes < kLeastBytes || ns <= 0) return;
  double seen = static_cast<double>(bytes) * 1e9 / static_cast<double>(ns);
  double old = rate_.load(std::memory_order_relaxed);
  double mean = old == 0 ? seen : old + kWeightOfNew * (seen - old);
  // Two transfers that end at once may lose one of the two: it is a mean.
  rate_.store(mean, std::memory_order_relaxed);
}

void ServerMetrics::RecordRequest(MessageType type, StatusCode code,
                                  int64_t ns) {
  RequestFigures& figures = requests[static_cast<uint8_t>(type)];
  figures.answered.fetch_add(1, std::memory_order_relaxed);
  auto index = std::min<int>(static_cast<int>(code), kStatusCodes - 1);
  figures.by_code[index].fetch_add(1, std::memory_order_relaxed);
  figures.latency.Record(ns);
}

}  // namespace reprise
