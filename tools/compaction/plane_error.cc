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

// All ones where the bits are those of a finite number.
uint32_t FiniteMask(uint32_t bits) {
  return (bits & 0x7f800000) != 0x7f800000 ? ~uint32_t{0} : 0;
}

// Without branches and with bounds that are known, so that a compiler makes
// vectors of it.
struct Sums {
  double difference[kLanes] = {};  // squared, as the next
  double reference[kLanes] = {};
  uint32_t not_finite = 0;  // where the source is

  //   from, to  [kBlock]
  void Add(const float* from, const float* to) {
    float source[kBlock];
    float delta[kBlock];
    uint32_t bad = 0;
    for (uint64_t i = 0; i < kBlock; ++i) {
      const auto from_bits = std::bit_cast<uint32_t>(from[i]);
      const auto to_bits = std::bit_cast<uint32_t>(to[i]);
      const uint32_t counts = FiniteMask(from_bits);
      const uint32_t is_number = FiniteMask(to_bits);
      bad |= counts & ~is_number;
      source[i] = std::bit_cast<float>(from_bits & counts);
      delta[i] = std::bit_cast<float>(to_bits & counts & is_number) - source[i];
    }
    not_finite |= bad;
    for (uint64_t i = 0; i < kBlock; i += kLanes) {
      for (uint64_t lane = 0; lane < kLanes; ++lane) {
        difference[lane] += double{delta[i + lane]} * double{delta[i + lane]};
      }
      for (uint64_t lane = 0; lane < kLanes; ++lane) {
        reference[lane] += double{source[i + lane]} * double{source[i + lane]};
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
    std::fill(from + block, from + kBlock, 0.0F);
    std::fill(to + block, to + kBlock, 0.0F);
    sums.Add(from, to);
  }
  if (sums.not_finite != 0) return kInfinite;
  const double difference = SumOf(sums.difference);
  const double reference = SumOf(sums.reference);
  if (difference == 0) return 0;
  return reference == 0 ? kInfinite : std::sqrt(difference / reference);
}

}  // namespace reprise
