#include "store/watermarks.h"

#include <string>

namespace reprise {

Status CheckWatermarks(const Watermarks& marks) {
  constexpr uint32_t kMostPercent = 100 - kMinHeadroomPercent;
  if (marks.high_percent > kMostPercent) {
    return InvalidArgumentError(
        "high watermark is " + std::to_string(marks.high_percent) +
        " %, at most " + std::to_string(kMostPercent) +
        " % are allowed: space is given back in the rest");
  }
  if (marks.low_percent == 0 || marks.low_percent >= marks.high_percent) {
    return InvalidArgumentError(
        "low watermark is " + std::to_string(marks.low_percent) +
        " %, it must be 1 % at least and below the high one, " +
        std::to_string(marks.high_percent) + " %");
  }
  return Status();
}

uint64_t UsedBytes(const Engine::Stats& stats) {
  return stats.disk_bytes > 0 ? stats.disk_bytes : stats.live_bytes;
}

}  // namespace reprise
