// llama.cpp's own quantised caches as anchors: the values of a state rounded
// as a context with such cache types would have stored them, and put back.
//
// llama.cpp multiplies each block of a row by a Hadamard matrix before it
// quantises, where 64 divides the head; so does this. Rows go through ggml's
// own quantiser. Not the same as a context that runs with such a cache: there
// the prefill itself reads the rounded values, here every variant changes one
// and the same state.
#ifndef REPRISE_TOOLS_EVAL_LLAMA_ANCHOR_H_
#define REPRISE_TOOLS_EVAL_LLAMA_ANCHOR_H_

#include <span>
#include <string>

#include "base/status.h"
#include "client/kv_layout.h"
#include "codec/model_spec.h"
#include "tools/eval/state_ratios.h"

namespace reprise {

// Size is that of a slot file: rows, cells, heads and token ids.
// kInvalidArgument for a type that ggml does not know or can't quantise to;
// kFailedPrecondition for rows that are no whole blocks of it.
Result<StoredSize> RoundLikeLlama(const std::string& type,
                                  const ModelSpec& spec, const KvView& view,
                                  const KvSink& sink);

// x = H x, H the orthonormal Walsh-Hadamard matrix of x.size(), which is its
// own inverse. REQUIRES: a power of two.
void HadamardTransform(std::span<float> x);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_LLAMA_ANCHOR_H_
