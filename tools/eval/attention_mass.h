// How much attention each cached token has received: the probabilities of all
// layers, heads and queries of a prefill, summed by key. Caught from the
// engine's own graph, whose softmax is a tensor of its own where flash
// attention is off.
#ifndef REPRISE_TOOLS_EVAL_ATTENTION_MASS_H_
#define REPRISE_TOOLS_EVAL_ATTENTION_MASS_H_

#include <cstddef>
#include <span>
#include <vector>

#include "base/status.h"
#include "codec/segment.h"
#include "tools/llama_runner.h"

namespace reprise {

inline constexpr size_t kRecentQueries = 64;

// By token.
struct AttentionMass {
  std::vector<double> all;     // from all queries
  std::vector<double> recent;  // from the last kRecentQueries
};

// A prefill of its own, in a context of its own, with options.flash_attention
// off.
// kUnimplemented when the graph has no softmax that can be caught.
Result<AttentionMass> MeasureAttentionMass(const LlamaModelPtr& model,
                                           const LlamaRunnerOptions& options,
                                           std::span<const TokenId> tokens);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_ATTENTION_MASS_H_
