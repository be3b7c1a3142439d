#include "tools/compaction/plane_error.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "codec/float_rows.h"

namespace reprise {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr uint64_t kBlock = 1024;
// Sums side by side: one alone would wait for itself at every element.
constexpr uint64_t kLanes = 8;

bool IsFinite(float value) {
  return (std::bit_cast<uint32_t>(value) & 0x7f800000) != 0x7f800000;
}

struct Sums {
  double difference[kLanes] = {};  // squared, as the next
  double reference[kLanes] = {};
  uint32_t not_finite[kLanes] = {};  // where the source is

  // REQUIRES: count is a multiple of kLanes.
  void Add(const float* from, const float* to, uint64_t count) {
    for (uint64_t i = 0; i < count; i += kLanes) {
      for (uint64_t lane = 0; lane < kLanes; ++lane) {
        const bool counts = IsFinite(from[i + lane]);
        const bool is_number = IsFinite(to[i + lane]);
        const double source = counts ? double{from[i + lane]} : 0;
        const double decoded = counts && is_number ? double{to[i + lane]} : 0;
        not_finite[lane] |= static_cast<uint32_t>(counts && !is_number);
        difference[lane] += (decoded - source) * (decoded - source);
        reference[lane] += source * source;
      }
    }
  }
};

double SumOf(const double (&lanes)[kLanes]) {
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

double RelativeError(DType dtype, const uint8_t* source, const uint8_t* decoded,
                     uint64_t count) {
  const uint64_t element_bytes = DTypeBytes(dtype);
  if (std::memcmp(source, decoded, count * element_bytes) == 0) return 0;
  if (!IsFloatDType(dtype)) return kInfinite;
  float from[kBlock];
  float to[kBlock];
  Sums sums;
  for (uint64_t first = 0; first < count; first += kBlock) {
    const uint64_t block = std::min(kBlock, count - first);
    LoadFloats(dtype, source + first * element_bytes, block, from);
    LoadFloats(dtype, decoded + first * element_bytes, block, to);
    const uint64_t whole = (block + kLanes - 1) / kLanes * kLanes;
    std::fill(from + block, from + whole, 0.0F);
    std::fill(to + block, to + whole, 0.0F);
    sums.Add(from, to, whole);
  }
  for (const uint32_t lane : sums.not_finite) {
    if (lane != 0) return kInfinite;
  }
  const double difference = SumOf(sums.difference);
  const double reference = SumOf(sums.reference);
  if (difference == 0) return 0;
  return reference == 0 ? kInfinite : std::sqrt(difference / reference);
}

}  // namespace reprise
