// How wide a kernel may load and store rows.
#ifndef REPRISE_GPU_ROW_SHAPE_H_
#define REPRISE_GPU_ROW_SHAPE_H_

#include <cstdint>

#include "gpu/executor.h"
#include "gpu/gpu_rows.h"

namespace reprise {

// The largest power of two, at most 16, that divides the address of each head
// of each row; 0 unless the elements of a head are contiguous.
REPRISE_GPU inline uint32_t RowAlignment(const GpuRows& rows) {
  if (rows.element_stride != int64_t{rows.element_bytes}) return 0;
  uint64_t of_all = 16;
  of_all |= reinterpret_cast<uintptr_t>(rows.base);
  of_all |= static_cast<uint64_t>(rows.token_stride);
  if (rows.head_count > 1) of_all |= static_cast<uint64_t>(rows.head_stride);
  if (rows.table32 != nullptr || rows.table64 != nullptr) {
    of_all |= static_cast<uint64_t>(rows.block_stride);
  }
  return static_cast<uint32_t>(of_all & (~of_all + 1));
}

}  // namespace reprise

#endif  // REPRISE_GPU_ROW_SHAPE_H_
