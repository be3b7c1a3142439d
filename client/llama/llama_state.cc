#include "client/llama/llama_state.h"

#include <string>

#include "base/limits.h"

namespace reprise {

Status StateBuffer::Allocate(uint64_t bytes) {
  memory_.reset(static_cast<uint8_t*>(std::calloc(bytes, 1)));
  bytes_ = memory_ != nullptr ? bytes : 0;
  if (memory_ != nullptr) return Status::Ok();
  return ResourceExhaustedError("llama: no memory for a state of " +
                                std::to_string(bytes) + " bytes");
}

Result<SequenceState> TakeSequence(llama_context* context,
                                   llama_seq_id sequence,
                                   const LlamaCache& cache) {
  const size_t bytes = llama_state_seq_get_size_ext(context, sequence, 0);
  SequenceState taken;
  REPRISE_RETURN_IF_ERROR(taken.buffer.Allocate(bytes));
  const size_t written = llama_state_seq_get_data_ext(
      context, taken.buffer.bytes().data(), bytes, sequence, 0);
  if (written != bytes) {
    return InternalError("llama: state is " + std::to_string(written) +
                         " bytes, announced were " + std::to_string(bytes));
  }
  REPRISE_ASSIGN_OR_RETURN(
      taken.state,
      ParseSeqState(taken.buffer.bytes(), {.version = cache.layout.version}));
  const std::string difference =
      DescribeLayoutDifference(taken.state.layout, cache.layout);
  if (!difference.empty()) {
    return FailedPreconditionError("llama: the context's cache: " + difference);
  }
  return taken;
}

Result<SequenceState> EmptySequence(const LlamaCache& cache, uint64_t first,
                                    uint64_t count) {
  SequenceState empty;
  REPRISE_ASSIGN_OR_RETURN(const uint64_t bytes,
                           SeqStateBytes(cache.layout, count));
  REPRISE_RETURN_IF_ERROR(empty.buffer.Allocate(bytes));
  if (first > kMaxSessionTokens) {
    return InvalidArgumentError("llama: first position is " +
                                std::to_string(first) + ", the limit " +
                                std::to_string(kMaxSessionTokens));
  }
  REPRISE_ASSIGN_OR_RETURN(
      empty.state, WriteSeqState(cache.layout, static_cast<uint32_t>(first),
                                 count, empty.buffer.bytes()));
  return empty;
}

Status PutSequence(llama_context* context, llama_seq_id sequence,
                   const SequenceState& state) {
  const llama_memory_t memory = llama_get_memory(context);
  llama_memory_seq_rm(memory, sequence, -1, -1);
  const uint64_t count = state.state.cell_count;
  if (count > llama_n_ctx_seq(context)) {
    return ResourceExhaustedError("llama: state has " + std::to_string(count) +
                                  " tokens, the context has room for " +
                                  std::to_string(llama_n_ctx_seq(context)));
  }
  const ByteView bytes = state.buffer.bytes();
  const size_t read = llama_state_seq_set_data_ext(context, bytes.data(),
                                                   bytes.size(), sequence, 0);
  if (read == bytes.size()) return Status::Ok();
  llama_memory_seq_rm(memory, sequence, -1, -1);
  return FailedPreconditionError(
      "llama: libllama took " + std::to_string(read) + " of the " +
      std::to_string(bytes.size()) + " bytes of a state of " +
      std::to_string(count) +
      " tokens (too few free cells, or a context of another kind)");
}

}  // namespace reprise
