// `vq` and `pq` on a device: codes to rows (docs/format/codecs/vq.md, pq.md).
//
// What a code stands for was worked out once for the profile; here it is looked
// up and copied. A task is a slice of a frame. A block of threads goes through
// it in parts, as many heads, or blocks of one, as have tables that fit into
// shared memory together; tasks are sorted by table, so that in a batch of many
// frames a table is loaded once for several of them. What bounds it is the
// memory that rows are written to; in `pq` also the tables, which are four
// times as large as one frame's rows and come from L2.
#ifndef REPRISE_GPU_VECTOR_DECODE_KERNEL_H_
#define REPRISE_GPU_VECTOR_DECODE_KERNEL_H_

#include <cstdint>

#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/wide_memory.h"

namespace reprise {

// One head of one frame: which tokens are raw, and where in the section its
// codes and raw rows begin.
struct VectorHeadPlace {
  uint64_t raw = 0;  // a mask of tokens
  uint32_t codes_at = 0;
  uint32_t raw_at = 0;
};

// The heads of a slice of one frame that are wanted. The host has checked masks
// and sizes: places, offsets and strides are its words. Codes have no more bits
// than there are entries for, so any byte is a code.
struct VectorDecodeTask {
  const uint8_t* table = nullptr;          // the entries; a multiple of 4
  const uint8_t* section = nullptr;        // of codes
  const VectorHeadPlace* heads = nullptr;  // [rows.head_count]
  uint32_t rows = 0;                       // index
  uint32_t head_table_bytes = 0;  // from one head's entries to the next's
  uint32_t block_stride = 0;      // from one block's to the next's
  uint32_t blocks = 0;            // of a head
  uint32_t full_blocks = 0;       // the one after them is shorter
  uint32_t entry_bytes = 0;
  uint32_t tail_bytes = 0;   // of the shorter block
  uint32_t tail_stride = 0;  // from one of its entries to the next
  uint32_t code_bytes = 0;   // of a row of codes
  uint32_t bits = 0;         // of a code, 1 to 8
  uint32_t row_bytes = 0;    // of a head
  // So many heads, or else blocks of one head, have tables that fit into
  // kTableBytes; one of the two is 1, or blocks are all.
  uint32_t part_heads = 1;
  uint32_t part_blocks = 1;
  // Bytes that are moved at once, 2, 4, 8 or 16: they divide all sizes and
  // strides of entries, and either the address of every head's row, where
  // elements are contiguous, or they are an element.
  uint32_t unit_bytes = 0;
};

struct VectorDecodeKernel {
  static constexpr KernelId kId = KernelId::kVectorDecode;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kBlockTasks = 2;
  static constexpr uint32_t kTokens = 64;
  static constexpr uint32_t kTableBytes = 32 << 10;
  // Frames that a table is loaded for at once, at most.
  static constexpr uint32_t kFrames = 4;
  using Task = VectorDecodeTask;

  struct Shared {
    alignas(16) uint8_t table[kTableBytes];
    uint8_t* row[kFrames][kTokens];
  };
  // What of a slice's heads is done at once.
  struct Part {
    uint32_t head_first = 0;
    uint32_t heads = 0;
    uint32_t block_first = 0;
    uint32_t blocks = 0;
  };

  // Tasks whose tables are loaded together.
  struct Frames {
    uint32_t first = 0;
    uint32_t count = 1;
  };

  // So that those with the same table follow each other.
  static bool Before(const Task& a, const Task& b) {
    return reinterpret_cast<uintptr_t>(a.table) <
           reinterpret_cast<uintptr_t>(b.table);
  }

  REPRISE_GPU static uint32_t TokensOf(const GpuRows& rows) {
    return rows.token_count < kTokens ? rows.token_count : kTokens;
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

  // The bytes of a part's tables, which are contiguous.
  REPRISE_GPU static uint32_t TableBytes(const Task& task, const Part& part) {
    if (part.blocks == task.blocks) return part.heads * task.head_table_bytes;
    const uint32_t first = part.block_first * task.block_stride;
    const uint32_t end = (part.block_first + part.blocks) * task.block_stride;
    return (end < task.head_table_bytes ? end : task.head_table_bytes) - first;
  }

  REPRISE_GPU static void LoadPart(const Task& task, const Part& part,
                                   uint32_t thread, Shared* shared) {
    const uint8_t* const from =
        task.table + uint64_t{part.head_first} * task.head_table_bytes +
        part.block_first * task.block_stride;
    LoadTable(from, TableBytes(task, part), thread, shared->table);
  }

  template <typename Unit>
  REPRISE_GPU static void CopyRaw(const uint8_t* from, uint32_t units,
                                  int64_t step, uint8_t* to) {
    // Raw rows lie at any address.
    for (uint32_t u = 0; u < units; ++u) {
      Unit unit;
      memcpy(&unit, from + u * sizeof(Unit), sizeof(Unit));
      StoreAligned(to + u * step, unit);
    }
  }

  // A block of a head of one frame: of every `groups`-th row from `first` on.
  template <typename Unit>
  REPRISE_GPU static void DecodeColumn(const Task& task, const GpuRows& rows,
                                       uint8_t* const* row,
                                       const uint8_t* table, uint32_t head,
                                       uint32_t block, uint32_t first,
                                       uint32_t groups) {
    const VectorHeadPlace place = task.heads[head];
    const uint8_t* const codes = task.section + place.codes_at;
    const bool is_full = block < task.full_blocks;
    const uint32_t units =
        (is_full ? task.entry_bytes : task.tail_bytes) / sizeof(Unit);
    const uint32_t stride = is_full ? task.entry_bytes : task.tail_stride;
    const uint32_t row_at = block * task.entry_bytes;
    // Elements that lie apart are units of their own.
    const bool is_contiguous =
        rows.element_stride == int64_t{rows.element_bytes};
    const int64_t step =
        is_contiguous ? int64_t{sizeof(Unit)} : rows.element_stride;
    const int64_t out_at =
        head * rows.head_stride + row_at / sizeof(Unit) * step;
    const uint32_t tokens = TokensOf(rows);
    for (uint32_t t = first; t < tokens; t += groups) {
      uint8_t* const to = row[t] + out_at;
      const uint64_t bit = uint64_t{1} << t;
      const uint32_t raw_before = CountOnes64(place.raw & (bit - 1));
      if ((place.raw & bit) != 0) {
        const uint32_t at = place.raw_at + raw_before * task.row_bytes + row_at;
        CopyRaw<Unit>(task.section + at, units, step, to);
        continue;
      }
      const uint32_t code =
          CodeAt(codes + (t - raw_before) * task.code_bytes, block, task.bits);
      const uint8_t* const entry = table + stride * code;
      for (uint32_t u = 0; u < units; ++u) {
        StoreAligned(to + u * step,
                     LoadAligned<Unit>(entry + u * sizeof(Unit)));
      }
    }
  }

  // A thread's share of a part of some frames: a block of a head of one of
  // them, and of its tokens all or some.
  template <typename Unit>
  REPRISE_GPU static void DecodeUnits(const TaskArgs<Task>& args,
                                      const Frames& frames, const Part& part,
                                      uint32_t thread, const Shared* shared) {
    const uint32_t columns = part.heads * part.blocks;
    const uint32_t all = frames.count * columns;
    const uint32_t groups = all < kThreads ? kThreads / all : 1;
    for (uint32_t i = thread; i < all * groups; i += kThreads) {
      const uint32_t frame = i % all / columns;
      const uint32_t head = i % columns / part.blocks;
      const uint32_t block = i % part.blocks;
      const Task& task = args.tasks[frames.first + frame];
      DecodeColumn<Unit>(task, args.rows[task.rows], shared->row[frame],
                         shared->table + head * task.head_table_bytes +
                             block * task.block_stride,
                         part.head_first + head, part.block_first + block,
                         i / all, groups);
    }
  }

  REPRISE_GPU static void DecodePart(const TaskArgs<Task>& args,
                                     const Frames& frames, const Part& part,
                                     uint32_t thread, const Shared* shared) {
    const uint32_t unit_bytes = args.tasks[frames.first].unit_bytes;
    if (unit_bytes == 16) {
      DecodeUnits<Quad>(args, frames, part, thread, shared);
    } else if (unit_bytes == 8) {
      DecodeUnits<uint64_t>(args, frames, part, thread, shared);
    } else if (unit_bytes == 4) {
      DecodeUnits<uint32_t>(args, frames, part, thread, shared);
    } else {
      DecodeUnits<uint16_t>(args, frames, part, thread, shared);
    }
  }

  REPRISE_GPU static void DecodeFrames(const Block& block,
                                       const TaskArgs<Task>& args,
                                       const Frames& frames, Shared* shared) {
    const Task& one = args.tasks[frames.first];
    const uint32_t heads = args.rows[one.rows].head_count;
    block.Threads([&](uint32_t thread) {
      for (uint32_t i = thread; i < frames.count * kTokens; i += kThreads) {
        const GpuRows& rows =
            args.rows[args.tasks[frames.first + i / kTokens].rows];
        const uint32_t t = i % kTokens;
        if (t < TokensOf(rows)) shared->row[i / kTokens][t] = rows.Row(t);
      }
    });
    Part part;
    for (; part.head_first < heads; part.head_first += one.part_heads) {
      part.heads = Least(one.part_heads, heads - part.head_first);
      for (part.block_first = 0; part.block_first < one.blocks;
           part.block_first += one.part_blocks) {
        part.blocks = Least(one.part_blocks, one.blocks - part.block_first);
        block.Threads(
            [&](uint32_t thread) { LoadPart(one, part, thread, shared); });
        block.Threads([&](uint32_t thread) {
          DecodePart(args, frames, part, thread, shared);
        });
      }
    }
  }

  REPRISE_GPU static uint32_t Least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
  }

  // Whether two tasks differ in their frame only.
  REPRISE_GPU static bool AreAlike(const TaskArgs<Task>& args, uint32_t a,
                                   uint32_t b) {
    const Task& one = args.tasks[a];
    const Task& other = args.tasks[b];
    return one.table == other.table && one.unit_bytes == other.unit_bytes &&
           args.rows[one.rows].head_count == args.rows[other.rows].head_count;
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    const uint64_t tasks = args.task_count;
    const auto last =
        static_cast<uint32_t>(tasks * (block.index() + 1) / block.count());
    Frames frames{
        .first = static_cast<uint32_t>(tasks * block.index() / block.count())};
    for (; frames.first < last; frames.first += frames.count) {
      frames.count = 1;
      while (frames.count < kFrames && frames.first + frames.count < last &&
             AreAlike(args, frames.first, frames.first + frames.count)) {
        ++frames.count;
      }
      DecodeFrames(block, args, frames, shared);
    }
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_VECTOR_DECODE_KERNEL_H_
