#include "client/llama/llama_rope.h"

#include <string>
#include <utility>

namespace reprise {
namespace {

Result<RopePairing> PairingOf(const llama_model* model) {
  switch (llama_model_rope_type(model)) {
    case LLAMA_ROPE_TYPE_NONE:
      return RopePairing::kNone;
    case LLAMA_ROPE_TYPE_NORM:
      return RopePairing::kAdjacent;
    case LLAMA_ROPE_TYPE_NEOX:
      return RopePairing::kHalves;
    default:
      return UnimplementedError(
          "llama: the model's RoPE type is " +
          std::to_string(llama_model_rope_type(model)) +
          " (M-RoPE or of images), only norm and neox are supported");
  }
}

// The scaling that the context will use, as llama_context resolves it.
llama_rope_scaling_type ScalingOf(const GgufFile& gguf,
                                  const llama_context_params& params) {
  if (params.rope_scaling_type != LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED) {
    return params.rope_scaling_type;
  }
  const std::string name =
      gguf.ArchText("rope.scaling.type").value_or("linear");
  if (name == "none") return LLAMA_ROPE_SCALING_TYPE_NONE;
  if (name == "yarn") return LLAMA_ROPE_SCALING_TYPE_YARN;
  if (name == "longrope") return LLAMA_ROPE_SCALING_TYPE_LONGROPE;
  return LLAMA_ROPE_SCALING_TYPE_LINEAR;
}

uint32_t OriginalContext(const GgufFile& gguf,
                         const llama_context_params& params) {
  if (params.yarn_orig_ctx != 0) return params.yarn_orig_ctx;
  const auto original = gguf.ArchNumber("rope.scaling.original_context_length");
  if (original) return static_cast<uint32_t>(*original);
  return static_cast<uint32_t>(gguf.ArchNumber("context_length").value_or(0));
}

// A factor for each pair of channels: Llama 3.1 has one set, Phi-3 one for
// short contexts and one for long. Empty when the model has none.
Result<std::vector<float>> FrequencyFactors(
    const llama_model* model, const GgufFile& gguf,
    const llama_context_params& params) {
  const uint32_t context =
      params.n_ctx != 0 ? params.n_ctx
                        : static_cast<uint32_t>(llama_model_n_ctx_train(model));
  const uint32_t of_sequence = params.kv_unified || params.n_seq_max == 0
                                   ? context
                                   : context / params.n_seq_max;
  const bool is_long = of_sequence > OriginalContext(gguf, params);
  for (const char* name :
       {"rope_freqs.weight",
        is_long ? "rope_factors_long.weight" : "rope_factors_short.weight"}) {
    Result<std::vector<float>> factors = gguf.FloatTensor(name);
    if (factors.ok() || !factors.status().Is(StatusCode::kNotFound)) {
      return factors;
    }
  }
  return std::vector<float>();
}

struct YarnSetting {
  float from_context;
  const char* key;
  float fallback;
};

// The four numbers of YaRN; a negative one means: from the model.
std::vector<float> YarnFactors(const GgufFile& gguf,
                               const llama_context_params& params,
                               bool is_yarn) {
  const YarnSetting settings[] = {
      {params.yarn_ext_factor, "rope.scaling.yarn_ext_factor",
       is_yarn ? 1.0f : 0.0f},
      {params.yarn_attn_factor, "rope.scaling.yarn_attn_factor", 1.0f},
      {params.yarn_beta_fast, "rope.scaling.yarn_beta_fast", 32.0f},
      {params.yarn_beta_slow, "rope.scaling.yarn_beta_slow", 1.0f},
  };
  std::vector<float> factors;
  for (const YarnSetting& setting : settings) {
    factors.push_back(
        setting.from_context >= 0
            ? setting.from_context
            : static_cast<float>(
                  gguf.ArchNumber(setting.key).value_or(setting.fallback)));
  }
  return factors;
}

// Whether the context's parameters alone make YaRN of another scaling.
bool OverridesYarn(const llama_context_params& params) {
  const llama_context_params plain = llama_context_default_params();
  return params.yarn_ext_factor > 0 ||
         params.yarn_attn_factor != plain.yarn_attn_factor ||
         params.yarn_beta_fast != plain.yarn_beta_fast ||
         params.yarn_beta_slow != plain.yarn_beta_slow;
}

}  // namespace

Result<RopeSpec> EffectiveRope(const llama_model* model, const GgufFile& gguf,
                               const llama_context_params& params,
                               uint32_t head_dim) {
  RopeSpec rope;
  REPRISE_ASSIGN_OR_RETURN(rope.pairing, PairingOf(model));
  if (rope.pairing == RopePairing::kNone) return rope;
  rope.rotary_dims = static_cast<uint32_t>(
      gguf.ArchNumber("rope.dimension_count").value_or(head_dim));
  rope.theta = params.rope_freq_base != 0
                   ? params.rope_freq_base
                   : gguf.ArchNumber("rope.freq_base").value_or(10000);
  const llama_rope_scaling_type scaling = ScalingOf(gguf, params);
  if (scaling != LLAMA_ROPE_SCALING_TYPE_NONE) {
    rope.scale = params.rope_freq_scale != 0
                     ? params.rope_freq_scale
                     : llama_model_rope_freq_scale_train(model);
  }
  const bool is_yarn = scaling == LLAMA_ROPE_SCALING_TYPE_YARN;
  REPRISE_ASSIGN_OR_RETURN(std::vector<float> factors,
                           FrequencyFactors(model, gguf, params));
  if (is_yarn || OverridesYarn(params)) {
    if (!factors.empty()) {
      return UnimplementedError(
          "llama: the model has " + std::to_string(factors.size()) +
          " RoPE factors, which are not supported together with YaRN");
    }
    rope.scaling = RopeScaling::kYarn;
    rope.original_context = OriginalContext(gguf, params);
    rope.factors = YarnFactors(gguf, params, is_yarn);
  } else if (!factors.empty()) {
    rope.scaling = RopeScaling::kFactors;
    rope.original_context = OriginalContext(gguf, params);
    rope.factors = std::move(factors);
  } else if (rope.scale != 1) {
    rope.scaling = RopeScaling::kLinear;
  }
  return rope;
}

}  // namespace reprise
