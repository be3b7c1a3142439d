#include "tools/llama_runner.h"

#include <algorithm>
#include <cstdio>
#include <mutex>

namespace reprise {
namespace {

void LogErrors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

Result<ggml_type> TypeFromName(const std::string& name) {
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const char* known = ggml_type_name(static_cast<ggml_type>(i));
    if (known != nullptr && name == known) return static_cast<ggml_type>(i);
  }
  return InvalidArgumentError("llama: no cache type '" + name +
                              "'; f16, bf16, f32, q8_0 and q4_0 are usual");
}

}  // namespace

void LlamaRunner::FreeContext::operator()(llama_context* context) const {
  llama_free(context);
}

void LlamaRunner::FreeBatch::operator()(llama_batch* batch) const {
  llama_batch_free(*batch);
  delete batch;
}

Result<LlamaModelPtr> LoadLlamaModel(const std::string& path) {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(LogErrors, nullptr);
    llama_backend_init();
  });
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  llama_model* model = llama_model_load_from_file(path.c_str(), params);
  if (model == nullptr) {
    return NotFoundError("llama: can't load a model from " + path);
  }
  return LlamaModelPtr(model, llama_model_free);
}

Result<llama_context_params> ContextParams(const LlamaRunnerOptions& options) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = options.context_tokens;
  params.n_batch = params.n_ubatch = options.batch_tokens;
  params.n_seq_max = options.sequences;
  params.kv_unified = options.unified;
  REPRISE_ASSIGN_OR_RETURN(params.type_k, TypeFromName(options.type_k));
  REPRISE_ASSIGN_OR_RETURN(params.type_v, TypeFromName(options.type_v));
  params.flash_attn_type = options.flash_attention
                               ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                               : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.n_threads = params.n_threads_batch = options.threads;
  params.cb_eval = options.on_tensor;
  params.cb_eval_user_data = options.on_tensor_data;
  return params;
}

Result<std::unique_ptr<LlamaRunner>> LlamaRunner::Make(
    LlamaModelPtr model, const LlamaRunnerOptions& options) {
  auto runner = std::make_unique<LlamaRunner>();
  REPRISE_ASSIGN_OR_RETURN(runner->params_, ContextParams(options));
  runner->model_ = std::move(model);
  runner->context_.reset(
      llama_init_from_model(runner->model_.get(), runner->params_));
  if (runner->context_ == nullptr) {
    return FailedPreconditionError(
        "llama: no context of " + std::to_string(options.context_tokens) +
        " tokens of " + options.type_k + " and " + options.type_v);
  }
  runner->batch_.reset(new llama_batch(
      llama_batch_init(static_cast<int32_t>(options.batch_tokens), 0, 1)));
  return runner;
}

Result<std::vector<TokenId>> LlamaRunner::Tokenize(std::string_view text,
                                                   bool at_start) const {
  const llama_vocab* vocab = llama_model_get_vocab(model_.get());
  std::vector<TokenId> tokens(text.size() + 8);
  const int32_t count = llama_tokenize(
      vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
      static_cast<int32_t>(tokens.size()), at_start, /*parse_special=*/false);
  if (count < 0) {
    return InvalidArgumentError("llama: " + std::to_string(text.size()) +
                                " bytes of text have " +
                                std::to_string(-count) + " tokens");
  }
  tokens.resize(static_cast<size_t>(count));
  return tokens;
}

std::string LlamaRunner::TextOf(std::span<const TokenId> tokens) const {
  const llama_vocab* vocab = llama_model_get_vocab(model_.get());
  std::string text;
  for (const TokenId token : tokens) {
    char piece[256];
    const int32_t size =
        llama_token_to_piece(vocab, token, piece, sizeof(piece), 0, true);
    if (size > 0) text.append(piece, static_cast<size_t>(size));
  }
  return text;
}

Status LlamaRunner::Decode(std::span<const TokenId> tokens,
                           uint64_t first_position, llama_seq_id sequence) {
  llama_batch& batch = *batch_;
  for (size_t at = 0; at < tokens.size();) {
    const size_t count = std::min<size_t>(tokens.size() - at, params_.n_batch);
    batch.n_tokens = static_cast<int32_t>(count);
    for (size_t i = 0; i < count; ++i) {
      batch.token[i] = tokens[at + i];
      batch.pos[i] = static_cast<llama_pos>(first_position + at + i);
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = sequence;
      batch.logits[i] = at + i + 1 == tokens.size();
    }
    if (const int code = llama_decode(context_.get(), batch); code != 0) {
      return ResourceExhaustedError("llama: decoding " + std::to_string(count) +
                                    " tokens at position " +
                                    std::to_string(first_position + at) +
                                    " answers " + std::to_string(code));
    }
    at += count;
  }
  return Status::Ok();
}

TokenId LlamaRunner::Next() const {
  const int32_t size =
      llama_vocab_n_tokens(llama_model_get_vocab(model_.get()));
  const float* logits = llama_get_logits_ith(context_.get(), -1);
  return static_cast<TokenId>(std::max_element(logits, logits + size) - logits);
}

Result<std::vector<TokenId>> LlamaRunner::Generate(TokenId first,
                                                   uint64_t position,
                                                   uint32_t count,
                                                   llama_seq_id sequence) {
  std::vector<TokenId> tokens = {first};
  while (tokens.size() < count) {
    REPRISE_RETURN_IF_ERROR(Decode({&tokens.back(), 1}, position++, sequence));
    tokens.push_back(Next());
  }
  return tokens;
}

}  // namespace reprise
