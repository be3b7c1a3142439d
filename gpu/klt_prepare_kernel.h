// Rows on their way into `klt`: keys un-rotated, values less their means and
// times their factors, as the product with a group's matrix wants them, and
// tokens' exponents. What codec/klt_encode.cc does, operation by operation.
#ifndef REPRISE_GPU_KLT_PREPARE_KERNEL_H_
#define REPRISE_GPU_KLT_PREPARE_KERNEL_H_

#include <cmath>
#include <cstdint>

#include "codec/float_element.h"
#include "codec/klt_exponent.h"
#include "codec/klt_step.h"
#include "gpu/executor.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernel.h"
#include "gpu/klt_turns.h"

namespace reprise {

// Tokens that y has room for, whatever a frame has.
inline constexpr uint32_t kKltGpuTokens = 64;

// A plane of a profile's group.
struct KltGpuPlane {
  uint32_t channels;
  uint32_t dim;
  float by_norm;
  uint32_t is_rotated;
};
// A channel of a profile's group.
struct alignas(16) KltGpuChannel {
  float mu;
  float factor;  // of KltAnalysis
  float weight;  // of the regressor
  float unused;
};
// Where a plane's rows are.
struct KltGpuSource {
  uint32_t rows_index = 0;
  DType dtype = DType::kF32;
};

// Up to 32 tokens of one group of a frame.
struct KltPrepareTask {
  const KltGpuPlane* planes = nullptr;      // [plane_count]
  const KltGpuSource* sources = nullptr;    // [plane_count]
  const KltGpuChannel* channels = nullptr;  // [n]
  const KltGpuTurn* turns = nullptr;        // [tokens][turn_pairs]
  float* y = nullptr;                       // [padded][64] channel, token
  float* steps = nullptr;                   // [64] by token
  uint8_t* exponents = nullptr;             // [64] by token
  double step = 1;                          // D
  float constant = 0;                       // of the regressor
  float by_position = 0;                    // likewise
  KltExponentRule rule;
  int32_t shift = 0;
  uint32_t last_stage = 0;
  uint32_t plane_count = 0;
  uint32_t padded = 0;  // channels
  uint32_t turn_pairs = 0;
  uint32_t is_adjacent = 0;     // pairs of channels are, or else halves
  uint32_t first_position = 0;  // of the frame
  uint32_t token_count = 0;     // of the frame
  uint32_t first_token = 0;     // of the task's, in the frame
};

// One block makes 32 tokens, eight threads each: as many as there are sums side
// by side, thread l with channels l, l + 8 ... of a plane. So a warp has eight
// channels of four tokens at a time, reads and writes half a sector of each,
// and finds the other half in L1. The product that follows costs a hundred
// times as much for a wide group.
struct KltPrepareKernel {
  static constexpr KernelId kId = KernelId::kKltPrepare;
  static constexpr uint32_t kThreads = 256;
  static constexpr uint32_t kMinBlocks = 4;
  static constexpr uint32_t kBlockTasks = 1;
  static constexpr uint32_t kTokens = kThreads / kKltRowSums;
  using Task = KltPrepareTask;

  struct Shared {
    // Of the plane at hand: [token][sum].
    float weighted[kTokens][kKltRowSums];
    float squares[kTokens][kKltRowSums];
    double sensitivity[kTokens];
  };

  // A plane in its group.
  struct Place {
    KltGpuPlane plane;
    GpuRows rows;
    DType dtype;
    uint32_t first_channel;
  };

  REPRISE_GPU static float Load(const Place& place, const uint8_t* row,
                                uint32_t head, uint32_t element) {
    return BitsToF32(place.dtype,
                     LoadBits(row + place.rows.OffsetOf(head, element),
                              place.rows.element_bytes));
  }

  // A value, turned back if its plane is rotated. Its partner is loaded for it,
  // and it for its partner.
  REPRISE_GPU static float LoadPlain(const Task& task, const Place& place,
                                     const uint8_t* row, uint32_t token,
                                     uint32_t head, uint32_t element) {
    const float x = Load(place, row, head, element);
    const uint32_t pairs = task.turn_pairs;
    if (place.plane.is_rotated == 0 || element >= 2 * pairs) return x;
    const bool is_adjacent = task.is_adjacent != 0;
    const bool is_first = is_adjacent ? element % 2 == 0 : element < pairs;
    const uint32_t apart = is_adjacent ? 1 : pairs;
    const uint32_t first = is_first ? element : element - apart;
    const KltGpuTurn turn =
        task.turns[uint64_t{token} * pairs + (is_adjacent ? first / 2 : first)];
    const float other =
        Load(place, row, head, is_first ? element + apart : first);
    // Turning by the negated sine.
    return is_first ? fmaf(x, turn.c, other * turn.s)
                    : fmaf(x, turn.c, -(other * turn.s));
  }

  // A thread's share of a plane.
  REPRISE_GPU static void AddPlane(const Task& task, const Place& place,
                                   uint32_t thread, Shared* shared) {
    const uint32_t sum = thread % kKltRowSums;
    const uint32_t token = task.first_token + thread / kKltRowSums;
    float* const y =
        task.y + uint64_t{place.first_channel} * kKltGpuTokens + token;
    const uint32_t channels = place.plane.channels;
    float weighted = 0;
    float squares = 0;
    if (token < task.token_count) {
      const uint8_t* const row = place.rows.Row(token);
      uint32_t head = 0;
      uint32_t element = sum;
      for (uint32_t i = sum; i < channels;
           i += kKltRowSums, element += kKltRowSums) {
        for (; element >= place.plane.dim; element -= place.plane.dim) ++head;
        const float x = LoadPlain(task, place, row, token, head, element);
        const KltGpuChannel of = task.channels[place.first_channel + i];
        const float d = x - of.mu;
        weighted += of.weight * d;
        squares += d * d;
        y[uint64_t{i} * kKltGpuTokens] = d * of.factor;
      }
    } else {
      for (uint32_t i = sum; i < channels; i += kKltRowSums) {
        y[uint64_t{i} * kKltGpuTokens] = 0;
      }
    }
    shared->weighted[thread / kKltRowSums][sum] = weighted;
    shared->squares[thread / kKltRowSums][sum] = squares;
  }

  REPRISE_GPU static void AddSums(const KltGpuPlane& plane, uint32_t token,
                                  Shared* shared) {
    double weighted = 0;
    double squares = 0;
    for (uint32_t l = 0; l < kKltRowSums; ++l) {
      weighted += shared->weighted[token][l];
      squares += shared->squares[token][l];
    }
    shared->sensitivity[token] +=
        KltSensitivityOfPlane(weighted, plane.by_norm, squares);
  }

  REPRISE_GPU static void Finish(const Task& task, uint32_t first_channel,
                                 uint32_t thread, const Shared* shared) {
    // Channels that only pad.
    for (uint32_t i = first_channel + thread / kTokens; i < task.padded;
         i += kKltRowSums) {
      task.y[uint64_t{i} * kKltGpuTokens + task.first_token +
             thread % kTokens] = 0;
    }
    const uint32_t token = task.first_token + thread;
    if (thread >= kTokens || token >= task.token_count) return;
    const uint32_t o = KltExponentOf(task.rule, shared->sensitivity[thread]);
    task.exponents[token] = static_cast<uint8_t>(o);
    task.steps[token] =
        KltStep(task.step, task.last_stage,
                static_cast<int>(o) - kKltMeanExponent + task.shift);
  }

  REPRISE_GPU static void Prepare(const Block& block, const Task& task,
                                  const GpuRows* rows, Shared* shared) {
    block.Threads([&](uint32_t thread) {
      if (thread >= kTokens) return;
      shared->sensitivity[thread] = KltSensitivityOf(
          task.constant, task.by_position,
          uint64_t{task.first_position} + 1 + task.first_token + thread);
    });
    uint32_t first_channel = 0;
    for (uint32_t p = 0; p < task.plane_count; ++p) {
      const Place place{.plane = task.planes[p],
                        .rows = rows[task.sources[p].rows_index],
                        .dtype = task.sources[p].dtype,
                        .first_channel = first_channel};
      block.Threads(
          [&](uint32_t thread) { AddPlane(task, place, thread, shared); });
      block.Threads([&](uint32_t thread) {
        if (thread < kTokens) AddSums(place.plane, thread, shared);
      });
      first_channel += place.plane.channels;
    }
    block.Threads(
        [&](uint32_t thread) { Finish(task, first_channel, thread, shared); });
  }

  REPRISE_GPU static void Run(const Block& block, const TaskArgs<Task>& args,
                              Shared* shared) {
    for (uint32_t i = block.index(); i < args.task_count; i += block.count()) {
      Prepare(block, args.tasks[i], args.rows, shared);
    }
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_PREPARE_KERNEL_H_
