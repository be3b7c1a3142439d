// Do a model's weights predict those of the next layer? For each kind of
// matrix, the Frobenius norm of W(l) - W(l-1) over that of W(l). Coding the
// difference pays only well below 1; matrices that have nothing in common but
// their norm give sqrt(2), about 1.41.
#ifndef REPRISE_TOOLS_WEIGHT_PROBE_H_
#define REPRISE_TOOLS_WEIGHT_PROBE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise {

// One kind of matrix over all pairs of neighbouring layers.
struct WeightDelta {
  std::string kind;     // "attn_q", "ffn_down", ...
  uint32_t pairs = 0;   // of layers with this kind and equal shapes
  uint64_t values = 0;  // of one matrix
  double mean = 0;
  double min = 0;
  double max = 0;
};

// |next - previous| / |next|, summed in f64. 0 where `next` is all zeros.
// REQUIRES: equal sizes.
double DeltaRatio(std::span<const float> previous, std::span<const float> next);

// Of the matrices "blk.L.KIND.weight" of a GGUF file, dequantised; vectors
// (norms, biases) are left out. Memory: the file, and two matrices in f32.
// `progress`, which may be null, is told how many layers are done.
// kNotFound, kDataLoss for what is no GGUF file; kUnimplemented for a type
// that can't be dequantised, with the tensor; kFailedPrecondition when no
// kind stands in two neighbouring layers.
Result<std::vector<WeightDelta>> ProbeWeights(
    const std::string& path,
    const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace reprise

#endif  // REPRISE_TOOLS_WEIGHT_PROBE_H_
