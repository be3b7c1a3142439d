// The smallest engine on libllama: a model, a context, decode and greedy
// choice. What the worker, the quality tool and tests run models with.
#ifndef REPRISE_TOOLS_LLAMA_RUNNER_H_
#define REPRISE_TOOLS_LLAMA_RUNNER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codec/segment.h"
#include "llama.h"

namespace reprise {

using LlamaModelPtr = std::shared_ptr<llama_model>;

// Loads a GGUF file; libllama's log is silenced but for errors. kNotFound.
Result<LlamaModelPtr> LoadLlamaModel(const std::string& path);

struct LlamaRunnerOptions {
  uint32_t context_tokens = 4096;
  uint32_t batch_tokens = 512;
  uint32_t sequences = 2;  // the second one is the adapter's scratch
  bool unified = true;
  std::string type_k = "f16";  // a ggml type's name: f32, bf16, q8_0, ...
  std::string type_v = "f16";
  bool flash_attention = true;
  // More than there are free cores makes ggml many times slower. The results
  // of single tokens depend on it in the last bits.
  int32_t threads = 1;
  // Called for each tensor as it is computed; see llama_context_params.
  ggml_backend_sched_eval_callback on_tensor = nullptr;
  void* on_tensor_data = nullptr;
};

// kInvalidArgument for a type's name that ggml does not know.
Result<llama_context_params> ContextParams(const LlamaRunnerOptions& options);

// Not thread-safe.
class LlamaRunner {
 public:
  // kFailedPrecondition when libllama refuses the context.
  static Result<std::unique_ptr<LlamaRunner>> Make(
      LlamaModelPtr model, const LlamaRunnerOptions& options);

  llama_model* model() const { return model_.get(); }
  llama_context* context() const { return context_.get(); }
  const llama_context_params& params() const { return params_; }

  // Of plain text; with the model's first special token where it has one.
  Result<std::vector<TokenId>> Tokenize(std::string_view text,
                                        bool at_start = true) const;
  std::string TextOf(std::span<const TokenId> tokens) const;

  // Computes tokens at positions first_position, ... of a sequence.
  // REQUIRES: the sequence holds exactly the positions before.
  Status Decode(std::span<const TokenId> tokens, uint64_t first_position,
                llama_seq_id sequence = 0);
  // The likeliest token after the last one decoded.
  TokenId Next() const;
  // `count` tokens from `first` on, each the likeliest one; all but the last
  // are decoded, from `position` on.
  Result<std::vector<TokenId>> Generate(TokenId first, uint64_t position,
                                        uint32_t count,
                                        llama_seq_id sequence = 0);

 private:
  struct FreeContext {
    void operator()(llama_context* context) const;
  };
  struct FreeBatch {
    void operator()(llama_batch* batch) const;
  };

  LlamaModelPtr model_;
  llama_context_params params_{};
  std::unique_ptr<llama_context, FreeContext> context_;
  std::unique_ptr<llama_batch, FreeBatch> batch_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_LLAMA_RUNNER_H_
