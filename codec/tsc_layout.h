// What stands in a section of `tsc`, for its encoder and its decoder
// (docs/format/codecs/tsc.md): a header, rows as they are, scales, codes.
#ifndef REPRISE_CODEC_TSC_LAYOUT_H_
#define REPRISE_CODEC_TSC_LAYOUT_H_

#include <bit>
#include <cstdint>

#include "base/bytes.h"
#include "base/limits.h"
#include "codec/codec.h"
#include "codec/float_element.h"
#include "codec/tsc_codec.h"
#include "codec/tsc_kernel.h"

namespace reprise {

inline constexpr uint64_t kTscHeaderBytes = 32;
inline constexpr uint64_t kTscPartAlignment = 16;

// The header, without the number of bits of a code: that is the section's
// mode.
struct TscHeader {
  TokenMask kept = 0;
  TokenMask raw = 0;        // of those kept: the rows stored as they are
  TokenMask reference = 0;  // of those raw: what the rows after it lean on
  uint32_t kappa = 64;
  TscPage page = TscPage::kToken;

  TokenMask deltas() const { return kept & ~raw; }
  // The tokens of the kappa that `token` is in.
  TokenMask IntervalOf(uint32_t token) const {
    return FirstTokens(kappa) << (token / kappa * kappa);
  }
  // References that no schedule asked for: all but the first of a kappa.
  uint32_t fallbacks() const {
    int scheduled = 0;
    for (uint32_t t = 0; t < 64; t += kappa) {
      scheduled += (reference & IntervalOf(t)) != 0;
    }
    return static_cast<uint32_t>(std::popcount(reference) - scheduled);
  }
};

void StoreTscHeader(const TscHeader& header, uint8_t* out);
// kDataLoss for a header that no encoder writes, whatever the slice is.
// REQUIRES: kTscHeaderBytes bytes at `in`.
Status LoadTscHeader(const uint8_t* in, TscHeader* out);

// Byte offsets of the parts in a section.
struct TscLayout {
  uint64_t raw = kTscHeaderBytes;
  uint64_t scales = 0;
  uint64_t codes = 0;
  uint64_t end = 0;
  uint64_t scale_count = 0;
};
TscLayout LayOutTsc(const TscHeader& header, const TscShape& shape);

// The scales of the heads of delta row `index` (counted among those), as f32.
inline void LoadTscScales(TscPage page, const uint8_t* stored, uint64_t index,
                          uint32_t heads, float* scales) {
  const uint64_t first = page == TscPage::kToken   ? index * heads
                         : page == TscPage::kLayer ? index
                                                   : 0;
  const uint64_t step = page == TscPage::kLayer ? 0 : 1;
  for (uint32_t h = 0; h < heads; ++h) {
    scales[h] = F16ToF32(LoadLe<uint16_t>(stored + 2 * (first + h * step)));
  }
}

// Elements of this type are stored as they are, whatever they are.
inline bool TscIsRawOnly(DType dtype) {
  return dtype != DType::kF32 && dtype != DType::kBf16 && dtype != DType::kF16;
}

inline TscShape TscShapeOf(const PlaneSlice& slice, uint32_t bits) {
  return {.dtype = slice.spec->dtype,
          .heads = slice.head_count,
          .dim = slice.spec->dim,
          .bits = bits};
}

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_LAYOUT_H_
