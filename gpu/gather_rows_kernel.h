// Rows of an engine's cache, packed: all of `raw`, what other codecs store raw,
// and what the host encodes of a cache that lies on a device. The way back is
// copy_rows_kernel.h.
//
// Bound by the bus to the host, which the rows cross as they are; a few hundred
// warps are enough to keep it busy.
#ifndef REPRISE_GPU_GATHER_ROWS_KERNEL_H_
#define REPRISE_GPU_GATHER_ROWS_KERNEL_H_

#include <cstdint>

#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/wide_memory.h"

namespace reprise {

//   out  [token_count, row_bytes]  bytes, at a multiple of 16 where `is_wide`,
//                                  else of an element
//
// With `mask` only the tokens in it, one behind the other; `out` is then where
// the first of the frame's goes.
//
// One warp a task, so a task should be short: a few tokens.
struct GatherRowsTask {
  uint8_t* out = nullptr;
  // On the device: what kernels before this one found. Null: all.
  const uint64_t* mask = nullptr;
  uint32_t row_bytes = 0;  // of all heads
  uint32_t rows = 0;       // index
  uint32_t token_first = 0;
  uint32_t token_count = 0;
  // A head's elements lie side by side, at multiples of 16 bytes.
  bool is_wide = false;
};

struct GatherRowsKernel {
  static constexpr KernelId kId = KernelId::kGatherRows;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kBlockTasks = kThreads / kWarpLanes;
  using Task = GatherRowsTask;
  struct Shared {};

  // Calls copy(offset in the packed row, address) for every `step` bytes.
  template <typename Copy>
  REPRISE_GPU static void ForEachPiece(const Warp& warp, const Task& task,
                                       const GpuRows& rows, uint32_t step,
                                       const uint8_t* from, Copy copy) {
    const uint32_t head_bytes = rows.dim * rows.element_bytes;
    for (uint32_t first = 0; first < task.row_bytes;
         first += step * kWarpLanes) {
      warp.ForEach([&](uint32_t l) {
        const uint32_t at = first + l * step;
        if (at >= task.row_bytes) return;
        const uint32_t element = at % head_bytes / rows.element_bytes;
        copy(at, from + rows.OffsetOf(at / head_bytes, element));
      });
    }
  }

  REPRISE_GPU static void Gather(const Warp& warp, const Task& task,
                                 const GpuRows& rows) {
    const uint64_t mask = task.mask != nullptr ? *task.mask : 0;
    for (uint32_t t = 0; t < task.token_count; ++t) {
      const uint32_t token = task.token_first + t;
      uint32_t index = t;
      if (task.mask != nullptr) {
        if ((mask >> token & 1) == 0) continue;
        index = CountOnes64(mask & ((uint64_t{1} << token) - 1));
      }
      const uint8_t* const from = rows.Row(token);
      uint8_t* const to = task.out + uint64_t{index} * task.row_bytes;
      if (task.is_wide) {
        ForEachPiece(warp, task, rows, sizeof(Quad), from,
                     [&](uint32_t at, const uint8_t* piece) {
                       StoreAligned(to + at, LoadAligned<Quad>(piece));
                     });
      } else {
        const uint32_t bytes = rows.element_bytes;
        ForEachPiece(warp, task, rows, bytes, from,
                     [&](uint32_t at, const uint8_t* element) {
                       StoreBits(to + at, bytes, LoadBits(element, bytes));
                     });
      }
    }
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared*) {
    block.Warps([&](const Warp& warp) {
      const uint32_t warps = block.threads() / kWarpLanes;
      for (uint32_t i = block.index() * warps + warp.index();
           i < args.task_count; i += block.count() * warps) {
        const Task task = args.tasks[i];
        const GpuRows rows = args.rows[task.rows];
        Gather(warp, task, rows);
      }
    });
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_GATHER_ROWS_KERNEL_H_
