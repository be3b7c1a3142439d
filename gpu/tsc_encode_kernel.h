// `tsc` on a device, the other way: rows to sections, byte for byte those of
// the encoder in codec/tsc_encode.cc.
//
// One block a section. Whether a row is a delta depends on the rows before it,
// so they are sorted in rounds: each warp measures one of the next rows against
// the last reference, and one thread takes their verdicts in order, up to the
// next reference. Most rows are deltas; then a round is as many rows as there
// are warps, and what bounds it is how soon rows come from memory: each is
// read twice, the second time for its codes, and some of those from L2.
#ifndef REPRISE_GPU_TSC_ENCODE_KERNEL_H_
#define REPRISE_GPU_TSC_ENCODE_KERNEL_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "codec/float_element.h"
#include "codec/tsc_kernel.h"
#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/wide_memory.h"

namespace reprise {

// A slice of one frame.
//
//   out      the section, at a multiple of 16: header, raw rows, scales, codes;
//            its size follows from its header
//   largest  [64, heads]  scratch: of each token and head the largest |delta|
//   scales   [64 * heads, rounded up to 8]  scratch, at a multiple of 16
//
// REQUIRES: kept has a bit only for tokens that there are rows of.
struct TscEncodeTask {
  uint8_t* out = nullptr;
  uint32_t* largest = nullptr;
  uint16_t* scales = nullptr;
  uint64_t kept = 0;
  uint32_t rows = 0;  // index; all heads of the slice
  uint32_t kappa = 64;
  float delta_limit = 0;      // rows with a larger delta are raw
  float reference_limit = 0;  // no row leans on one with a larger value
  DType dtype = DType::kF16;
  uint8_t bits = 4;
  uint8_t page = 0;  // as in the header: 0 token, 1 segment, 2 layer
  bool is_raw = false;
  // Elements are contiguous and heads of rows aligned to 16 bytes, in memory
  // and packed; where there are deltas, dim is divisible by 8, with 4 bits by
  // 16.
  bool is_wide = false;
};

struct TscEncodeKernel {
  static constexpr KernelId kId = KernelId::kTscEncode;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kBlockTasks = 1;
  static constexpr uint32_t kTokens = 64;
  static constexpr uint32_t kHeaderBytes = 32;
  static constexpr uint32_t kNone = kTokens;  // no token
  using Task = TscEncodeTask;

  struct Shared {
    const uint8_t* row[kTokens];
    // Magnitudes, as their bits: those that are not finite are the largest.
    uint32_t row_delta[kTokens];
    uint32_t row_value[kTokens];
    // While rows are sorted.
    uint64_t left;  // of those kept: not yet sorted
    uint64_t raw;
    uint64_t reference;
    uint32_t last_reference;
    uint32_t can_lean;  // whether rows may lean on it
    // Then: what stands where.
    uint32_t raw_token[kTokens];
    uint32_t delta_token[kTokens];
    uint32_t lean_token[kTokens];  // by delta: what it leans on
    uint32_t raw_count;
    uint32_t delta_count;
    uint32_t scale_count;
    uint32_t scales_at;
    uint32_t codes_at;
  };

  // Some channels of a row, as f32: four of a dtype, or one of any.
  template <DType kType>
  struct Quartet {
    static constexpr uint32_t kChannels = 4;
    REPRISE_GPU static void Load(const Task&, const GpuRows&,
                                 const uint8_t* from, float* values) {
      LoadFloats<kType, kChannels>(from, values);
    }
  };
  struct Single {
    static constexpr uint32_t kChannels = 1;
    REPRISE_GPU static void Load(const Task& task, const GpuRows& rows,
                                 const uint8_t* from, float* values) {
      values[0] = BitsToF32(task.dtype, LoadBits(from, rows.element_bytes));
    }
  };

  REPRISE_GPU static uint32_t Larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
  }
  REPRISE_GPU static uint32_t Magnitude(float value) {
    return std::bit_cast<uint32_t>(value) & 0x7fffffff;
  }
  REPRISE_GPU static bool IsFinite(uint32_t magnitude) {
    return magnitude < 0x7f800000;
  }
  REPRISE_GPU static uint32_t LowestToken(uint64_t mask) {
    return CountOnes64((mask & (~mask + 1)) - 1);
  }
  REPRISE_GPU static uint64_t IntervalOf(uint32_t kappa, uint32_t token) {
    const uint64_t tokens =
        kappa == 64 ? ~uint64_t{0} : (uint64_t{1} << kappa) - 1;
    return tokens << token / kappa * kappa;
  }
  REPRISE_GPU static uint32_t HeadCodeBytes(const Task& task, uint32_t dim) {
    return task.bits == 8 ? dim : (dim + 1) / 2;
  }
  REPRISE_GPU static constexpr uint32_t RoundUp16(uint32_t bytes) {
    return (bytes + 15) / 16 * 16;
  }

  // ---- Sorting.

  REPRISE_GPU static void Start(const Task& task, const GpuRows& rows,
                                uint32_t thread, Shared* shared) {
    if (thread < kTokens && thread < rows.token_count) {
      shared->row[thread] = rows.Row(thread);
    }
    if (thread != 0) return;
    shared->left = task.is_raw ? 0 : task.kept;
    shared->raw = task.is_raw ? task.kept : 0;
    shared->reference = 0;
    shared->last_reference = kNone;
    shared->can_lean = 0;
  }

  // The largest |x| of a row, and of each head the largest |x - r|.
  template <typename Piece>
  REPRISE_GPU static void Measure(const Warp& warp, const Task& task,
                                  const GpuRows& rows, uint32_t token,
                                  Shared* shared) {
    constexpr uint32_t kChannels = Piece::kChannels;
    const uint8_t* row = shared->row[token];
    const uint8_t* lean =
        shared->can_lean != 0 ? shared->row[shared->last_reference] : nullptr;
    Lanes<uint32_t> value;
    warp.ForEach([&](uint32_t l) { value[l] = 0; });
    uint32_t row_delta = 0;
    for (uint32_t h = 0; h < rows.head_count; ++h) {
      Lanes<uint32_t> delta;
      warp.ForEach([&](uint32_t l) {
        delta[l] = 0;
        for (uint32_t c = l * kChannels; c < rows.dim;
             c += kWarpLanes * kChannels) {
          const int64_t at = h * rows.head_stride + c * rows.element_stride;
          float x[kChannels];
          Piece::Load(task, rows, row + at, x);
          for (uint32_t i = 0; i < kChannels; ++i) {
            value[l] = Larger(value[l], Magnitude(x[i]));
          }
          if (lean == nullptr) continue;
          float r[kChannels];
          Piece::Load(task, rows, lean + at, r);
          for (uint32_t i = 0; i < kChannels; ++i) {
            delta[l] = Larger(delta[l], Magnitude(x[i] - r[i]));
          }
        }
      });
      const uint32_t largest = warp.Max(delta);
      row_delta = Larger(row_delta, largest);
      warp.ForEach([&](uint32_t l) {
        if (l == 0) task.largest[token * rows.head_count + h] = largest;
      });
    }
    const uint32_t row_value = warp.Max(value);
    warp.ForEach([&](uint32_t l) {
      if (l != 0) return;
      shared->row_delta[token] = row_delta;
      shared->row_value[token] = row_value;
    });
  }

  // A warp's row of this round, if there is one.
  REPRISE_GPU static void MeasureNext(const Warp& warp, const Task& task,
                                      const GpuRows& rows, Shared* shared) {
    uint64_t left = shared->left;
    for (uint32_t i = 0; i < warp.index(); ++i) left &= left - 1;
    if (left == 0) return;
    const uint32_t token = LowestToken(left);
    if (!task.is_wide) {
      Measure<Single>(warp, task, rows, token, shared);
    } else if (task.dtype == DType::kF32) {
      Measure<Quartet<DType::kF32>>(warp, task, rows, token, shared);
    } else if (task.dtype == DType::kBf16) {
      Measure<Quartet<DType::kBf16>>(warp, task, rows, token, shared);
    } else {
      Measure<Quartet<DType::kF16>>(warp, task, rows, token, shared);
    }
  }

  // One thread: what the measured rows are, up to the first that those behind
  // it were to be measured against.
  REPRISE_GPU static void TakeVerdicts(const Task& task, Shared* shared) {
    for (uint32_t i = 0; i < kThreads / kWarpLanes; ++i) {
      if (shared->left == 0) return;
      const uint32_t token = LowestToken(shared->left);
      const uint64_t bit = uint64_t{1} << token;
      shared->left &= ~bit;
      const bool is_scheduled =
          (shared->reference & IntervalOf(task.kappa, token)) == 0;
      if (!is_scheduled && shared->can_lean != 0 &&
          std::bit_cast<float>(shared->row_delta[token]) <= task.delta_limit) {
        continue;
      }
      shared->raw |= bit;
      const uint32_t value = shared->row_value[token];
      if (!IsFinite(value)) continue;  // nothing can lean on it
      shared->reference |= bit;
      shared->last_reference = token;
      shared->can_lean =
          std::bit_cast<float>(value) <= task.reference_limit ? 1 : 0;
      return;
    }
  }

  // ---- Laying out.

  // Token `thread`'s place among raw rows or deltas.
  REPRISE_GPU static void PlaceToken(const Task& task, uint32_t thread,
                                     Shared* shared) {
    if (thread >= kTokens || (task.kept >> thread & 1) == 0) return;
    const uint64_t below = (uint64_t{1} << thread) - 1;
    if ((shared->raw >> thread & 1) != 0) {
      shared->raw_token[CountOnes64(shared->raw & below)] = thread;
      return;
    }
    uint64_t bit = (below + 1) >> 1;
    while (bit > 1 && (shared->reference & bit) == 0) bit >>= 1;
    const uint32_t index = CountOnes64(task.kept & ~shared->raw & below);
    shared->delta_token[index] = thread;
    shared->lean_token[index] = LowestToken(bit);
  }

  REPRISE_GPU static void LayOut(const Task& task, const GpuRows& rows,
                                 Shared* shared) {
    const uint32_t deltas = CountOnes64(task.kept & ~shared->raw);
    shared->raw_count = CountOnes64(shared->raw);
    shared->delta_count = deltas;
    uint32_t scales = deltas;
    if (task.page == 0) scales = deltas * rows.head_count;
    if (task.page == 1) scales = deltas == 0 ? 0 : rows.head_count;
    shared->scale_count = scales;
    shared->scales_at =
        RoundUp16(kHeaderBytes + shared->raw_count * rows.head_count *
                                     rows.dim * rows.element_bytes);
    shared->codes_at = RoundUp16(shared->scales_at + 2 * scales);
  }

  REPRISE_GPU static uint16_t ScaleOf(const Task& task, uint32_t heads,
                                      uint32_t index, const Shared* shared) {
    uint32_t largest = 0;
    if (task.page == 0) {
      largest = task.largest[shared->delta_token[index / heads] * heads +
                             index % heads];
    } else if (task.page == 2) {
      largest = shared->row_delta[shared->delta_token[index]];
    } else {
      for (uint32_t i = 0; i < shared->delta_count; ++i) {
        largest = Larger(largest,
                         task.largest[shared->delta_token[i] * heads + index]);
      }
    }
    return TscScale(std::bit_cast<float>(largest), (1 << (task.bits - 1)) - 1);
  }

  // Scales, and zeros up to where codes start.
  REPRISE_GPU static void MakeScales(const Task& task, const GpuRows& rows,
                                     uint32_t thread, const Shared* shared) {
    const uint32_t room = (shared->codes_at - shared->scales_at) / 2;
    for (uint32_t i = thread; i < room; i += kThreads) {
      task.scales[i] = i < shared->scale_count
                           ? ScaleOf(task, rows.head_count, i, shared)
                           : uint16_t{0};
    }
  }

  // ---- Writing.

  REPRISE_GPU static void WriteHeader(const Task& task, uint32_t thread,
                                      const Shared* shared) {
    if (thread != 0) return;
    const uint64_t words[4] = {task.kept, shared->raw, shared->reference,
                               uint64_t{task.kappa} | uint64_t{task.page} << 8};
    for (uint32_t i = 0; i < 4; ++i) StoreAligned(task.out + 8 * i, words[i]);
  }

  template <typename Unit>
  REPRISE_GPU static void WriteRawUnits(const GpuRows& rows, uint32_t thread,
                                        const Shared* shared, uint8_t* out) {
    const uint32_t head_units = rows.dim * rows.element_bytes / sizeof(Unit);
    const uint32_t row_units = rows.head_count * head_units;
    const int64_t step = sizeof(Unit) > rows.element_bytes
                             ? int64_t{sizeof(Unit)}
                             : rows.element_stride;
    for (uint32_t i = thread; i < shared->raw_count * row_units;
         i += kThreads) {
      const uint32_t in_row = i % row_units;
      const uint8_t* const from =
          shared->row[shared->raw_token[i / row_units]] +
          in_row / head_units * rows.head_stride + in_row % head_units * step;
      StoreAligned(out + uint64_t{i} * sizeof(Unit), LoadAligned<Unit>(from));
    }
  }

  // Raw rows, and zeros up to where scales start.
  REPRISE_GPU static void WriteRaw(const Task& task, const GpuRows& rows,
                                   uint32_t thread, const Shared* shared) {
    uint8_t* const out = task.out + kHeaderBytes;
    if (task.is_wide) {
      WriteRawUnits<Quad>(rows, thread, shared, out);
    } else if (rows.element_bytes == 4) {
      WriteRawUnits<uint32_t>(rows, thread, shared, out);
    } else if (rows.element_bytes == 2) {
      WriteRawUnits<uint16_t>(rows, thread, shared, out);
    } else {
      WriteRawUnits<uint8_t>(rows, thread, shared, out);
    }
    const uint32_t end = kHeaderBytes + shared->raw_count * rows.head_count *
                                            rows.dim * rows.element_bytes;
    if (end + thread < shared->scales_at) task.out[end + thread] = 0;
  }

  REPRISE_GPU static void WriteScales(const Task& task, uint32_t thread,
                                      const Shared* shared) {
    const auto* const from = reinterpret_cast<const uint8_t*>(task.scales);
    uint8_t* const out = task.out + shared->scales_at;
    const uint32_t bytes = shared->codes_at - shared->scales_at;
    for (uint32_t at = 16 * thread; at < bytes; at += 16 * kThreads) {
      StoreAligned(out + at, LoadAligned<Quad>(from + at));
    }
  }

  REPRISE_GPU static float InverseScale(const Task& task, uint32_t heads,
                                        uint32_t delta, uint32_t head) {
    const uint32_t index = task.page == 0   ? delta * heads + head
                           : task.page == 1 ? head
                                            : delta;
    const float scale = F16ToF32(task.scales[index]);
    return scale == 0 ? 0 : 1 / scale;
  }
  REPRISE_GPU static uint32_t CodeOf(float x, float r, float inverse) {
    return static_cast<uint32_t>(
        static_cast<int32_t>(rintf((x - r) * inverse)));
  }

  // Where a byte of a head's 4-bit codes has its channels from: that in the low
  // nibble, and how far behind it that in the high one is.
  struct Nibbles {
    uint32_t low = 0;
    uint32_t half = 0;
    bool has_high = true;
  };
  REPRISE_GPU static Nibbles NibblesOf(uint32_t byte, uint32_t dim) {
    const uint32_t block = byte / 16 * 32;
    const uint32_t size = dim - block < 32 ? dim - block : 32;
    Nibbles nibbles{.low = block + byte % 16, .half = (size + 1) / 2};
    nibbles.has_high = byte % 16 + nibbles.half < size;
    return nibbles;
  }

  // Eight bytes of codes of a head, or one.
  template <DType kType>
  struct WideCodes {
    static constexpr uint32_t kBytes = 8;
    REPRISE_GPU static uint64_t Octet(const uint8_t* row, const uint8_t* lean,
                                      uint32_t channel, float inverse) {
      constexpr uint32_t kElement = kType == DType::kF32 ? 4 : 2;
      float x[kBytes];
      float r[kBytes];
      LoadFloats<kType, kBytes>(row + channel * kElement, x);
      LoadFloats<kType, kBytes>(lean + channel * kElement, r);
      uint64_t codes = 0;
      for (uint32_t i = 0; i < kBytes; ++i) {
        codes |= uint64_t{CodeOf(x[i], r[i], inverse) & 0xff} << 8 * i;
      }
      return codes;
    }
    REPRISE_GPU static void Write(const Task& task, const GpuRows& rows,
                                  const uint8_t* row, const uint8_t* lean,
                                  uint32_t byte, float inverse, uint8_t* out) {
      if (task.bits == 8) {
        StoreAligned(out, Octet(row, lean, byte, inverse));
        return;
      }
      constexpr uint64_t kLow = 0x0f0f0f0f0f0f0f0f;
      const Nibbles nibbles = NibblesOf(byte, rows.dim);
      const uint64_t low = Octet(row, lean, nibbles.low, inverse);
      const uint64_t high =
          Octet(row, lean, nibbles.low + nibbles.half, inverse);
      StoreAligned(out, (low & kLow) | (high & kLow) << 4);
    }
  };
  struct OneCode {
    static constexpr uint32_t kBytes = 1;
    REPRISE_GPU static uint32_t Code(const Task& task, const GpuRows& rows,
                                     const uint8_t* row, const uint8_t* lean,
                                     uint32_t channel, float inverse) {
      const int64_t at = channel * rows.element_stride;
      float x = 0;
      float r = 0;
      Single::Load(task, rows, row + at, &x);
      Single::Load(task, rows, lean + at, &r);
      return CodeOf(x, r, inverse);
    }
    REPRISE_GPU static void Write(const Task& task, const GpuRows& rows,
                                  const uint8_t* row, const uint8_t* lean,
                                  uint32_t byte, float inverse, uint8_t* out) {
      if (task.bits == 8) {
        *out = static_cast<uint8_t>(Code(task, rows, row, lean, byte, inverse));
        return;
      }
      const Nibbles nibbles = NibblesOf(byte, rows.dim);
      uint32_t codes = Code(task, rows, row, lean, nibbles.low, inverse) & 15;
      if (nibbles.has_high) {
        const uint32_t channel = nibbles.low + nibbles.half;
        codes |= (Code(task, rows, row, lean, channel, inverse) & 15) << 4;
      }
      *out = static_cast<uint8_t>(codes);
    }
  };

  template <typename Codes>
  REPRISE_GPU static void WriteCodesOf(const Task& task, const GpuRows& rows,
                                       uint32_t thread, const Shared* shared) {
    const uint32_t head_items = HeadCodeBytes(task, rows.dim) / Codes::kBytes;
    const uint32_t row_items = rows.head_count * head_items;
    uint8_t* const out = task.out + shared->codes_at;
    for (uint32_t i = thread; i < shared->delta_count * row_items;
         i += kThreads) {
      const uint32_t delta = i / row_items;
      const uint32_t head = i % row_items / head_items;
      const int64_t head_at = head * rows.head_stride;
      Codes::Write(task, rows,
                   shared->row[shared->delta_token[delta]] + head_at,
                   shared->row[shared->lean_token[delta]] + head_at,
                   i % row_items % head_items * Codes::kBytes,
                   InverseScale(task, rows.head_count, delta, head),
                   out + uint64_t{i} * Codes::kBytes);
    }
  }
  REPRISE_GPU static void WriteCodes(const Task& task, const GpuRows& rows,
                                     uint32_t thread, const Shared* shared) {
    if (!task.is_wide) {
      WriteCodesOf<OneCode>(task, rows, thread, shared);
    } else if (task.dtype == DType::kF32) {
      WriteCodesOf<WideCodes<DType::kF32>>(task, rows, thread, shared);
    } else if (task.dtype == DType::kBf16) {
      WriteCodesOf<WideCodes<DType::kBf16>>(task, rows, thread, shared);
    } else {
      WriteCodesOf<WideCodes<DType::kF16>>(task, rows, thread, shared);
    }
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    for (uint32_t i = block.index(); i < args.task_count; i += block.count()) {
      const Task& task = args.tasks[i];
      const GpuRows& rows = args.rows[task.rows];
      block.Threads(
          [&](uint32_t thread) { Start(task, rows, thread, shared); });
      while (shared->left != 0) {
        block.Warps(
            [&](const Warp& warp) { MeasureNext(warp, task, rows, shared); });
        block.Threads([&](uint32_t thread) {
          if (thread == 0) TakeVerdicts(task, shared);
        });
      }
      block.Threads([&](uint32_t thread) {
        PlaceToken(task, thread, shared);
        if (thread == 0) LayOut(task, rows, shared);
      });
      block.Threads(
          [&](uint32_t thread) { MakeScales(task, rows, thread, shared); });
      block.Threads([&](uint32_t thread) {
        WriteHeader(task, thread, shared);
        WriteRaw(task, rows, thread, shared);
        WriteScales(task, thread, shared);
        WriteCodes(task, rows, thread, shared);
      });
    }
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_TSC_ENCODE_KERNEL_H_
