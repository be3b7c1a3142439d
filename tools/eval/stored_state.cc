#include "tools/eval/stored_state.h"

#include <algorithm>
#include <utility>

namespace reprise {

Result<std::unique_ptr<Client>> ConnectJudge(const std::string& endpoint,
                                             const std::string& token) {
  ClientOptions options;
  options.endpoint = endpoint;
  options.token = token;
  options.name = "reprise-eval";
  return Client::Connect(options);
}

Result<StoredState> RestoreStored(Client* client, const Model& model,
                                  const LlamaCache& cache,
                                  const std::string& session,
                                  uint64_t end_token) {
  StoredState out;
  RestoreRequest request;
  request.model = model;
  request.end_token = end_token;
  request.lowest = Tier::kArchive;
  request.accept_dropped = true;
  request.make_sink = [&](const RestoreInfo& info) -> Result<KvSink> {
    REPRISE_ASSIGN_OR_RETURN(
        out.state, EmptySequence(cache, info.first_token, info.tokens.size()));
    return out.state.Sink(cache.spec);
  };
  REPRISE_ASSIGN_OR_RETURN(RestoreResult result,
                           client->Restore(session, request));
  out.tokens = std::move(result.info.tokens);
  out.valid_tokens = std::min<uint64_t>(result.valid_end, out.tokens.size());
  out.ranges = std::move(result.info.ranges);
  out.decode_ms = result.decode_ms;
  if (!result.dropped.empty()) out.keep.assign(out.tokens.size(), 1);
  for (const uint64_t token : result.dropped) {
    if (token < out.keep.size()) out.keep[token] = 0;
  }
  return out;
}

std::string TiersText(const SessionDetails& details) {
  std::string text;
  for (const auto& [tier, segments] : details.segments_by_tier) {
    if (segments == 0) continue;
    if (!text.empty()) text += ",";
    text += std::string(TierName(tier)) + "=" + std::to_string(segments);
  }
  return text;
}

}  // namespace reprise
