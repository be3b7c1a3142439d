// The loops of `tsc` (docs/format/codecs/tsc.md): one row of one slice against
// its reference, head by head. They cannot fail, allocate nothing and know
// nothing of frames; what they are given was checked before. tsc_simd.h has
// the same in vectors, bit for bit.
//
// All arithmetic is f32, to nearest even, denormals kept.
#ifndef REPRISE_CODEC_TSC_KERNEL_H_
#define REPRISE_CODEC_TSC_KERNEL_H_

#include <cstdint>

#include "codec/float_element.h"
#include "codec/model_spec.h"

namespace reprise {

// Channels of a head are coded in blocks of this many; the last may be short.
inline constexpr uint32_t kTscBlock = 32;

struct TscShape {
  DType dtype = DType::kF16;  // kF32, kBf16 or kF16
  uint32_t heads = 0;
  uint32_t dim = 0;
  uint32_t bits = 4;  // of a code: 4 or 8

  uint64_t row_bytes() const {
    return uint64_t{heads} * dim * DTypeBytes(dtype);
  }
  uint64_t head_code_bytes() const { return bits == 8 ? dim : (dim + 1) / 2; }
  uint64_t row_code_bytes() const { return heads * head_code_bytes(); }
  // The largest code: 7 or 127.
  int32_t max_code() const { return (1 << (bits - 1)) - 1; }
};

// The scale of a page whose largest delta is this: largest / max_code, rounded
// to the nearest f16, or the next one if that times max_code (exact in f32) is
// less than the delta. REQUIRES: 0 <= largest <= 2^18.
constexpr uint16_t TscScale(float largest, int32_t max_code) {
  const auto most = static_cast<float>(max_code);
  const uint16_t scale = F32ToF16(largest / most);
  const bool is_less = F16ToF32(scale) * most < largest;
  return static_cast<uint16_t>(scale + is_less);
}

// TscScale of each of `count` largest deltas.
//
//   largest  [count]  as f32
//   scales   [count]  f16 bits, at any address
void TscScalesScalar(const float* largest, uint64_t count, int32_t max_code,
                     uint8_t* scales);

// For each head the largest |x - r|; where x or r has a NaN or an infinity,
// something that is not finite.
//
//   row, reference  [heads, dim]  shape.dtype; a null reference is all zeros
//   largest         [heads]
void TscLargestScalar(const TscShape& shape, const uint8_t* row,
                      const uint8_t* reference, float* largest);

// Codes of a row's deltas: q = round(delta * (1 / scale)), ties to even.
//
//   row, reference  [heads, dim]  shape.dtype, finite
//   scales          [heads]       as f32; 0: the head's codes are 0
//   codes           [shape.row_code_bytes()]
//
// REQUIRES: no |delta| is over scale * max_code by more than f32 rounds.
void TscEncodeScalar(const TscShape& shape, const uint8_t* row,
                     const uint8_t* reference, const float* scales,
                     uint8_t* codes);

// The row that codes stand for: x = r + q * scale, rounded to shape.dtype. The
// product is exact in f32, so it may be fused with the sum.
//
//   reference  [heads, dim]               shape.dtype, finite
//   scales     [heads]                    as f32, finite
//   codes      [shape.row_code_bytes()]
//   row        [heads, dim]               shape.dtype
void TscDecodeScalar(const TscShape& shape, const uint8_t* reference,
                     const float* scales, const uint8_t* codes, uint8_t* row);

// Parts of the above for the channels of one head from `first` on, a multiple
// of kTscBlock: what vectors leave over. Pointers are to the head's.
float TscHeadLargest(const TscShape& shape, uint32_t first, const uint8_t* row,
                     const uint8_t* reference);
void TscHeadEncode(const TscShape& shape, uint32_t first, const uint8_t* row,
                   const uint8_t* reference, float scale, uint8_t* codes);
void TscHeadDecode(const TscShape& shape, uint32_t first,
                   const uint8_t* reference, float scale, const uint8_t* codes,
                   uint8_t* row);

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_KERNEL_H_
