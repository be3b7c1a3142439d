#include "tools/compaction/plane_error.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "codec/float_rows.h"
#include "codec/squared_sums.h"

namespace reprise {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

}  // namespace

double RelativeError(DType dtype, const uint8_t* source, const uint8_t* decoded,
                     uint64_t count) {
  const uint64_t element_bytes = DTypeBytes(dtype);
  if (std::memcmp(source, decoded, count * element_bytes) == 0) return 0;
  if (!IsFloatDType(dtype)) return kInfinite;
  float from[kSquaresBlock];
  float to[kSquaresBlock];
  SquaredSums sums;
  for (uint64_t first = 0; first < count; first += kSquaresBlock) {
    const uint64_t block = std::min(kSquaresBlock, count - first);
    LoadFloats(dtype, source + first * element_bytes, block, from);
    LoadFloats(dtype, decoded + first * element_bytes, block, to);
    std::fill(from + block, from + kSquaresBlock, 0.0F);
    std::fill(to + block, to + kSquaresBlock, 0.0F);
    AddSquares(from, to, &sums);
  }
  if (sums.not_finite) return kInfinite;
  if (sums.difference == 0) return 0;
  return sums.reference == 0 ? kInfinite
                             : std::sqrt(sums.difference / sums.reference);
}

}  // namespace reprise
