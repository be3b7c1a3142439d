// Saves sequences of a llama.cpp context to Reprise, and restores them.
//
//   auto cache = DescribeLlamaCache(model, params, {.model = gguf_path});
//   auto known = client->RegisterModel(cache->spec);
//   ... llama_decode() of `tokens`; `next` chosen from the last logits ...
//   SaveSequence(client, "chat-42", {.model = *known, .cache = &*cache,
//                                    .context = context, .tokens = tokens,
//                                    .pending = {&next, 1}});
//
//   auto back = RestoreSequence(client, "chat-42",
//                               {.model = *known, .cache = &*cache,
//                                .context = context});
//   ... llama_decode() of back->pending at position back->tokens.size() ...
//
// Always save the token that was chosen but not decoded yet as `pending`:
// logits are no part of the state, and computing them anew gives other last
// bits. With it, a restored sequence goes on exactly as the saved one would
// have.
//
// A llama_context serves one thread at a time, and these functions use it as
// llama_decode does: call them from the thread that decodes. Never save
// between llama_memory_seq_add and the next llama_decode: the positions have
// moved then, but the keys have not turned yet.
#ifndef REPRISE_CLIENT_LLAMA_LLAMA_KV_H_
#define REPRISE_CLIENT_LLAMA_LLAMA_KV_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/llama/llama_spec.h"
#include "llama.h"

namespace reprise {

struct LlamaSaveRequest {
  Model model;                        // of cache->spec
  const LlamaCache* cache = nullptr;  // of a context made like `context`
  llama_context* context = nullptr;
  llama_seq_id sequence = 0;
  // An unused sequence id, below n_seq_max: names the new cells for a moment.
  llama_seq_id scratch = 1;
  // The tokens of the sequence, from position 0 on; all are in the cache. The
  // sequence may hold more: what follows is not saved.
  std::span<const TokenId> tokens;
  std::span<const TokenId> pending;
  // Of what was restored before, as RestoreSequence returned it.
  std::vector<TierRange> basis;
  std::string codec = "exact";
  std::span<const uint8_t> keep;  // as in SaveRequest
  const SessionVersion* expected = nullptr;
  bool synced = true;
  std::vector<std::pair<std::string, std::string>> labels;
};

struct LlamaSaveResult {
  SaveResult save;
  // Taken out of the context: tokens [first_token, end), in state_bytes.
  uint64_t first_token = 0;
  uint64_t state_bytes = 0;
  double take_ms = 0;  // of it, and of parsing
  double total_ms = 0;
};

// Saves the sequence to the session. Asks first what is stored already
// (PlanSave) and copies only cells after what is as good as these (`codec`,
// `basis`) out of the context, where cache->copies_ranges allows it; else the
// whole state. So who recomputed what was stored with loss makes it exact
// again. The context is unchanged afterwards.
// Errors of Client::Save, and: kInvalidArgument without tokens, or with fewer
// cells than tokens; kFailedPrecondition when the scratch sequence is in use
// or the context's states differ from cache->layout (with the layer);
// kResourceExhausted when there is no memory for the bytes.
Result<LlamaSaveResult> SaveSequence(Client* client, std::string_view session,
                                     const LlamaSaveRequest& request);

struct LlamaRestoreRequest {
  Model model;
  const LlamaCache* cache = nullptr;
  llama_context* context = nullptr;
  llama_seq_id sequence = 0;
  // Tokens [0, end_token) of what is stored; whatever they end in.
  uint64_t end_token = UINT64_MAX;
  // An earlier commit of the session; zero: its head.
  CommitId commit;
  // Instead of a session: MatchResultInfo::ticket for `tokens`.
  ByteView match;
  // Compared with the stored ids where given.
  std::span<const TokenId> tokens;
  Tier lowest = Tier::kExact;
  bool accept_dropped = false;  // as in RestoreRequest
};

struct LlamaRestoreResult {
  // In the sequence now, from position 0 on. Fewer than were stored when some
  // were lost: decode the others, `lost`, then `pending`.
  std::vector<TokenId> tokens;
  std::vector<TokenId> lost;
  std::vector<TokenId> pending;  // empty when end_token cut before them
  // With positions that have no cell (restore.dropped), where they were
  // accepted. Such a sequence goes on, and what it appends can be saved to the
  // same session, but no token before its end can be saved anew.
  RestoreResult restore;  // with ranges: the basis of the next save
  uint64_t state_bytes = 0;
  double put_ms = 0;  // by libllama, into its cache
  double total_ms = 0;
};

// Replaces what the sequence holds. Frames are decoded straight into the bytes
// of a sequence state, which libllama then copies into its cache. After an
// error the sequence is empty.
// Errors of Client::Restore, and: kResourceExhausted when the context has too
// few free cells or there is no memory for the bytes; kFailedPrecondition
// when libllama refuses the state otherwise.
Result<LlamaRestoreResult> RestoreSequence(Client* client,
                                           std::string_view session,
                                           const LlamaRestoreRequest& request);

// Saves what a slot file holds (of llama_state_seq_save_file or llama-server)
// without a context. kFailedPrecondition when its tensors are not those of
// cache->layout; llama-server's last token has no cell yet in some versions:
// then it is saved as pending.
struct SlotImport {
  Model model;
  const LlamaCache* cache = nullptr;
  std::string codec = "exact";
};
Result<SaveResult> SaveSlotFile(Client* client, std::string_view session,
                                ByteView bytes, const SlotImport& import);

}  // namespace reprise

#endif  // REPRISE_CLIENT_LLAMA_LLAMA_KV_H_
