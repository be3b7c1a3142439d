// A sequence's state as bytes in our memory: taken out of a context, or made
// empty, filled and put into one.
#ifndef REPRISE_CLIENT_LLAMA_LLAMA_STATE_H_
#define REPRISE_CLIENT_LLAMA_LLAMA_STATE_H_

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/bytes.h"
#include "base/status.h"
#include "client/llama/llama_spec.h"
#include "client/llama/seq_state.h"
#include "llama.h"

namespace reprise {

// Memory for a state, which may be hundreds of megabytes: running out of it is
// an answer and not an exception. Zeroed at first; fresh pages come so.
class StateBuffer {
 public:
  // kResourceExhausted.
  Status Allocate(uint64_t bytes);
  MutableByteView bytes() const { return {memory_.get(), bytes_}; }

 private:
  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<uint8_t, Free> memory_;
  uint64_t bytes_ = 0;
};

struct SequenceState {
  StateBuffer buffer;
  SeqState state;  // offsets into the buffer

  // See ViewOver and SinkOver; valid while this lives.
  Result<KvView> View(const ModelSpec& spec) const {
    return ViewOver(state, buffer.bytes(), spec);
  }
  Result<KvSink> Sink(const ModelSpec& spec) const {
    return SinkOver(state, buffer.bytes(), spec);
  }
};

// All cells of a sequence, copied. kFailedPrecondition when the context's
// tensors are not those of cache.layout; errors of ParseSeqState.
Result<SequenceState> TakeSequence(llama_context* context,
                                   llama_seq_id sequence,
                                   const LlamaCache& cache);

// A state of `count` tokens from position `first` on whose rows are zero.
Result<SequenceState> EmptySequence(const LlamaCache& cache, uint64_t first,
                                    uint64_t count);

// Replaces what the sequence holds; it is empty after an error.
// kResourceExhausted when the context is too small; kFailedPrecondition when
// libllama refuses the state, for want of free cells or because the context is
// of another kind.
Status PutSequence(llama_context* context, llama_seq_id sequence,
                   const SequenceState& state);

}  // namespace reprise

#endif  // REPRISE_CLIENT_LLAMA_LLAMA_STATE_H_
