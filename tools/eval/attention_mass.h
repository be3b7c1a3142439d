// How much attention each cached token has received: the probabilities of all
// layers, heads and queries of a prefill, summed by key. Caught from the
// engine's own graph, whose softmax is a tensor of its own where flash
// attention is off.
#ifndef REPRISE_TOOLS_EVAL_ATTENTION_MASS_H_
#define REPRISE_TOOLS_EVAL_ATTENTION_MASS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "codec/segment.h"
#include "tools/llama_runner.h"

namespace reprise {

// One number a token; a prefill of its own, in a context of its own, with
// options.flash_attention off.
// kUnimplemented when the graph has no softmax that can be caught.
Result<std::vector<double>> MeasureAttentionMass(
    const LlamaModelPtr& model, const LlamaRunnerOptions& options,
    std::span<const TokenId> tokens);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_ATTENTION_MASS_H_
