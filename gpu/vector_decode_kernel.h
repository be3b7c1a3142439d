// `vq` and `pq` on a device: codes to rows (docs/format/codecs/vq.md, pq.md).
//
// What a code stands for was worked out once for the profile; here it is looked
// up and copied. A task is a head of a frame, or as many of its blocks as have
// tables that fit into shared memory together; tasks are sorted by table, and a
// block of threads takes neighbours, so that in a batch of many frames a table
// is loaded once for several of them. What bounds it is the memory that rows
// are written to; in a batch of one frame, of `pq`, the tables, which are four
// times as large as a head's rows.
#ifndef REPRISE_GPU_VECTOR_DECODE_KERNEL_H_
#define REPRISE_GPU_VECTOR_DECODE_KERNEL_H_

#include <cstdint>

#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/wide_memory.h"

namespace reprise {

// Blocks [block_first, block_first + block_count) of one head of one frame. The
// host has checked masks and sizes: pointers and strides are its words. Codes
// have no more bits than there are entries for, so any byte is a code.
struct VectorDecodeTask {
  const uint8_t* table = nullptr;  // the first block's entries; a multiple of 4
  const uint8_t* codes = nullptr;  // the head's, of its first coded token
  const uint8_t* raw_rows = nullptr;  // of its first raw token
  uint64_t raw = 0;                   // a mask of tokens
  uint32_t rows = 0;                  // index
  uint32_t head = 0;                  // of those wanted
  uint32_t table_bytes = 0;           // at most kTableBytes, a multiple of 4
  uint32_t block_stride = 0;          // from one block's entries to the next's
  uint32_t block_first = 0;
  uint32_t block_count = 0;
  uint32_t full_blocks = 0;  // of the head; the one after them is shorter
  uint32_t entry_bytes = 0;
  uint32_t tail_bytes = 0;   // of the shorter block
  uint32_t tail_stride = 0;  // from one of its entries to the next
  uint32_t code_bytes = 0;   // of a row of codes
  uint32_t bits = 0;         // of a code, 1 to 8
  uint32_t row_bytes = 0;    // of the head
  // Bytes that are moved at once, 2, 4, 8 or 16: they divide all sizes and
  // strides of entries, and either the address of every head's row, where
  // elements are contiguous, or they are an element.
  uint32_t unit_bytes = 0;
};

struct VectorDecodeKernel {
  static constexpr KernelId kId = KernelId::kVectorDecode;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kBlockTasks = 4;
  static constexpr uint32_t kTokens = 64;
  static constexpr uint32_t kTableBytes = 32 << 10;
  using Task = VectorDecodeTask;

  // What a token's row is made of.
  struct Place {
    uint8_t* row = nullptr;
    uint32_t from = 0;  // offset in the codes, or in the raw rows
    uint32_t is_raw = 0;
  };
  struct Shared {
    alignas(16) uint8_t table[kTableBytes];
    Place places[kTokens];
  };

  // So that those with the same table follow each other.
  static bool Before(const Task& a, const Task& b) {
    return reinterpret_cast<uintptr_t>(a.table) <
           reinterpret_cast<uintptr_t>(b.table);
  }

  REPRISE_GPU static uint32_t TokensOf(const GpuRows& rows) {
    return rows.token_count < kTokens ? rows.token_count : kTokens;
  }

  REPRISE_GPU static Place PlaceOf(const Task& task, const GpuRows& rows,
                                   uint32_t t) {
    const uint64_t bit = uint64_t{1} << t;
    const uint32_t raw_before = CountOnes64(task.raw & (bit - 1));
    Place place{.row = rows.Row(t) + task.head * rows.head_stride};
    place.is_raw = (task.raw & bit) != 0 ? 1 : 0;
    place.from = place.is_raw != 0 ? raw_before * task.row_bytes
                                   : (t - raw_before) * task.code_bytes;
    return place;
  }

  // A thread's share of `bytes` bytes, a multiple of 4 as both addresses are.
  REPRISE_GPU static void LoadTable(const uint8_t* from, uint32_t bytes,
                                    uint32_t thread, uint8_t* to) {
    const uint32_t unit =
        (reinterpret_cast<uintptr_t>(from) | bytes) % 16 == 0 ? 16 : 4;
    for (uint32_t at = thread * unit; at < bytes; at += kThreads * unit) {
      if (unit == 16) {
        StoreAligned(to + at, LoadAligned<Quad>(from + at));
      } else {
        StoreAligned(to + at, LoadAligned<uint32_t>(from + at));
      }
    }
  }

  // Code number `index` of a row. Reads a second byte only where it has bits
  // of the code.
  REPRISE_GPU static uint32_t CodeAt(const uint8_t* codes, uint32_t index,
                                     uint32_t bits) {
    const uint8_t* const from = codes + index * bits / 8;
    const uint32_t shift = index * bits % 8;
    uint32_t code = from[0];
    if (shift + bits > 8) code |= uint32_t{from[1]} << 8;
    return code >> shift & ((1u << bits) - 1);
  }

  // A block of every `groups`-th row from `first` on, in units.
  template <typename Unit>
  REPRISE_GPU static void DecodeColumn(const Task& task, const GpuRows& rows,
                                       const Shared* shared, uint32_t index,
                                       uint32_t first, uint32_t groups) {
    const uint32_t block = task.block_first + index;
    const bool is_full = block < task.full_blocks;
    const uint32_t units =
        (is_full ? task.entry_bytes : task.tail_bytes) / sizeof(Unit);
    const uint32_t stride = is_full ? task.entry_bytes : task.tail_stride;
    const uint8_t* const table = shared->table + index * task.block_stride;
    const uint32_t row_at = block * task.entry_bytes;
    // Elements that lie apart are units of their own.
    const bool is_contiguous =
        rows.element_stride == int64_t{rows.element_bytes};
    const int64_t step =
        is_contiguous ? int64_t{sizeof(Unit)} : rows.element_stride;
    const int64_t out_at = row_at / sizeof(Unit) * step;
    const uint32_t tokens = TokensOf(rows);
    for (uint32_t t = first; t < tokens; t += groups) {
      const Place place = shared->places[t];
      uint8_t* const to = place.row + out_at;
      if (place.is_raw != 0) {
        // Raw rows lie at any address.
        const uint8_t* const from = task.raw_rows + place.from + row_at;
        for (uint32_t u = 0; u < units; ++u) {
          Unit unit;
          memcpy(&unit, from + u * sizeof(Unit), sizeof(Unit));
          StoreAligned(to + u * step, unit);
        }
      } else {
        const uint8_t* const entry =
            table + stride * CodeAt(task.codes + place.from, block, task.bits);
        for (uint32_t u = 0; u < units; ++u) {
          StoreAligned(to + u * step,
                       LoadAligned<Unit>(entry + u * sizeof(Unit)));
        }
      }
    }
  }

  // A thread's share: a block of the task's, and some of the tokens.
  template <typename Unit>
  REPRISE_GPU static void DecodeBlocks(const Task& task, const GpuRows& rows,
                                       const Shared* shared, uint32_t thread) {
    const uint32_t count = task.block_count;
    const uint32_t groups = count < kThreads ? kThreads / count : 1;
    for (uint32_t i = thread; i < count * groups; i += kThreads) {
      DecodeColumn<Unit>(task, rows, shared, i % count, i / count, groups);
    }
  }

  REPRISE_GPU static void DecodeTask(const Task& task, const GpuRows& rows,
                                     const Shared* shared, uint32_t thread) {
    if (task.unit_bytes == 16) {
      DecodeBlocks<Quad>(task, rows, shared, thread);
    } else if (task.unit_bytes == 8) {
      DecodeBlocks<uint64_t>(task, rows, shared, thread);
    } else if (task.unit_bytes == 4) {
      DecodeBlocks<uint32_t>(task, rows, shared, thread);
    } else {
      DecodeBlocks<uint16_t>(task, rows, shared, thread);
    }
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    const uint64_t count = args.task_count;
    const auto first =
        static_cast<uint32_t>(count * block.index() / block.count());
    const auto last =
        static_cast<uint32_t>(count * (block.index() + 1) / block.count());
    const uint8_t* loaded = nullptr;
    for (uint32_t i = first; i < last; ++i) {
      const Task& task = args.tasks[i];
      const GpuRows& rows = args.rows[task.rows];
      const bool is_loaded = task.table == loaded;
      loaded = task.table;
      block.Threads([&](uint32_t thread) {
        if (thread < TokensOf(rows)) {
          shared->places[thread] = PlaceOf(task, rows, thread);
        }
        if (is_loaded) return;
        LoadTable(task.table, task.table_bytes, thread, shared->table);
      });
      block.Threads(
          [&](uint32_t thread) { DecodeTask(task, rows, shared, thread); });
    }
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_VECTOR_DECODE_KERNEL_H_
