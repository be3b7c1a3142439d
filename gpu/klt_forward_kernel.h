// What `klt` is named after, on a device: the product of a frame's values with
// the inverse of a group's matrix, in f32, and its rounding to coefficients.
// They are the very integers of KltForward and KltQuantise
// (codec/klt_transform_simd.h) on machines that fuse a product and a sum, as
// devices do: each sum is a chain of those from the first channel on.
#ifndef REPRISE_GPU_KLT_FORWARD_KERNEL_H_
#define REPRISE_GPU_KLT_FORWARD_KERNEL_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "gpu/executor.h"
#include "gpu/kernel.h"
#include "gpu/wide_memory.h"

namespace reprise {

// What stands for a strip's sum of magnitudes when one is too large: more than
// all that are not, and so few that 128 strips of them add up.
inline constexpr uint32_t kKltTooLarge = 1u << 20;

// Up to 8 strips of 32 coefficients of one group, all tokens.
struct KltForwardTask {
  const int16_t* weights = nullptr;  // [strips][padded channels][32]
  const float* scales = nullptr;     // [strips][32]
  const float* y = nullptr;          // [padded channels][64 tokens]
  const float* steps = nullptr;      // [64]
  int16_t* q = nullptr;              // [tokens][row_stride], from the first
                                     // strip's first coefficient on
  uint32_t* sums = nullptr;          // [strips][64]: of |q|, or kKltTooLarge
  uint32_t strips = 0;
  uint32_t padded = 0;  // channels, and coefficients from token to token
  uint32_t token_count = 0;
};

// A warp makes a strip: 32 coefficients of 64 tokens, eight by eight in each
// lane's registers, from 16 channels of both in shared memory at a time. For
// every 64 fused operations a lane loads 16 numbers, in four instructions that
// no two lanes' addresses conflict in. So what bounds the kernel is the rate of
// f32: n operations a value. (Tensor cores would sum in another order.) Warps
// of a block find each other's y in L1.
struct KltForwardKernel {
  static constexpr KernelId kId = KernelId::kKltForward;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 2;
  static constexpr uint32_t kBlockTasks = 1;
  static constexpr uint32_t kWarps = kThreads / kWarpLanes;
  static constexpr uint32_t kTokens = 64;
  static constexpr uint32_t kStrip = 32;  // coefficients
  static constexpr uint32_t kPart = 16;   // channels at a time
  static constexpr int32_t kMaxCoefficient = 32767;
  using Task = KltForwardTask;

  // Of a warp.
  struct Tile {
    alignas(16) float y[kPart][kTokens];
    alignas(16) float weights[kPart][kStrip];
    alignas(16) float scales[kStrip];
    // Of |q|, by token: a lane's of the four that share it.
    uint32_t sums[kTokens][4];
  };
  struct Shared {
    Tile tiles[kWarps];
  };

  // A lane's share: coefficients 4 (l mod 4) to + 3, and those 16 further; of
  // tokens 4 (l / 4) to + 3, and those 32 further.
  static constexpr uint32_t kSide = 8;
  struct Sums {
    float of[kSide][kSide];  // coefficient, token
  };
  REPRISE_GPU static constexpr uint32_t CoefficientOf(uint32_t lane,
                                                      uint32_t k) {
    return k / 4 * (kStrip / 2) + lane % 4 * 4 + k % 4;
  }
  REPRISE_GPU static constexpr uint32_t TokenOf(uint32_t lane, uint32_t k) {
    return k / 4 * (kTokens / 2) + lane / 4 * 4 + k % 4;
  }

  // Eight numbers: four, and four that are `apart` further.
  REPRISE_GPU static void LoadEight(const float* from, uint32_t apart,
                                    float* to) {
    REPRISE_UNROLL
    for (uint32_t half = 0; half < 2; ++half) {
      const auto quad = LoadAligned<Quad>(
          reinterpret_cast<const uint8_t*>(from + half * apart));
      REPRISE_UNROLL
      for (uint32_t i = 0; i < 4; ++i) {
        to[4 * half + i] = std::bit_cast<float>(quad.of[i]);
      }
    }
  }

  // Channels `first` to + 15 to the warp's tile.
  REPRISE_GPU static void LoadTile(const Warp& warp, const int16_t* weights,
                                   const float* y, Tile* tile) {
    warp.ForEach([&](uint32_t l) {
      const auto* const from = reinterpret_cast<const uint8_t*>(y);
      auto* const to = reinterpret_cast<uint8_t*>(tile->y);
      REPRISE_UNROLL
      for (uint32_t i = 0; i < sizeof tile->y / sizeof(Quad); i += kWarpLanes) {
        StoreAligned(to + 16 * (i + l), LoadAligned<Quad>(from + 16 * (i + l)));
      }
    });
    warp.ForEach([&](uint32_t l) {
      const auto* const from = reinterpret_cast<const uint8_t*>(weights);
      const uint32_t coefficient = 8 * (l % 4);
      REPRISE_UNROLL
      for (uint32_t i = 0; i < kPart / 8; ++i) {
        const auto quad = LoadAligned<Quad>(from + 16 * (i * kWarpLanes + l));
        float* const to = &tile->weights[8 * i + l / 4][coefficient];
        REPRISE_UNROLL
        for (uint32_t k = 0; k < 8; ++k) {
          const auto weight =
              static_cast<int16_t>(quad.of[k / 2] >> (k % 2 * 16));
          to[k] = static_cast<float>(weight) * tile->scales[coefficient + k];
        }
      }
    });
    warp.Sync();
  }

  REPRISE_GPU static void AddTile(const Warp& warp, uint32_t token_count,
                                  const Tile& tile, Lanes<Sums>* sums) {
    warp.ForEach([&](uint32_t l) {
      if (TokenOf(l, 0) >= token_count) return;
      Sums& of = (*sums)[l];
      REPRISE_UNROLL
      for (uint32_t channel = 0; channel < kPart; ++channel) {
        float weights[kSide];
        float y[kSide];
        LoadEight(&tile.weights[channel][CoefficientOf(l, 0)], kStrip / 2,
                  weights);
        LoadEight(&tile.y[channel][TokenOf(l, 0)], kTokens / 2, y);
        REPRISE_UNROLL
        for (uint32_t j = 0; j < kSide; ++j) {
          FuseRow<kSide>(weights[j], y, of.of[j]);
        }
      }
    });
    warp.Sync();
  }

  // Four coefficients of a token; what they add to its sum.
  REPRISE_GPU static uint32_t Round(const float (&z)[4], float step,
                                    uint8_t* to) {
    uint64_t packed = 0;
    uint32_t sum = 0;
    REPRISE_UNROLL
    for (uint32_t i = 0; i < 4; ++i) {
      const float magnitude = fabsf(z[i]) / step + 0.5f;
      // Not of a NaN either.
      if (!(magnitude < 0x1p15f)) return kKltTooLarge;
      const auto rounded = static_cast<int32_t>(magnitude);
      sum += static_cast<uint32_t>(rounded);
      const int32_t q = std::bit_cast<int32_t>(z[i]) < 0 ? -rounded : rounded;
      packed |= uint64_t{static_cast<uint16_t>(q)} << 16 * i;
    }
    StoreAligned(to, packed);
    return sum;
  }

  // All of a lane's.
  REPRISE_GPU static void RoundLane(const Task& task, uint32_t lane,
                                    const Sums& sums, int16_t* q, Tile* tile) {
    REPRISE_UNROLL
    for (uint32_t t = 0; t < kSide; ++t) {
      const uint32_t token = TokenOf(lane, t);
      uint32_t sum = 0;
      if (token < task.token_count) {
        REPRISE_UNROLL
        for (uint32_t half = 0; half < 2; ++half) {
          const float z[] = {sums.of[4 * half][t], sums.of[4 * half + 1][t],
                             sums.of[4 * half + 2][t],
                             sums.of[4 * half + 3][t]};
          int16_t* const to =
              q + uint64_t{token} * task.padded + CoefficientOf(lane, 4 * half);
          sum += Round(z, task.steps[token], reinterpret_cast<uint8_t*>(to));
        }
      }
      tile->sums[token][lane % 4] = sum;
    }
  }

  REPRISE_GPU static void RunStrip(const Warp& warp, const Task& task,
                                   uint32_t strip, Tile* tile) {
    const int16_t* const weights =
        task.weights + uint64_t{strip} * task.padded * kStrip;
    Lanes<Sums> sums;
    warp.ForEach([&](uint32_t l) {
      tile->scales[l] = task.scales[strip * kStrip + l];
      sums[l] = Sums{};
    });
    warp.Sync();
    for (uint32_t first = 0; first < task.padded; first += kPart) {
      LoadTile(warp, weights + uint64_t{first} * kStrip,
               task.y + uint64_t{first} * kTokens, tile);
      AddTile(warp, task.token_count, *tile, &sums);
    }
    warp.ForEach([&](uint32_t l) {
      RoundLane(task, l, sums[l], task.q + strip * kStrip, tile);
    });
    warp.Sync();
    warp.ForEach([&](uint32_t l) {
      for (uint32_t token = l; token < kTokens; token += kWarpLanes) {
        const uint32_t* const of = tile->sums[token];
        const uint32_t sum = of[0] + of[1] + of[2] + of[3];
        task.sums[strip * kTokens + token] =
            sum < kKltTooLarge ? sum : kKltTooLarge;
      }
    });
    warp.Sync();
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    block.Warps([&](const Warp& warp) {
      for (uint32_t i = block.index(); i < args.task_count;
           i += block.count()) {
        const Task task = args.tasks[i];
        if (warp.index() >= task.strips) continue;
        RunStrip(warp, task, warp.index(), &shared->tiles[warp.index()]);
      }
    });
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_FORWARD_KERNEL_H_
