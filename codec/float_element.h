// Elements of planes as f32 and back, in fixed arithmetic: the same bits on
// every machine, whatever it has instructions for. What is constexpr is for
// kernels on devices too.
#ifndef REPRISE_CODEC_FLOAT_ELEMENT_H_
#define REPRISE_CODEC_FLOAT_ELEMENT_H_

#include <bit>
#include <cstdint>

#include "base/bytes.h"
#include "codec/model_spec.h"

namespace reprise {

// True of f32, bf16 and f16: what lossy codecs take apart. f8 and opaque
// planes are bytes to them.
constexpr bool IsFloatDType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBf16 || dtype == DType::kF16;
}

// Exact, denormals and minus zero included; infinities and NaNs stay so.
constexpr float F16ToF32(uint16_t bits) {
  // The exponent is rebiased by a product, which is exact for denormals too.
  const float magnitude =
      std::bit_cast<float>((bits & 0x7fffu) << 13) * 0x1p112f;
  uint32_t out = std::bit_cast<uint32_t>(magnitude);
  if ((bits & 0x7c00u) == 0x7c00u) out |= 0x7f800000u;
  return std::bit_cast<float>(out | (bits & 0x8000u) << 16);
}
constexpr float Bf16ToF32(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

// To nearest, ties to even; what is too large becomes an infinity.
// REQUIRES: x is no NaN.
constexpr uint16_t F32ToF16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    // Below 2^-14: adding 0.5 leaves the multiple of 2^-24 in the low bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(
        sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign |
                               ((magnitude - 0x38000000 + 0xfff + odd) >> 13));
}
constexpr uint16_t F32ToBf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t odd = bits >> 16 & 1;
  return static_cast<uint16_t>((bits + 0x7fff + odd) >> 16);
}

// The same, but what is too large becomes the largest finite number, which is
// one less than the infinity. REQUIRES: x is no NaN.
constexpr uint16_t F32ToF16Saturated(float x) {
  const uint16_t half = F32ToF16(x);
  return static_cast<uint16_t>(half - ((half & 0x7fff) == 0x7c00));
}
constexpr uint16_t F32ToBf16Saturated(float x) {
  const uint16_t half = F32ToBf16(x);
  return static_cast<uint16_t>(half - ((half & 0x7fff) == 0x7f80));
}
constexpr float F32Saturated(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffff) < 0x7f800000) return x;
  return std::bit_cast<float>((bits & 0x80000000) | 0x7f7fffff);
}

// An element's bits, in the low ones. REQUIRES: IsFloatDType(dtype); x is no
// NaN unless dtype is kF32.
constexpr float BitsToF32(DType dtype, uint32_t bits) {
  if (dtype == DType::kF32) return std::bit_cast<float>(bits);
  const auto half = static_cast<uint16_t>(bits);
  return dtype == DType::kF16 ? F16ToF32(half) : Bf16ToF32(half);
}
constexpr uint32_t F32ToBits(DType dtype, float x) {
  if (dtype == DType::kF32) return std::bit_cast<uint32_t>(x);
  return dtype == DType::kF16 ? F32ToF16(x) : F32ToBf16(x);
}

// One element at `p`. REQUIRES: IsFloatDType(dtype).
inline float LoadElement(DType dtype, const uint8_t* p) {
  if (dtype == DType::kF32) return LoadLe<float>(p);
  const auto bits = LoadLe<uint16_t>(p);
  return dtype == DType::kF16 ? F16ToF32(bits) : Bf16ToF32(bits);
}
inline void StoreElement(DType dtype, float x, uint8_t* p) {
  if (dtype == DType::kF32) return StoreLe(p, x);
  StoreLe(p, dtype == DType::kF16 ? F32ToF16(x) : F32ToBf16(x));
}
inline void StoreElementSaturated(DType dtype, float x, uint8_t* p) {
  if (dtype == DType::kF32) return StoreLe(p, F32Saturated(x));
  StoreLe(p,
          dtype == DType::kF16 ? F32ToF16Saturated(x) : F32ToBf16Saturated(x));
}

// The bits that StoreElementSaturated stores, in the low ones.
constexpr uint32_t F32ToBitsSaturated(DType dtype, float x) {
  if (dtype == DType::kF32) return std::bit_cast<uint32_t>(F32Saturated(x));
  return dtype == DType::kF16 ? F32ToF16Saturated(x) : F32ToBf16Saturated(x);
}

}  // namespace reprise

#endif  // REPRISE_CODEC_FLOAT_ELEMENT_H_
