#include "tools/eval/judged_model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tools/eval/text_windows.h"

namespace reprise {
namespace {

constexpr uint32_t kBatchTokens = 512;

// Of a state in memory with one stream: magic, sequence, streams, count; then
// position, 1 and sequence of each cell (client/llama/seq_state.h).
constexpr uint64_t kCellsAt = 16;
constexpr uint64_t kCellBytes = 12;

// out[i] = in[order[i]], rows of `bytes`.
void PermuteRows(const uint8_t* in, uint8_t* out, uint64_t bytes,
                 std::span<const uint32_t> order) {
  for (const uint32_t from : order) {
    std::memcpy(out, in + from * bytes, bytes);
    out += bytes;
  }
}

}  // namespace

void JudgedModel::FreeBatch::operator()(llama_batch* batch) const {
  llama_batch_free(*batch);
  delete batch;
}

Result<std::unique_ptr<JudgedModel>> JudgedModel::Make(
    LlamaModelPtr model, const JudgedModelOptions& options) {
  auto judged = std::make_unique<JudgedModel>();
  const uint32_t batch = std::max(kBatchTokens, options.scored_tokens);
  judged->runner_options_ = {.context_tokens = options.context_tokens,
                             .batch_tokens = batch,
                             .type_k = options.cache_type,
                             .type_v = options.cache_type,
                             .threads = options.threads};
  REPRISE_ASSIGN_OR_RETURN(judged->runner_,
                           LlamaRunner::Make(model, judged->runner_options_));
  REPRISE_ASSIGN_OR_RETURN(
      judged->cache_, DescribeLlamaCache(model.get(), judged->runner_->params(),
                                         {.model = options.path}));
  judged->batch_.reset(new llama_batch(
      llama_batch_init(static_cast<int32_t>(options.scored_tokens), 0, 1)));
  return judged;
}

size_t JudgedModel::vocabulary() const {
  return static_cast<size_t>(
      llama_vocab_n_tokens(llama_model_get_vocab(runner_->model())));
}

Result<SequenceState> JudgedModel::Prefill(
    std::span<const TokenId> tokens,
    const std::function<void(uint64_t)>& on_tokens) {
  llama_memory_clear(llama_get_memory(runner_->context()), true);
  for (size_t at = 0; at < tokens.size(); at += kBatchTokens) {
    const auto part =
        tokens.subspan(at, std::min<size_t>(kBatchTokens, tokens.size() - at));
    REPRISE_RETURN_IF_ERROR(runner_->Decode(part, at));
    if (on_tokens) on_tokens(part.size());
  }
  return TakeSequence(runner_->context(), 0, cache_);
}

Status JudgedModel::Put(const SequenceState& state,
                        std::span<const uint8_t> keep) {
  llama_context* const context = runner_->context();
  const llama_memory_t memory = llama_get_memory(context);
  // With its data, so that cells are given out from the first one on again.
  llama_memory_clear(memory, true);
  REPRISE_RETURN_IF_ERROR(PutSequence(context, 0, state));
  for (size_t token = 0; token < keep.size(); ++token) {
    if (keep[token] != 0) continue;
    const auto position = static_cast<llama_pos>(token);
    llama_memory_seq_rm(memory, 0, position, position + 1);
  }
  end_ = static_cast<llama_pos>(state.state.cell_count);
  return Status();
}

Status JudgedModel::Recompute(uint64_t position,
                              std::span<const TokenId> tokens) {
  const auto first = static_cast<llama_pos>(position);
  llama_memory_seq_rm(llama_get_memory(runner_->context()), 0, first, -1);
  for (size_t at = 0; at < tokens.size(); at += kBatchTokens) {
    const auto part =
        tokens.subspan(at, std::min<size_t>(kBatchTokens, tokens.size() - at));
    REPRISE_RETURN_IF_ERROR(runner_->Decode(part, position + at));
  }
  end_ = first + static_cast<llama_pos>(tokens.size());
  return Status();
}

Result<std::span<const float>> JudgedModel::Continue(
    std::span<const TokenId> tokens) {
  llama_context* const context = runner_->context();
  llama_memory_seq_rm(llama_get_memory(context), 0, end_, -1);
  llama_batch& batch = *batch_;
  batch.n_tokens = static_cast<int32_t>(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    batch.token[i] = tokens[i];
    batch.pos[i] = end_ + static_cast<llama_pos>(i);
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  if (const int code = llama_decode(context, batch); code != 0) {
    return ResourceExhaustedError("eval: scoring " +
                                  std::to_string(tokens.size()) +
                                  " tokens answers " + std::to_string(code));
  }
  const float* const logits = llama_get_logits(context);
  return std::span(logits, tokens.size() * vocabulary());
}

Result<std::span<const float>> JudgedModel::Score(
    const SequenceState& state, std::span<const uint8_t> keep,
    std::span<const TokenId> tokens) {
  REPRISE_RETURN_IF_ERROR(Put(state, keep));
  return Continue(tokens);
}

Result<SequenceState> ShuffleCells(const SequenceState& state, uint64_t seed) {
  const SeqLayout& layout = state.state.layout;
  if (layout.stream_count != 1 || layout.transposed_values) {
    return FailedPreconditionError(
        "eval: cells of " + std::to_string(layout.stream_count) +
        " streams, or with transposed values, are not shuffled");
  }
  const ByteView in = state.buffer.bytes();
  SequenceState out;
  REPRISE_RETURN_IF_ERROR(out.buffer.Allocate(in.size()));
  const MutableByteView bytes = out.buffer.bytes();
  std::memcpy(bytes.data(), in.data(), in.size());
  const auto order = ShuffledOrder(state.state.cell_count, seed);
  const auto permute = [&](uint64_t offset, uint64_t row_bytes) {
    PermuteRows(in.data() + offset, bytes.data() + offset, row_bytes, order);
  };
  permute(kCellsAt, kCellBytes);
  for (size_t layer = 0; layer < layout.keys.size(); ++layer) {
    permute(state.state.key_offsets[layer], layout.keys[layer].row_bytes);
    permute(state.state.value_offsets[layer], layout.values[layer].row_bytes);
  }
  REPRISE_ASSIGN_OR_RETURN(out.state,
                           ParseSeqState(bytes, {.version = layout.version}));
  if (out.state.cell_count == state.state.cell_count) return out;
  return InternalError("eval: shuffled cells are no longer a state");
}

}  // namespace reprise
