// How much of a file system a store may take. Over the high watermark jobs sink
// sessions before their time, down to the low one; at `max_bytes` saves are
// refused. What lies between the high watermark and the limit is the room in
// which space is given back: compaction writes what stays before it deletes
// what it lay in. docs/operations/space.md. Plain values; all thread-safe.
#ifndef REPRISE_STORE_WATERMARKS_H_
#define REPRISE_STORE_WATERMARKS_H_

#include <cstdint>

#include "base/status.h"
#include "store/engine.h"

namespace reprise {

struct Watermarks {
  uint64_t max_bytes = 0;  // 0: no limit, and so no watermarks
  uint32_t high_percent = 85;
  uint32_t low_percent = 75;

  uint64_t high_bytes() const { return PercentOf(high_percent); }
  uint64_t low_bytes() const { return PercentOf(low_percent); }

 private:
  // Without a product that could overflow.
  uint64_t PercentOf(uint32_t percent) const {
    return max_bytes / 100 * percent + max_bytes % 100 * percent / 100;
  }
};

// The least room between high watermark and limit, in percent.
inline constexpr uint32_t kMinHeadroomPercent = 5;

// kInvalidArgument unless 1 <= low < high <= 95.
Status CheckWatermarks(const Watermarks& marks);

// What counts against the limit: on the file system, or in memory where the
// engine has no files.
uint64_t UsedBytes(const Engine::Stats& stats);

}  // namespace reprise

#endif  // REPRISE_STORE_WATERMARKS_H_
