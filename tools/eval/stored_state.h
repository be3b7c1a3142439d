// What a daemon has stored of a session, as the judge takes it.
#ifndef REPRISE_TOOLS_EVAL_STORED_STATE_H_
#define REPRISE_TOOLS_EVAL_STORED_STATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/client.h"
#include "client/llama/llama_spec.h"
#include "client/llama/llama_state.h"
#include "codec/segment.h"

namespace reprise {

Result<std::unique_ptr<Client>> ConnectJudge(const std::string& endpoint,
                                             const std::string& token);

struct StoredState {
  SequenceState state;  // rows from valid_tokens on are zeros
  std::vector<TokenId> tokens;
  uint64_t valid_tokens = 0;
  std::vector<uint8_t> keep;  // a flag a token; empty: every token is there
  std::vector<TierRange> ranges;
  double decode_ms = 0;  // summed over threads
};

// The first `end_token` tokens of a session at the best tier that is there,
// lossy or not. Tokens that are not stored any more, or were lost, are no
// error. `cache` is of the context that is to take it, and of `model`.
// Errors of Client::Restore.
Result<StoredState> RestoreStored(Client* client, const Model& model,
                                  const LlamaCache& cache,
                                  const std::string& session,
                                  uint64_t end_token);

// "exact=12,near=3" of how many segments count as which tier.
std::string TiersText(const SessionDetails& details);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_STORED_STATE_H_
