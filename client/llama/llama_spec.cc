#include "client/llama/llama_spec.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "client/llama/file_hash.h"
#include "client/llama/gguf_file.h"
#include "client/llama/llama_rope.h"

namespace reprise {
namespace {

struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};
using ContextPtr = std::unique_ptr<llama_context, FreeContext>;

constexpr uint32_t kProbeTokens = 256;  // a context's smallest size
constexpr uint32_t kProbeBatch = 32;

Status CheckSupported(const llama_model* model, const GgufFile& gguf,
                      const llama_context_params& params) {
  const auto refuse = [](const std::string& what) {
    return UnimplementedError("llama: " + what + " are not supported");
  };
  if (llama_model_n_swa(model) > 0) {
    return refuse("models with sliding-window attention (of " +
                  std::to_string(llama_model_n_swa(model)) + " tokens)");
  }
  if (llama_model_is_recurrent(model) || llama_model_is_hybrid(model)) {
    return refuse("recurrent and hybrid models");
  }
  if (llama_model_has_encoder(model)) return refuse("encoder models");
  if (llama_model_is_diffusion(model)) return refuse("diffusion models");
  if (gguf.ArchNumber("attention.key_length_mla") ||
      gguf.ArchNumber("attention.kv_lora_rank")) {
    return refuse("models with latent attention (MLA)");
  }
  if (params.attention_type == LLAMA_ATTENTION_TYPE_NON_CAUSAL ||
      gguf.ArchNumber("attention.causal").value_or(1) == 0) {
    return refuse("models without causal attention");
  }
  if (gguf.Number("split.count").value_or(0) > 1) {
    return refuse("split GGUF files (merge them with llama-gguf-split)");
  }
  return Status::Ok();
}

// The state of one decoded token tells types, row sizes and transposition.
Result<SeqLayout> ProbeLayout(llama_model* model,
                              const llama_context_params& wanted) {
  llama_context_params params = wanted;
  params.n_seq_max = std::max(params.n_seq_max, 1u);
  params.n_ctx = kProbeTokens * (params.kv_unified ? 1 : params.n_seq_max);
  // libllama aborts when a batch has no room for an output of each sequence.
  params.n_batch = params.n_ubatch = std::max(params.n_seq_max, kProbeBatch);
  params.n_outputs_max = params.n_outputs_max_per_seq = 0;
  params.n_threads = params.n_threads_batch = 1;
  params.cb_eval = nullptr;
  params.abort_callback = nullptr;
  params.samplers = nullptr;
  params.n_samplers = 0;
  const ContextPtr context(llama_init_from_model(model, params));
  if (context == nullptr) {
    return FailedPreconditionError(
        "llama: no context with a cache of " +
        std::string(ggml_type_name(params.type_k)) + " and " +
        ggml_type_name(params.type_v) +
        " (libllama's log says why; a quantised V needs flash attention)");
  }
  llama_token token = 0;
  if (llama_decode(context.get(), llama_batch_get_one(&token, 1)) != 0) {
    return FailedPreconditionError("llama: one token can't be decoded");
  }
  Bytes bytes(llama_state_seq_get_size_ext(context.get(), 0, 0));
  const size_t written = llama_state_seq_get_data_ext(
      context.get(), bytes.data(), bytes.size(), 0, 0);
  if (written != bytes.size()) {
    return InternalError("llama: state is " + std::to_string(written) +
                         " bytes, announced were " +
                         std::to_string(bytes.size()));
  }
  REPRISE_ASSIGN_OR_RETURN(
      SeqState state,
      ParseSeqState(bytes, {.version = LLAMA_STATE_SEQ_VERSION}));
  if (state.cell_count != 1) {
    return InternalError("llama: one token has " +
                         std::to_string(state.cell_count) + " cells");
  }
  return std::move(state.layout);
}

// Heads of each layer that has a cache.
std::vector<uint32_t> KvHeads(const llama_model* model, const GgufFile& gguf) {
  auto numbers = gguf.ArchNumbers("attention.head_count_kv");
  if (!numbers) {
    return {static_cast<uint32_t>(llama_model_n_head_kv(model))};
  }
  std::vector<uint32_t> heads;
  for (const double number : *numbers) {
    if (number > 0) heads.push_back(static_cast<uint32_t>(number));
  }
  return heads;
}

uint32_t HeadDim(const llama_model* model, const GgufFile& gguf,
                 const char* key) {
  const int32_t heads = std::max(llama_model_n_head(model), 1);
  return static_cast<uint32_t>(
      gguf.ArchNumber(key).value_or(llama_model_n_embd(model) / heads));
}

bool IsQuantised(const SeqTensor& tensor) {
  return DTypeOfGgml(tensor.ggml_type) == DType::kOpaque;
}

// Quantised caches hold H * k and H * v, H an orthonormal Walsh-Hadamard
// matrix: for K of the largest power of two that divides the head's size, for
// V of 64. The bytes of version 3 do not say so.
void SetRotation(uint32_t key_dim, uint32_t value_dim, SeqLayout* layout) {
  constexpr uint32_t kSmallest = 64;
  const char* disabled = std::getenv("LLAMA_ATTN_ROT_DISABLE");
  if (disabled != nullptr && std::atoi(disabled) != 0) return;
  if (IsQuantised(layout->keys[0]) && key_dim % kSmallest == 0) {
    layout->rotation_k = key_dim & (~key_dim + 1);
  }
  if (IsQuantised(layout->values[0]) && value_dim % kSmallest == 0) {
    layout->rotation_v = kSmallest;
  }
}

std::string ValueEncoding(const SeqLayout& layout) {
  if (!IsQuantised(layout.keys[0]) && !IsQuantised(layout.values[0])) return "";
  return "ggml:" + GgmlTypeName(layout.keys[0].ggml_type) + "," +
         GgmlTypeName(layout.values[0].ggml_type) +
         " hadamard:" + std::to_string(layout.rotation_k) + "," +
         std::to_string(layout.rotation_v);
}

// Zero without adapters and overrides. The order of adapters has no meaning.
Result<Sha256Digest> AdapterHash(const LlamaFiles& files) {
  if (files.adapters.empty() && files.overrides.empty()) return Sha256Digest();
  std::vector<Bytes> parts;
  for (const LlamaAdapterFile& adapter : files.adapters) {
    REPRISE_ASSIGN_OR_RETURN(const FileHash hash, HashFile(adapter.path));
    ByteWriter part;
    part.Raw(hash.digest.view());
    part.F32(adapter.scale);
    parts.push_back(part.Take());
  }
  std::sort(parts.begin(), parts.end());
  Sha256Stream stream;
  stream.Update(AsBytes("reprise/llama/adapters/1"));
  for (const Bytes& part : parts) stream.Update(part);
  stream.Update(AsBytes(files.overrides));
  return stream.Finish();
}

// Printable and short enough for a note.
std::string Note(std::string text) {
  constexpr size_t kMaxNoteBytes = 200;
  if (text.size() > kMaxNoteBytes) text.resize(kMaxNoteBytes);
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

}  // namespace

Result<LlamaCache> DescribeLlamaCache(llama_model* model,
                                      const llama_context_params& params,
                                      const LlamaFiles& files) {
  REPRISE_ASSIGN_OR_RETURN(const GgufFile gguf, GgufFile::Open(files.model));
  REPRISE_RETURN_IF_ERROR(CheckSupported(model, gguf, params));
  const uint32_t key_dim = HeadDim(model, gguf, "attention.key_length");
  LlamaCache cache;
  ModelSpec& spec = cache.spec;
  // Refuses M-RoPE, whose states the probe can't parse.
  REPRISE_ASSIGN_OR_RETURN(spec.rope,
                           EffectiveRope(model, gguf, params, key_dim));
  REPRISE_ASSIGN_OR_RETURN(cache.layout, ProbeLayout(model, params));
  SetRotation(key_dim, HeadDim(model, gguf, "attention.value_length"),
              &cache.layout);
  cache.copies_ranges = params.kv_unified && params.n_seq_max >= 2;
  REPRISE_ASSIGN_OR_RETURN(spec.layers,
                           LayersOf(cache.layout, KvHeads(model, gguf)));
  spec.value_encoding = ValueEncoding(cache.layout);
  spec.tokenizer_hash = gguf.HashKeys("tokenizer.ggml.");
  REPRISE_ASSIGN_OR_RETURN(const FileHash weights, HashFile(files.model));
  spec.weights_hash = weights.digest;
  REPRISE_ASSIGN_OR_RETURN(spec.adapter_hash, AdapterHash(files));
  spec.notes = {
      {"engine", "llama.cpp"},
      {"engine_version",
       Note(std::string("ggml ") + ggml_version() + " " + ggml_commit())},
      {"layout", "sequence state " + std::to_string(cache.layout.version)},
      {"name", Note(gguf.Text("general.name").value_or("unnamed"))},
  };
  REPRISE_RETURN_IF_ERROR(ValidateModelSpec(spec));
  return cache;
}

}  // namespace reprise
