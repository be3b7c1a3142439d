#include "tools/compaction/plane_error.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "codec/float_rows.h"

namespace reprise {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr uint64_t kBlock = 1024;

}  // namespace

double RelativeError(DType dtype, const uint8_t* source, const uint8_t* decoded,
                     uint64_t count) {
  const uint64_t element_bytes = DTypeBytes(dtype);
  if (std::memcmp(source, decoded, count * element_bytes) == 0) return 0;
  if (!IsFloatDType(dtype)) return kInfinite;
  float from[kBlock];
  float to[kBlock];
  double difference = 0;
  double reference = 0;
  for (uint64_t first = 0; first < count; first += kBlock) {
    const uint64_t block = std::min(kBlock, count - first);
    LoadFloats(dtype, source + first * element_bytes, block, from);
    LoadFloats(dtype, decoded + first * element_bytes, block, to);
    for (uint64_t i = 0; i < block; ++i) {
      if (!std::isfinite(from[i])) continue;
      if (!std::isfinite(to[i])) return kInfinite;
      const double delta = double{to[i]} - double{from[i]};
      difference += delta * delta;
      reference += double{from[i]} * double{from[i]};
    }
  }
  if (difference == 0) return 0;
  return reference == 0 ? kInfinite : std::sqrt(difference / reference);
}

}  // namespace reprise
