// Rows that a frame has as they are, to where the engine wants them: all of
// `raw`, and what other codecs store raw.
//
// Where all is aligned for it, as it is in `raw` and in most caches, 16 bytes
// go at once, and what bounds the kernel is memory; else an element at a time,
// of about 130 instructions for 32.
#ifndef REPRISE_GPU_COPY_ROWS_KERNEL_H_
#define REPRISE_GPU_COPY_ROWS_KERNEL_H_

#include <cstdint>

#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/row_shape.h"
#include "gpu/wide_memory.h"

namespace reprise {

// Packed rows, those of the tokens in `tokens` in ascending order, of channels
// [channel_first, channel_first + channel_count) of the slice.
//
//   from  [tokens, channel_count]  elements; at any address, faster at one
//                                  that suits them
//
// Tokens from rows.token_count on are not written. One warp a task, so a task
// should not be long: a whole slice of one segment, at most.
struct CopyRowsTask {
  const uint8_t* from = nullptr;
  uint64_t from_stride = 0;  // bytes; 0: one element stands for all
  uint64_t tokens = 0;       // a mask
  uint32_t rows = 0;         // index
  uint32_t channel_first = 0;
  uint32_t channel_count = 0;
};

struct CopyRowsKernel {
  static constexpr KernelId kId = KernelId::kCopyRows;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kBlockTasks = kThreads / kWarpLanes;
  using Task = CopyRowsTask;
  struct Shared {};

  // Whether pieces of 16 bytes are whole elements of one head, at multiples of
  // 16 on both sides.
  REPRISE_GPU static bool IsWide(const Task& task, const GpuRows& rows) {
    const uint64_t of_all =
        reinterpret_cast<uintptr_t>(task.from) | task.from_stride |
        task.channel_first * rows.element_bytes |
        task.channel_count * rows.element_bytes | rows.dim * rows.element_bytes;
    return task.from_stride != 0 && of_all % sizeof(Quad) == 0 &&
           RowAlignment(rows) == sizeof(Quad);
  }

  REPRISE_GPU static void CopyWide(const Warp& warp, const Task& task,
                                   const GpuRows& rows, const uint8_t* from,
                                   uint8_t* to) {
    const uint32_t elements = sizeof(Quad) / rows.element_bytes;
    for (uint32_t first = 0; first < task.channel_count;
         first += elements * kWarpLanes) {
      warp.ForEach([&](uint32_t l) {
        const uint32_t c = first + l * elements;
        if (c >= task.channel_count) return;
        const uint32_t channel = task.channel_first + c;
        if (!rows.Holds(channel)) return;
        StoreAligned(to + rows.OffsetOf(channel),
                     LoadAligned<Quad>(from + c * rows.element_bytes));
      });
    }
  }

  REPRISE_GPU static void CopyElements(const Warp& warp, const Task& task,
                                       const GpuRows& rows, const uint8_t* from,
                                       uint8_t* to) {
    const uint32_t bytes = rows.element_bytes;
    for (uint32_t first = 0; first < task.channel_count; first += kWarpLanes) {
      warp.ForEach([&](uint32_t l) {
        const uint32_t c = first + l;
        if (c >= task.channel_count) return;
        const uint32_t channel = task.channel_first + c;
        if (!rows.Holds(channel)) return;
        const uint8_t* const at =
            from + (task.from_stride == 0 ? 0 : uint64_t{c} * bytes);
        StoreBits(to + rows.OffsetOf(channel), bytes,
                  LoadBitsAnywhere(at, bytes));
      });
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
        const bool is_wide = IsWide(task, rows);
        const uint8_t* from = task.from;
        for (uint32_t t = 0; t < rows.token_count; ++t) {
          if ((task.tokens >> t & 1) == 0) continue;
          if (is_wide) {
            CopyWide(warp, task, rows, from, rows.Row(t));
          } else {
            CopyElements(warp, task, rows, from, rows.Row(t));
          }
          from += task.from_stride;
        }
      }
    });
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_COPY_ROWS_KERNEL_H_
