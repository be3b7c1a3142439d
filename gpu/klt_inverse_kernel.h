// Coefficients of `klt` to values: the product with a group's matrix, in
// integers, then the few operations in f32 whose order the format states
// (docs/format/codecs/klt.md, section 2), and rows in the engine's layout.
#ifndef REPRISE_GPU_KLT_INVERSE_KERNEL_H_
#define REPRISE_GPU_KLT_INVERSE_KERNEL_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "codec/float_element.h"
#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/klt_tiles.h"
#include "gpu/klt_turns.h"

namespace reprise {

// Channels of a plane are taken in strips of 32. Two that a rotation turns
// together are a pair, and so are any two of the others; a strip is 16 pairs.
// In a product's fragments both channels of a pair are sums of one lane, and
// lane i of four has pairs 4i to 4i + 3 of the strip (a *quad*), in the four
// products of 8 channels that make a strip.
inline constexpr uint32_t kKltStrip = 32;
inline constexpr uint32_t kKltStripPairs = kKltStrip / 2;
inline constexpr uint32_t kKltQuads = 4;  // of a strip
inline constexpr uint32_t kKltQuadPairs = 4;
// One limb of a strip's part of a row of 32 coefficients: products 0 and 1,
// then 2 and 3, each [32 lanes] of two MmaRight.
inline constexpr uint32_t kKltStripBytes = 1024;

inline constexpr uint16_t kKltNone = 0xffff;

// How the eight channels of a quad lie in their row. In both ordered kinds they
// are of one head.
enum class KltQuadOrder : uint16_t {
  kAny = 0,
  kPairs = 1,   // one after the other, pair by pair
  kHalves = 2,  // first ones of the pairs one after the other; second ones too
};

// What a lane knows of its channels: [pair][first, second]. Those that only pad
// have no head.
struct alignas(16) KltGpuQuad {
  float dec[2 * kKltQuadPairs];
  float mu[2 * kKltQuadPairs];
  uint16_t head[2 * kKltQuadPairs];
  uint16_t element[2 * kKltQuadPairs];  // in the head
  uint16_t turn[kKltQuadPairs];         // by which pair's angle; none
  KltQuadOrder order;
  uint16_t unused[3];
};

// Up to 128 channels of one plane, all tokens.
struct KltInverseTask {
  const uint8_t* coefficients = nullptr;  // KltTiles
  const uint8_t* hi = nullptr;            // [strips][rows] of 1024 bytes
  const uint8_t* lo = nullptr;            // [strips][lead_rows] of 1024 bytes
  const KltGpuQuad* quads = nullptr;      // [strips][4]
  const KltGpuTurn* turns = nullptr;      // [tokens][turn_pairs]
  uint64_t tokens = 0;                    // a mask: those that are written
  uint32_t rows_index = 0;
  uint32_t strips = 0;  // at most 4
  uint32_t rows = 0;    // of coefficients
  uint32_t lead_rows = 0;
  uint32_t turn_pairs = 0;
  uint32_t token_tiles = 0;
  DType dtype = DType::kF32;
  uint32_t unit = 0;
};

// A warp makes 32 tokens x 32 channels, so that of 32 coefficients it loads a
// KiB of each side for 8 products. Eight warps, as two by four, have 64 tokens
// and 128 channels, and find what they share in L1. What bounds the kernel is
// the matrix, which comes from L2 once for each frame (a group's fits there, a
// model's does not: so tasks of one group should be near to each other); at
// coarse tiers, where few tiles of coefficients are not zero, it is the
// stores.
struct KltInverseKernel {
  static constexpr KernelId kId = KernelId::kKltInverse;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 2;
  static constexpr uint32_t kBlockTasks = 1;
  using Task = KltInverseTask;

  static constexpr uint32_t kTiles = 2;     // of 16 tokens, of a warp
  static constexpr uint32_t kProducts = 4;  // of 8 channels, of a strip

  // A thread's values on their way, for which it has no registers: its own are
  // [tile][product][4] at its index.
  struct Shared {
    float values[kTiles * kProducts * 4][kThreads];
  };

  struct Sums {
    Lanes<MmaSums> of[kTiles][kProducts];
  };
  struct alignas(16) TwoRights {
    MmaRight of[2];
  };

  // A warp's share of a task.
  struct Place {
    uint32_t strip;
    uint32_t first_tile;  // of tokens
  };

  // Words of marks of a warp's tiles; 0 where there is no tile.
  REPRISE_GPU static uint32_t Marks(const Task& task, KltLimb limb,
                                    uint32_t tile, uint32_t word) {
    if (tile >= task.token_tiles) return 0;
    return LoadAligned<uint32_t>(task.coefficients +
                                 KltTiles::MarksAt(limb, tile) + 4 * word);
  }

  REPRISE_GPU static bool HasAny(const Task& task, KltLimb limb,
                                 uint32_t first_tile) {
    uint32_t any = 0;
    for (uint32_t w = 0; w < kKltMarkWords; ++w) {
      any |= Marks(task, limb, first_tile, w) |
             Marks(task, limb, first_tile + 1, w);
    }
    return any != 0;
  }

  // Four bits to the low bits of four bytes.
  REPRISE_GPU static uint32_t Spread(uint32_t bits) {
    return (bits & 15) * 0x00204081 & 0x01010101;
  }

  REPRISE_GPU static MmaLeft LoadLeft(KltLimb limb, const uint8_t* tile,
                                      uint32_t lane) {
    MmaLeft left;
    if (limb != KltLimb::kTop) {
      const auto bytes = LoadAligned<KltLaneBytes>(tile + 16 * lane);
      REPRISE_UNROLL
      for (uint32_t i = 0; i < 4; ++i) left.of[i] = bytes.of[i];
      return left;
    }
    const uint32_t shift = lane % 4 * 4;
    const auto upper = LoadAligned<uint32_t>(tile + 4 * (lane / 4));
    const auto lower = LoadAligned<uint32_t>(tile + 4 * (lane / 4 + 8));
    left.of[0] = Spread(upper >> shift);
    left.of[1] = Spread(lower >> shift);
    left.of[2] = Spread(upper >> (16 + shift));
    left.of[3] = Spread(lower >> (16 + shift));
    return left;
  }

  // Adds the products of one row of coefficients.
  REPRISE_GPU static void AddRow(const Warp& warp, const Task& task,
                                 KltLimb limb, uint32_t first_tile,
                                 uint32_t row, const bool (&is_some)[kTiles],
                                 const uint8_t* matrix, Sums* sums) {
    const KltTiles tiles{.token_tiles = task.token_tiles, .rows = task.rows};
    Lanes<TwoRights> right[kProducts / 2];
    REPRISE_UNROLL
    for (uint32_t p = 0; p < kProducts / 2; ++p) {
      warp.ForEach([&](uint32_t l) {
        right[p][l] =
            LoadAligned<TwoRights>(matrix + kKltStripBytes / 2 * p + 16 * l);
      });
    }
    REPRISE_UNROLL
    for (uint32_t m = 0; m < kTiles; ++m) {
      if (!is_some[m]) continue;
      const uint8_t* const tile =
          task.coefficients + tiles.TileAt(limb, first_tile + m, row);
      Lanes<MmaLeft> left;
      warp.ForEach([&](uint32_t l) { left[l] = LoadLeft(limb, tile, l); });
      REPRISE_UNROLL
      for (uint32_t p = 0; p < kProducts; ++p) {
        Lanes<MmaRight> one;
        warp.ForEach([&](uint32_t l) { one[l] = right[p / 2][l].of[p % 2]; });
        warp.MultiplyAdd(left, one, &sums->of[m][p]);
      }
    }
  }

  // Adds the products of one limb of the coefficients, in the first `rows` of
  // 32, with one limb of the matrix, [rows] of 1024 bytes.
  REPRISE_GPU static void AddLimb(const Warp& warp, const Task& task,
                                  KltLimb limb, uint32_t first_tile,
                                  const uint8_t* matrix, uint32_t rows,
                                  Sums* sums) {
    for (uint32_t first = 0; first < rows; first += 32) {
      const uint32_t word = first / 32;
      const uint32_t upper = Marks(task, limb, first_tile, word);
      const uint32_t lower = Marks(task, limb, first_tile + 1, word);
      uint32_t left = upper | lower;
      if (rows - first < 32) left &= (1u << (rows - first)) - 1;
      while (left != 0) {
        const uint32_t bit = LowestOne(left);
        left &= left - 1;
        const bool is_some[] = {(upper >> bit & 1) != 0,
                                (lower >> bit & 1) != 0};
        const uint32_t row = first + bit;
        AddRow(warp, task, limb, first_tile, row, is_some,
               matrix + uint64_t{row} * kKltStripBytes, sums);
      }
    }
  }

  // Products of all limbs of the coefficients. With the format's limits on
  // these, no sum reaches 2^26 on its way.
  REPRISE_GPU static void Multiply(const Warp& warp, const Task& task,
                                   bool has_high, uint32_t first_tile,
                                   const uint8_t* matrix, uint32_t rows,
                                   Sums* sums) {
    REPRISE_UNROLL
    for (uint32_t m = 0; m < kTiles; ++m) {
      REPRISE_UNROLL
      for (uint32_t p = 0; p < kProducts; ++p) {
        warp.ForEach([&](uint32_t l) { sums->of[m][p][l] = MmaSums{}; });
      }
    }
    if (has_high) {
      AddLimb(warp, task, KltLimb::kTop, first_tile, matrix, rows, sums);
      AddLimb(warp, task, KltLimb::kHigh, first_tile, matrix, rows, sums);
      REPRISE_UNROLL
      for (uint32_t m = 0; m < kTiles; ++m) {
        REPRISE_UNROLL
        for (uint32_t p = 0; p < kProducts; ++p) {
          warp.ForEach([&](uint32_t l) {
            REPRISE_UNROLL
            for (uint32_t i = 0; i < 4; ++i) sums->of[m][p][l].of[i] *= 256;
          });
        }
      }
    }
    AddLimb(warp, task, KltLimb::kLow, first_tile, matrix, rows, sums);
  }

  // Which token a lane's sums of tile m are of: i < 2 of the upper, others of
  // the lower one.
  REPRISE_GPU static uint32_t TokenOf(uint32_t first_tile, uint32_t m,
                                      uint32_t half, uint32_t lane) {
    return (first_tile + m) * kKltTileTokens + half * 8 + lane / 4;
  }
  REPRISE_GPU static float StepOf(const Task& task, uint32_t token) {
    return LoadAligned<float>(task.coefficients + KltTiles::StepAt(token));
  }

  REPRISE_GPU static constexpr uint32_t ValueOf(uint32_t m, uint32_t p,
                                                uint32_t i) {
    return (m * kProducts + p) * 4 + i;
  }
  REPRISE_GPU static uint32_t ThreadOf(const Warp& warp, uint32_t lane) {
    return warp.index() * kWarpLanes + lane;
  }

  // fma(low, dec * step * 2^-8, mu).
  REPRISE_GPU static void StartValues(const Warp& warp, const Task& task,
                                      const Place& place, const Sums& low,
                                      Shared* shared) {
    REPRISE_UNROLL
    for (uint32_t p = 0; p < kProducts; ++p) {
      REPRISE_UNROLL
      for (uint32_t m = 0; m < kTiles; ++m) {
        warp.ForEach([&](uint32_t l) {
          const KltGpuQuad& quad = task.quads[place.strip * kKltQuads + l % 4];
          REPRISE_UNROLL
          for (uint32_t i = 0; i < 4; ++i) {
            const uint32_t token = TokenOf(place.first_tile, m, i / 2, l);
            const float scale = quad.dec[2 * p + i % 2] * StepOf(task, token);
            shared->values[ValueOf(m, p, i)][ThreadOf(warp, l)] =
                fmaf(static_cast<float>(low.of[m][p][l].of[i]), scale * 0x1p-8f,
                     quad.mu[2 * p + i % 2]);
          }
        });
      }
    }
  }

  // One token's values of a quad, in the order of its channels.
  struct Eight {
    float of[2 * kKltQuadPairs];
  };

  REPRISE_GPU static void Turn(const Task& task, const KltGpuQuad& quad,
                               uint32_t token, Eight* x) {
    REPRISE_UNROLL
    for (uint32_t p = 0; p < kKltQuadPairs; ++p) {
      if (quad.turn[p] == kKltNone) continue;
      const uint64_t at = uint64_t{token} * task.turn_pairs + quad.turn[p];
      const KltGpuTurn turn = task.turns[at];
      const float x0 = x->of[2 * p];
      const float x1 = x->of[2 * p + 1];
      x->of[2 * p] = fmaf(x0, turn.c, -(x1 * turn.s));
      x->of[2 * p + 1] = fmaf(x1, turn.c, x0 * turn.s);
    }
  }

  // Four elements that lie one after the other.
  REPRISE_GPU static void StoreFour(DType dtype, const float (&x)[4],
                                    uint8_t* to) {
    if (dtype == DType::kF32) {
      KltLaneBytes all;
      REPRISE_UNROLL
      for (uint32_t i = 0; i < 4; ++i)
        all.of[i] = F32ToBitsSaturated(dtype, x[i]);
      StoreAligned(to, all);
      return;
    }
    uint64_t all = 0;
    REPRISE_UNROLL
    for (uint32_t i = 0; i < 4; ++i) {
      all |= uint64_t{F32ToBitsSaturated(dtype, x[i])} << 16 * i;
    }
    StoreAligned(to, all);
  }

  REPRISE_GPU static void Store(const Task& task, const GpuRows& rows,
                                const KltGpuQuad& quad, uint8_t* row,
                                const Eight& x) {
    if (quad.order != KltQuadOrder::kAny &&
        rows.element_stride == int64_t{rows.element_bytes}) {
      if (!rows.HoldsHead(quad.head[0])) return;
      const bool is_halves = quad.order == KltQuadOrder::kHalves;
      uint8_t* const first = row + rows.OffsetOf(quad.head[0], quad.element[0]);
      uint8_t* const second =
          row + rows.OffsetOf(quad.head[0], quad.element[is_halves ? 1 : 4]);
      const uint64_t both = reinterpret_cast<uintptr_t>(first) |
                            reinterpret_cast<uintptr_t>(second);
      if (both % (4 * rows.element_bytes) == 0) {
        const float(&v)[8] = x.of;
        const float a[] = {v[0], is_halves ? v[2] : v[1],
                           is_halves ? v[4] : v[2], is_halves ? v[6] : v[3]};
        const float b[] = {is_halves ? v[1] : v[4], is_halves ? v[3] : v[5],
                           is_halves ? v[5] : v[6], v[7]};
        StoreFour(task.dtype, a, first);
        StoreFour(task.dtype, b, second);
        return;
      }
    }
    REPRISE_UNROLL
    for (uint32_t i = 0; i < 2 * kKltQuadPairs; ++i) {
      if (quad.head[i] == kKltNone || !rows.HoldsHead(quad.head[i])) continue;
      StoreBits(row + rows.OffsetOf(quad.head[i], quad.element[i]),
                rows.element_bytes, F32ToBitsSaturated(task.dtype, x.of[i]));
    }
  }

  // fma(high, dec * step, values), turned, rounded and stored.
  REPRISE_GPU static void Finish(const Warp& warp, const Task& task,
                                 const GpuRows& rows, const Place& place,
                                 const Sums& high, const Shared& shared) {
    REPRISE_UNROLL
    for (uint32_t m = 0; m < kTiles; ++m) {
      REPRISE_UNROLL
      for (uint32_t half = 0; half < 2; ++half) {
        warp.ForEach([&](uint32_t l) {
          const KltGpuQuad& quad = task.quads[place.strip * kKltQuads + l % 4];
          const uint32_t token = TokenOf(place.first_tile, m, half, l);
          if ((task.tokens >> token & 1) == 0) return;
          const float step = StepOf(task, token);
          Eight x;
          REPRISE_UNROLL
          for (uint32_t i = 0; i < 2 * kKltQuadPairs; ++i) {
            const uint32_t at = half * 2 + i % 2;
            const float scale = quad.dec[i] * step;
            x.of[i] =
                fmaf(static_cast<float>(high.of[m][i / 2][l].of[at]), scale,
                     shared.values[ValueOf(m, i / 2, at)][ThreadOf(warp, l)]);
          }
          if (task.turn_pairs != 0) Turn(task, quad, token, &x);
          Store(task, rows, quad, rows.Row(token), x);
        });
      }
    }
  }

  REPRISE_GPU static void RunWarp(const Warp& warp, const Task& task,
                                  const GpuRows& rows, const Place& place,
                                  Shared* shared) {
    const bool has_high = HasAny(task, KltLimb::kHigh, place.first_tile);
    Sums sums;
    Multiply(warp, task, has_high, place.first_tile,
             task.lo + uint64_t{place.strip} * task.lead_rows * kKltStripBytes,
             task.lead_rows, &sums);
    StartValues(warp, task, place, sums, shared);
    Multiply(warp, task, has_high, place.first_tile,
             task.hi + uint64_t{place.strip} * task.rows * kKltStripBytes,
             task.rows, &sums);
    Finish(warp, task, rows, place, sums, *shared);
  }

  // What the other kernel found damaged is left alone: only what it found
  // whole keeps the limits.
  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    block.Warps([&](const Warp& warp) {
      const Place place{.strip = warp.index() / 2,
                        .first_tile = warp.index() % 2 * kTiles};
      for (uint32_t i = block.index(); i < args.task_count;
           i += block.count()) {
        // A copy: products and stores would have it read again each time.
        const Task task = args.tasks[i];
        if (args.damage[task.unit] != 0 || place.strip >= task.strips ||
            place.first_tile >= task.token_tiles) {
          continue;
        }
        const GpuRows rows = args.rows[task.rows_index];
        RunWarp(warp, task, rows, place, shared);
      }
    });
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_INVERSE_KERNEL_H_
