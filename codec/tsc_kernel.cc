#include "codec/tsc_kernel.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/bytes.h"

namespace reprise {
namespace {

uint64_t OffsetOf(DType dtype, uint32_t index) {
  return uint64_t{index} << (dtype == DType::kF32 ? 2 : 1);
}

float Load(DType dtype, const uint8_t* p, uint32_t index) {
  return LoadElement(dtype, p + OffsetOf(dtype, index));
}

void Store(DType dtype, float value, uint8_t* p, uint32_t index) {
  StoreElement(dtype, value, p + OffsetOf(dtype, index));
}

uint32_t Magnitude(float value) {
  return std::bit_cast<uint32_t>(value) & 0x7fffffff;
}

// Where a 4-bit code of a block of `size` channels lies: the first half of a
// block in the low nibbles of its bytes, the second half in the high ones.
struct Nibble {
  uint32_t byte = 0;
  uint32_t shift = 0;
};
Nibble PlaceOf(uint32_t channel, uint32_t size) {
  const uint32_t half = (size + 1) / 2;
  return channel < half ? Nibble{channel, 0} : Nibble{channel - half, 4};
}

}  // namespace

float TscHeadLargest(const TscShape& shape, uint32_t first, const uint8_t* row,
                     const uint8_t* reference) {
  // As integers: infinities and NaNs are larger than all finite magnitudes.
  uint32_t largest = 0;
  for (uint32_t c = first; c < shape.dim; ++c) {
    float delta = Load(shape.dtype, row, c);
    if (reference != nullptr) delta -= Load(shape.dtype, reference, c);
    largest = std::max(largest, Magnitude(delta));
  }
  return std::bit_cast<float>(largest);
}

void TscHeadEncode(const TscShape& shape, uint32_t first, const uint8_t* row,
                   const uint8_t* reference, float scale, uint8_t* codes) {
  const float inverse = scale == 0 ? 0 : 1 / scale;
  const auto code_of = [&](uint32_t c) {
    const float delta =
        Load(shape.dtype, row, c) - Load(shape.dtype, reference, c);
    return static_cast<int32_t>(std::nearbyint(delta * inverse));
  };
  if (shape.bits == 8) {
    for (uint32_t c = first; c < shape.dim; ++c) {
      codes[c] = static_cast<uint8_t>(code_of(c));
    }
    return;
  }
  for (uint32_t block = first; block < shape.dim; block += kTscBlock) {
    const uint32_t size = std::min(shape.dim - block, kTscBlock);
    uint8_t* const out = codes + block / 2;
    std::fill_n(out, (size + 1) / 2, uint8_t{0});
    for (uint32_t c = 0; c < size; ++c) {
      const Nibble place = PlaceOf(c, size);
      const auto code = static_cast<uint32_t>(code_of(block + c)) & 15;
      out[place.byte] |= static_cast<uint8_t>(code << place.shift);
    }
  }
}

void TscHeadDecode(const TscShape& shape, uint32_t first,
                   const uint8_t* reference, float scale, const uint8_t* codes,
                   uint8_t* row) {
  const auto put = [&](uint32_t c, int32_t code) {
    const float value =
        Load(shape.dtype, reference, c) + static_cast<float>(code) * scale;
    Store(shape.dtype, value, row, c);
  };
  if (shape.bits == 8) {
    for (uint32_t c = first; c < shape.dim; ++c) {
      put(c, static_cast<int8_t>(codes[c]));
    }
    return;
  }
  for (uint32_t block = first; block < shape.dim; block += kTscBlock) {
    const uint32_t size = std::min(shape.dim - block, kTscBlock);
    for (uint32_t c = 0; c < size; ++c) {
      const Nibble place = PlaceOf(c, size);
      const int32_t code = codes[block / 2 + place.byte] >> place.shift & 15;
      put(block + c, code < 8 ? code : code - 16);
    }
  }
}

void TscScalesScalar(const float* largest, uint64_t count, int32_t max_code,
                     uint8_t* scales) {
  for (uint64_t i = 0; i < count; ++i) {
    StoreLe(scales + 2 * i, TscScale(largest[i], max_code));
  }
}

void TscLargestScalar(const TscShape& shape, const uint8_t* row,
                      const uint8_t* reference, float* largest) {
  const uint64_t head_bytes = uint64_t{shape.dim} * DTypeBytes(shape.dtype);
  for (uint32_t h = 0; h < shape.heads; ++h) {
    largest[h] = TscHeadLargest(
        shape, 0, row + h * head_bytes,
        reference == nullptr ? nullptr : reference + h * head_bytes);
  }
}

void TscEncodeScalar(const TscShape& shape, const uint8_t* row,
                     const uint8_t* reference, const float* scales,
                     uint8_t* codes) {
  const uint64_t head_bytes = uint64_t{shape.dim} * DTypeBytes(shape.dtype);
  for (uint32_t h = 0; h < shape.heads; ++h) {
    TscHeadEncode(shape, 0, row + h * head_bytes, reference + h * head_bytes,
                  scales[h], codes + h * shape.head_code_bytes());
  }
}

void TscDecodeScalar(const TscShape& shape, const uint8_t* reference,
                     const float* scales, const uint8_t* codes, uint8_t* row) {
  const uint64_t head_bytes = uint64_t{shape.dim} * DTypeBytes(shape.dtype);
  for (uint32_t h = 0; h < shape.heads; ++h) {
    TscHeadDecode(shape, 0, reference + h * head_bytes, scales[h],
                  codes + h * shape.head_code_bytes(), row + h * head_bytes);
  }
}

}  // namespace reprise
