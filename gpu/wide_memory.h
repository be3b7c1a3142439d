// Loads and stores of several elements at once, for kernels.
#ifndef REPRISE_GPU_WIDE_MEMORY_H_
#define REPRISE_GPU_WIDE_MEMORY_H_

#include <bit>
#include <cstdint>

#include "codec/float_element.h"
#include "gpu/executor.h"

namespace reprise {

// The most that one instruction moves.
struct alignas(16) Quad {
  uint32_t of[4];
};

REPRISE_GPU inline uint32_t CountOnes64(uint64_t mask) {
  return CountOnes(static_cast<uint32_t>(mask)) +
         CountOnes(static_cast<uint32_t>(mask >> 32));
}

// kCount elements, 4 or 8, as f32. REQUIRES: `from` is a multiple of 16, or of
// their size if that is less.
template <DType kType, uint32_t kCount>
REPRISE_GPU inline void LoadFloats(const uint8_t* from, float* values) {
  if constexpr (kType == DType::kF32) {
    for (uint32_t q = 0; q < kCount / 4; ++q) {
      const Quad quad = LoadAligned<Quad>(from + 16 * q);
      for (uint32_t i = 0; i < 4; ++i) {
        values[4 * q + i] = std::bit_cast<float>(quad.of[i]);
      }
    }
  } else if constexpr (kCount == 8) {
    const Quad quad = LoadAligned<Quad>(from);
    for (uint32_t i = 0; i < 4; ++i) {
      values[2 * i] = BitsToF32(kType, quad.of[i] & 0xffff);
      values[2 * i + 1] = BitsToF32(kType, quad.of[i] >> 16);
    }
  } else {
    const auto packed = LoadAligned<uint64_t>(from);
    for (uint32_t i = 0; i < 4; ++i) {
      values[i] =
          BitsToF32(kType, static_cast<uint32_t>(packed >> 16 * i) & 0xffff);
    }
  }
}

}  // namespace reprise

#endif  // REPRISE_GPU_WIDE_MEMORY_H_
