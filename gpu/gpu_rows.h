// Where decoded rows go, as kernels see it: one plane of an engine's cache,
// contiguous or paged, with any strides (client/kv_layout.h has the formula).
#ifndef REPRISE_GPU_GPU_ROWS_H_
#define REPRISE_GPU_GPU_ROWS_H_

#include <cstdint>

#include "gpu/executor.h"

namespace reprise {

// The rows of one slice of a frame, or of the heads of it that are wanted.
// Row t of the frame is number first_slot + t of the plane: with a block table
// it lies in block table[(first_slot + t) / page_tokens].
struct GpuRows {
  // Of the first head wanted; null: the slice is skipped.
  uint8_t* base = nullptr;
  // On the device; both null: contiguous, and page_tokens is not looked at.
  const int32_t* table32 = nullptr;
  const int64_t* table64 = nullptr;
  int64_t block_stride = 0;  // bytes, as all strides
  int64_t token_stride = 0;
  int64_t head_stride = 0;
  int64_t element_stride = 0;
  uint64_t first_slot = 0;
  uint32_t page_tokens = 1;
  uint32_t token_count = 0;  // rows to write
  uint32_t head_first = 0;   // of the slice's heads, those that are wanted
  uint32_t head_count = 0;
  uint32_t dim = 0;
  uint32_t element_bytes = 0;  // 1, 2 or 4

  // Row t. REQUIRES: t < token_count.
  REPRISE_GPU uint8_t* Row(uint32_t t) const {
    const uint64_t slot = first_slot + t;
    if (table32 == nullptr && table64 == nullptr) {
      return base + static_cast<int64_t>(slot) * token_stride;
    }
    const uint64_t index = slot / page_tokens;
    const int64_t block = table32 != nullptr ? table32[index] : table64[index];
    return base + block * block_stride +
           static_cast<int64_t>(slot % page_tokens) * token_stride;
  }

  // Whether a channel of the slice is wanted, and where it lies in its row.
  // REQUIRES, of OffsetOf: it is.
  REPRISE_GPU bool Holds(uint32_t channel) const {
    return channel / dim - head_first < head_count;
  }
  REPRISE_GPU int64_t OffsetOf(uint32_t channel) const {
    return OffsetOf(channel / dim, channel % dim);
  }
  // The same of who knows the channel's head and its place there.
  REPRISE_GPU bool HoldsHead(uint32_t head) const {
    return head - head_first < head_count;
  }
  REPRISE_GPU int64_t OffsetOf(uint32_t head, uint32_t element) const {
    return int64_t{head - head_first} * head_stride +
           int64_t{element} * element_stride;
  }
};

// An element's bits.
REPRISE_GPU inline void StoreBits(uint8_t* to, uint32_t element_bytes,
                                  uint32_t bits) {
  if (element_bytes == 2) {
    StoreAligned(to, static_cast<uint16_t>(bits));
  } else if (element_bytes == 4) {
    StoreAligned(to, bits);
  } else {
    *to = static_cast<uint8_t>(bits);
  }
}
REPRISE_GPU inline uint32_t LoadBits(const uint8_t* from,
                                     uint32_t element_bytes) {
  if (element_bytes == 2) return LoadAligned<uint16_t>(from);
  if (element_bytes == 4) return LoadAligned<uint32_t>(from);
  return *from;
}

// The same from any address.
REPRISE_GPU inline uint32_t LoadBitsAnywhere(const uint8_t* from,
                                             uint32_t element_bytes) {
  if (reinterpret_cast<uintptr_t>(from) % element_bytes == 0) {
    return LoadBits(from, element_bytes);
  }
  uint32_t bits = 0;
  for (uint32_t i = 0; i < element_bytes; ++i) bits |= from[i] << 8 * i;
  return bits;
}

}  // namespace reprise

#endif  // REPRISE_GPU_GPU_ROWS_H_
