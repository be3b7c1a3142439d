// What a llama.cpp context's cache is: the ModelSpec that names its states in
// the store, and the layout that their bytes have.
#ifndef REPRISE_CLIENT_LLAMA_LLAMA_SPEC_H_
#define REPRISE_CLIENT_LLAMA_LLAMA_SPEC_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/llama/seq_state.h"
#include "codec/model_spec.h"
#include "llama.h"

namespace reprise {

struct LlamaAdapterFile {
  std::string path;  // of a LoRA adapter
  float scale = 1;
};

// The files that a model and its adapters were loaded from.
struct LlamaFiles {
  std::string model;
  // Every adapter that is set on the context, in any order.
  std::vector<LlamaAdapterFile> adapters;
  // Anything else that changes what the model computes and that no function
  // of libllama tells: kv_overrides, control vectors. Part of the identity.
  std::string overrides;
};

struct LlamaCache {
  ModelSpec spec;
  // Of states that the context writes and accepts.
  SeqLayout layout;
  // llama_memory_seq_cp can name a range of a sequence's cells by a second
  // sequence, so that only new cells are copied out. Needs kv_unified and
  // n_seq_max >= 2.
  bool copies_ranges = false;
};

// Describes the caches of contexts that were, or will be, made of `model` with
// `params`. Reads the GGUF's header, hashes all of its bytes the first time
// (file_hash.h), and decodes one token in a small context of its own to learn
// the layout: some 100 ms, once a model.
//
// Part of the identity: the bytes of the weights and adapters, the
// vocabulary, cache types, RoPE as effective (with the overrides of
// `params`), and the Hadamard rotation of quantised caches. Not part of it:
// flash attention, batch sizes, threads and the version of llama.cpp, which
// all change the last bits of a value at most; the version is in the notes.
//
// kUnimplemented, with the reason: sliding-window, recurrent, hybrid,
// encoder-decoder, diffusion and MLA models, M-RoPE, attention that is not
// causal, split GGUF files. kNotFound, kDataLoss: the file is not there, or
// no GGUF. kFailedPrecondition: libllama refuses to make such a context.
//
// The environment's LLAMA_ATTN_ROT_DISABLE must be what it is when the real
// context is made. Not to be called while another thread uses the model to
// make contexts.
Result<LlamaCache> DescribeLlamaCache(llama_model* model,
                                      const llama_context_params& params,
                                      const LlamaFiles& files);

}  // namespace reprise

#endif  // REPRISE_CLIENT_LLAMA_LLAMA_SPEC_H_
