// `tsc` on a device: keyframes and deltas to rows (docs/format/codecs/tsc.md).
//
// One block a section. A thread has one piece of the row, 8 channels where all
// is aligned, else one, and goes through the tokens with it: so the keyframe's
// values stay in registers, and neighbours load and store 8 and 16 bytes side
// by side. What bounds it is the memory that rows are written to: for each
// 16 bytes written 4 to 8 of codes are read, and the keyframe's from L1; of
// instructions there are about 12 a value.
#ifndef REPRISE_GPU_TSC_DECODE_KERNEL_H_
#define REPRISE_GPU_TSC_DECODE_KERNEL_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "codec/float_element.h"
#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/wide_memory.h"

namespace reprise {

// A section of one slice, whose header the host has checked: masks and offsets
// are its words, not what the device finds in the section. Rows of tokens that
// are not kept become zeros.
//
// REQUIRES: raw is a part of kept, reference of raw; a reference stands before
// the first delta; what they and the offsets say lies inside of the section.
struct TscDecodeTask {
  const uint8_t* section = nullptr;
  uint64_t kept = 0;  // masks of tokens
  uint64_t raw = 0;
  uint64_t reference = 0;
  uint32_t raw_at = 0;  // bytes, of the section's parts
  uint32_t scales_at = 0;
  uint32_t codes_at = 0;
  uint32_t rows = 0;   // index
  uint32_t heads = 0;  // of the slice
  // Of a head. Rows without deltas may be told in elements of another size
  // than the slice's when they are wide.
  uint32_t dim = 0;
  uint32_t element_bytes = 0;
  uint32_t scale_row_bytes = 0;   // from one delta's scales to the next's
  uint32_t scale_head_bytes = 0;  // from one head's to the next's
  DType dtype = DType::kF16;      // where there are deltas
  uint8_t bits = 4;               // of a code: 4 or 8
  // Pieces of 8 channels: dim is divisible by 8, with 4 bits by 16; elements
  // have 2 or 4 bytes and are contiguous; all that is written to is aligned to
  // 16 bytes.
  bool is_wide = false;
};

struct TscDecodeKernel {
  static constexpr KernelId kId = KernelId::kTscDecode;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kBlockTasks = 1;
  static constexpr uint32_t kTokens = 64;
  using Task = TscDecodeTask;

  // What a token's row is made of, as offsets in the section; 0 is the
  // section's header, which is nothing that a row is made of.
  struct Place {
    uint8_t* row = nullptr;
    uint32_t from = 0;       // codes, or the row as it is; 0: there is none
    uint32_t reference = 0;  // row; 0: the row is raw
    uint32_t scale = 0;      // of the first head
  };
  struct Shared {
    Place places[kTokens];
  };

  // Where a piece lies: in a row of the engine's, in one of the section's, in
  // a delta's codes, and its head's scale in a delta's.
  struct At {
    int64_t out = 0;
    uint32_t row = 0;
    uint32_t codes = 0;
    uint32_t shift = 0;  // of 4-bit codes in their bytes
    uint32_t scale = 0;
  };

  // Eight channels of a dtype.
  template <DType kType>
  struct Octet {
    static constexpr uint32_t kChannels = 8;
    static constexpr uint32_t kQuads = kType == DType::kF32 ? 2 : 1;

    REPRISE_GPU explicit Octet(const Task& task) : code_bits(task.bits) {}

    REPRISE_GPU void LoadReference(const uint8_t* from) {
      LoadFloats<kType, kChannels>(from, reference);
    }
    REPRISE_GPU void Decode(const uint8_t* codes, uint32_t shift, float scale,
                            uint8_t* to) const {
      const auto packed = LoadAligned<uint64_t>(codes);
      const uint32_t half[2] = {static_cast<uint32_t>(packed) >> shift,
                                static_cast<uint32_t>(packed >> 32) >> shift};
      Quad quads[kQuads];
      for (uint32_t i = 0; i < kChannels; ++i) {
        const uint32_t code = half[i / 4] >> i % 4 * 8;
        const float value =
            fmaf(static_cast<float>(SignedCode(code, code_bits)), scale,
                 reference[i]);
        const uint32_t bits = F32ToBits(kType, value);
        if constexpr (kType == DType::kF32) {
          quads[i / 4].of[i % 4] = bits;
        } else if (i % 2 == 0) {
          quads[0].of[i / 2] = bits;
        } else {
          quads[0].of[i / 2] |= bits << 16;
        }
      }
      for (uint32_t q = 0; q < kQuads; ++q) {
        StoreAligned(to + 16 * q, quads[q]);
      }
    }
    REPRISE_GPU static void Copy(const uint8_t* from, uint8_t* to) {
      for (uint32_t q = 0; q < kQuads; ++q) {
        StoreAligned(to + 16 * q, LoadAligned<Quad>(from + 16 * q));
      }
    }
    REPRISE_GPU static void Clear(uint8_t* to) {
      for (uint32_t q = 0; q < kQuads; ++q) StoreAligned(to + 16 * q, Quad{});
    }

    uint32_t code_bits;
    float reference[kChannels];
  };

  // One channel of any dtype.
  struct Single {
    static constexpr uint32_t kChannels = 1;

    REPRISE_GPU explicit Single(const Task& task)
        : dtype(task.dtype),
          bits(task.bits),
          element_bytes(task.element_bytes) {}

    REPRISE_GPU void LoadReference(const uint8_t* from) {
      reference = BitsToF32(dtype, LoadBits(from, element_bytes));
    }
    REPRISE_GPU void Decode(const uint8_t* codes, uint32_t shift, float scale,
                            uint8_t* to) const {
      const int32_t code = SignedCode(*codes >> shift, bits);
      const float value = fmaf(static_cast<float>(code), scale, reference);
      StoreBits(to, element_bytes, F32ToBits(dtype, value));
    }
    REPRISE_GPU void Copy(const uint8_t* from, uint8_t* to) const {
      StoreBits(to, element_bytes, LoadBits(from, element_bytes));
    }
    REPRISE_GPU void Clear(uint8_t* to) const {
      StoreBits(to, element_bytes, 0);
    }

    DType dtype;
    uint32_t bits;
    uint32_t element_bytes;
    float reference = 0;
  };

  // Of the low 4 or 8 bits.
  REPRISE_GPU static int32_t SignedCode(uint32_t code, uint32_t bits) {
    return static_cast<int32_t>(code << (32 - bits)) >>
           static_cast<int32_t>(32 - bits);
  }
  REPRISE_GPU static uint32_t TokensOf(const GpuRows& rows) {
    return rows.token_count < kTokens ? rows.token_count : kTokens;
  }
  REPRISE_GPU static uint32_t HeadCodeBytes(const Task& task) {
    return task.bits == 8 ? task.dim : (task.dim + 1) / 2;
  }

  REPRISE_GPU static Place PlaceOf(const Task& task, const GpuRows& rows,
                                   uint32_t t) {
    Place place{.row = rows.Row(t)};
    const uint64_t bit = uint64_t{1} << t;
    if ((task.kept & bit) == 0) return place;
    const uint32_t row_bytes = task.heads * task.dim * task.element_bytes;
    const uint32_t raw_rows = CountOnes64(task.raw & (bit - 1));
    if ((task.raw & bit) != 0) {
      place.from = task.raw_at + raw_rows * row_bytes;
      return place;
    }
    uint64_t reference = bit >> 1;
    while (reference != 0 && (task.reference & reference) == 0) reference >>= 1;
    if (reference == 0) return place;
    const uint32_t index = CountOnes64(task.kept & ~task.raw & (bit - 1));
    place.from = task.codes_at + index * task.heads * HeadCodeBytes(task);
    place.reference =
        task.raw_at + CountOnes64(task.raw & (reference - 1)) * row_bytes;
    place.scale = task.scales_at + index * task.scale_row_bytes;
    return place;
  }

  // `head` is of those wanted, `channel` the head's.
  REPRISE_GPU static At AtOf(const Task& task, const GpuRows& rows,
                             uint32_t head, uint32_t channel) {
    const uint32_t own = rows.head_first + head;
    const int64_t step =
        task.is_wide ? int64_t{task.element_bytes} : rows.element_stride;
    At at{.out = head * rows.head_stride + channel * step,
          .row = (own * task.dim + channel) * task.element_bytes,
          .codes = own * HeadCodeBytes(task) + channel,
          .scale = own * task.scale_head_bytes};
    if (task.bits == 8) return at;
    // The first half of a block of 32 in the low nibbles, the second in the
    // high ones; the last block may be shorter.
    const uint32_t in_block = channel % 32;
    const uint32_t left = task.dim - (channel - in_block);
    const uint32_t half = ((left < 32 ? left : 32) + 1) / 2;
    at.codes = own * HeadCodeBytes(task) + (channel - in_block) / 2 + in_block;
    if (in_block >= half) {
      at.codes -= half;
      at.shift = 4;
    }
    return at;
  }

  // A piece of every `groups`-th row from `first` on.
  template <typename Piece>
  REPRISE_GPU static void DecodeColumn(const Task& task, const At& at,
                                       const Place* places, uint32_t first,
                                       uint32_t groups, uint32_t tokens) {
    const uint8_t* const section = task.section;
    Piece piece(task);
    uint32_t held = 0;  // whose reference the piece has
    for (uint32_t t = first; t < tokens; t += groups) {
      const Place place = places[t];
      uint8_t* const to = place.row + at.out;
      if (place.from == 0) {
        piece.Clear(to);
      } else if (place.reference == 0) {
        piece.Copy(section + place.from + at.row, to);
      } else {
        if (place.reference != held) {
          held = place.reference;
          piece.LoadReference(section + held + at.row);
        }
        const auto scale =
            LoadAligned<uint16_t>(section + place.scale + at.scale);
        piece.Decode(section + place.from + at.codes, at.shift, F16ToF32(scale),
                     to);
      }
    }
  }

  template <typename Piece>
  REPRISE_GPU static void DecodePieces(const Task& task, const GpuRows& rows,
                                       const Place* places, uint32_t thread) {
    const uint32_t head_pieces = task.dim / Piece::kChannels;
    const uint32_t row_pieces = rows.head_count * head_pieces;
    const uint32_t groups = row_pieces < kThreads ? kThreads / row_pieces : 1;
    const uint32_t tokens = TokensOf(rows);
    for (uint32_t i = thread; i < row_pieces * groups; i += kThreads) {
      const uint32_t index = i % row_pieces;
      const At at = AtOf(task, rows, index / head_pieces,
                         index % head_pieces * Piece::kChannels);
      DecodeColumn<Piece>(task, at, places, i / row_pieces, groups, tokens);
    }
  }

  REPRISE_GPU static void DecodeRows(const Task& task, const GpuRows& rows,
                                     const Place* places, uint32_t thread) {
    if (!task.is_wide) {
      DecodePieces<Single>(task, rows, places, thread);
    } else if (task.dtype == DType::kF32) {
      DecodePieces<Octet<DType::kF32>>(task, rows, places, thread);
    } else if (task.dtype == DType::kBf16) {
      DecodePieces<Octet<DType::kBf16>>(task, rows, places, thread);
    } else {
      DecodePieces<Octet<DType::kF16>>(task, rows, places, thread);
    }
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    for (uint32_t i = block.index(); i < args.task_count; i += block.count()) {
      // Not copied: what is used of them is told where it is.
      const Task& task = args.tasks[i];
      const GpuRows& rows = args.rows[task.rows];
      block.Threads([&](uint32_t thread) {
        if (thread >= TokensOf(rows)) return;
        shared->places[thread] = PlaceOf(task, rows, thread);
      });
      block.Threads([&](uint32_t thread) {
        DecodeRows(task, rows, shared->places, thread);
      });
    }
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_TSC_DECODE_KERNEL_H_
