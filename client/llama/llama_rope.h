// RoPE as a llama.cpp context applies it: the model file's settings with the
// context's overrides.
#ifndef REPRISE_CLIENT_LLAMA_LLAMA_ROPE_H_
#define REPRISE_CLIENT_LLAMA_LLAMA_ROPE_H_

#include <cstdint>

#include "base/status.h"
#include "client/llama/gguf_file.h"
#include "codec/model_spec.h"
#include "llama.h"

namespace reprise {

// `head_dim` is that of K. kUnimplemented for M-RoPE and for factors together
// with YaRN.
Result<RopeSpec> EffectiveRope(const llama_model* model, const GgufFile& gguf,
                               const llama_context_params& params,
                               uint32_t head_dim);

}  // namespace reprise

#endif  // REPRISE_CLIENT_LLAMA_LLAMA_ROPE_H_
