#include "client/session_calls.h"

#include <algorithm>
#include <string>
#include <utility>

#include "client/calls.h"
#include "client/manifest.h"
#include "client/model.h"

namespace reprise {
namespace {

// Of the manifests that only say how a session ends.
constexpr uint32_t kShortestLeaseMs = 1;

// How the state of `head` ends: its last segment or tail.
Status LoadEnd(ClientCore* core, const std::shared_ptr<CallContext>& call,
               std::string_view session, SessionHead* head) {
  wire::FetchT fetch;
  fetch.session = session;
  fetch.commit = OptionalIdToWire(head->version.head);
  fetch.first_token =
      head->tokens == 0 ? 0
                        : (head->tokens - 1) / kSegmentTokens * kSegmentTokens;
  fetch.end_token = UINT64_MAX;
  fetch.lowest_tier = static_cast<uint8_t>(Tier::kTokens);
  fetch.manifest_only = true;
  fetch.lease_ms = kShortestLeaseMs;
  REPRISE_ASSIGN_OR_RETURN(
      const WireAnswer answer,
      Call(&core->control, MakeRequest(MessageType::kFetch, fetch), call,
           core->options.request_timeout_ms, Retry::kOnce));
  REPRISE_ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(answer));
  head->pending = std::move(manifest.pending);
  if (head->tokens == 0) return Status();
  const bool fits = manifest.segments.size() == 1 &&
                    (manifest.segments[0].tokens.empty() ||
                     (manifest.segments[0].first_token == fetch.first_token &&
                      manifest.segments[0].end_token() == head->tokens &&
                      manifest.segments[0].tokens.size() >=
                          manifest.segments[0].token_count));
  if (!fits) {
    return DataLossError("session: what it ends with is lost, at token " +
                         std::to_string(fetch.first_token));
  }
  // Its tokens may be lost; its name proves them to who has them.
  ManifestSegment& last = manifest.segments[0];
  head->last = last.id;
  head->last_first_token = fetch.first_token;
  head->last_tokens = std::move(last.tokens);
  return Status();
}

Status TakeRange(const wire::MatchRange& range, const TokenChain& chain,
                 MatchAnswer* out) {
  REPRISE_ASSIGN_OR_RETURN(const Tier tier, TierFromValue(range.tier()));
  REPRISE_ASSIGN_OR_RETURN(const Tier basis, TierFromValue(range.basis()));
  const uint64_t first = out->stored.segments.size();
  if (range.first_segment() != first || range.segment_count() == 0 ||
      range.segment_count() > chain.segments().size() - first) {
    return DataLossError(
        "match: " + std::to_string(range.segment_count()) + " segments from " +
        std::to_string(range.first_segment()) + " on, " +
        std::to_string(first) + " of " +
        std::to_string(chain.segments().size()) + " are named before");
  }
  out->stored.segments.insert(out->stored.segments.end(), range.segment_count(),
                              WorseOf(tier, basis));
  out->ranges.push_back({first * kSegmentTokens,
                         (first + range.segment_count()) * kSegmentTokens, tier,
                         basis});
  out->costs.push_back({range.stored_bytes(), range.expected_ms()});
  return Status();
}

Status TakeTail(const wire::MatchReply& reply, const TokenChain& chain,
                MatchAnswer* out) {
  const size_t segments = chain.segments().size();
  if (!chain.has_tail() || out->stored.segments.size() != segments ||
      reply.tail_tokens() != chain.tokens_of(chain.item_count() - 1).size()) {
    return DataLossError("match: a tail of " +
                         std::to_string(reply.tail_tokens()) +
                         " tokens that was not asked for");
  }
  REPRISE_ASSIGN_OR_RETURN(const Tier tier,
                           TierFromValue(reply.tail()->tier()));
  REPRISE_ASSIGN_OR_RETURN(const Tier basis,
                           TierFromValue(reply.tail()->basis()));
  out->stored.has_tail = true;
  out->stored.tail = WorseOf(tier, basis);
  const TierRange range{segments * kSegmentTokens, chain.tokens().size(), tier,
                        basis};
  const MatchCost cost{reply.tail()->stored_bytes(),
                       reply.tail()->expected_ms()};
  if (!out->ranges.empty() && out->ranges.back().tier == tier &&
      out->ranges.back().basis == basis) {
    out->ranges.back().end_token = range.end_token;
    out->costs.back().bytes_to_move += cost.bytes_to_move;
    out->costs.back().expected_ms += cost.expected_ms;
  } else {
    out->ranges.push_back(range);
    out->costs.push_back(cost);
  }
  return Status();
}

}  // namespace

Result<SessionHead> LoadHead(ClientCore* core,
                             const std::shared_ptr<CallContext>& call,
                             std::string_view session) {
  wire::DescribeT describe;
  describe.session = session;
  SessionHead head;
  auto reply = CallFor<wire::DescribeReply>(
      &core->control, MessageType::kDescribe, describe, call,
      core->options.request_timeout_ms);
  if (!reply.ok()) {
    if (reply.status().Is(StatusCode::kNotFound)) return head;
    return reply.status();
  }
  const wire::Session* found = (*reply)->session();
  if (found == nullptr || found->incarnation() == 0) {
    return DataLossError("session: described without an incarnation");
  }
  head.version = {found->incarnation(), found->version(),
                  IdFromWire<CommitId>(found->head())};
  head.model = IdFromWire<ModelId>(found->model());
  head.tokens = found->token_count();
  REPRISE_RETURN_IF_ERROR(LoadEnd(core, call, session, &head));
  return head;
}

Result<ModelSpec> FetchModelSpec(ClientCore* core,
                                 const std::shared_ptr<CallContext>& call,
                                 const ModelId& model) {
  wire::GetModelT get;
  get.model = OptionalIdToWire(model);
  REPRISE_ASSIGN_OR_RETURN(
      const WireAnswer answer,
      Call(&core->control, MakeRequest(MessageType::kGetModel, get), call,
           core->options.request_timeout_ms, Retry::kOnce));
  REPRISE_ASSIGN_OR_RETURN(ModelSpec spec, DecodeModelSpec(answer.body.view()));
  if (ModelIdOf(spec) != model) {
    return DataLossError("model: the digest of the answer is not its id");
  }
  return spec;
}

Status CheckSameModel(ClientCore* core,
                      const std::shared_ptr<CallContext>& call,
                      const RegisteredModel& model, const ModelId& stored) {
  if (stored == model.id()) return Status();
  const auto spec = FetchModelSpec(core, call, stored);
  const std::string difference = spec.ok()
                                     ? DescribeDifference(model.spec(), *spec)
                                     : "its spec cannot be read";
  return FailedPreconditionError("session: it is of another model: " +
                                 difference);
}

Status CheckTiers(const std::string& what, const WantedTiers& tiers) {
  if (tiers.highest <= tiers.lowest) return Status();
  return InvalidArgumentError(
      what + ": the highest tier is " + std::string(TierName(tiers.highest)) +
      ", the lowest is better: " + std::string(TierName(tiers.lowest)));
}

Result<MatchAnswer> MatchChain(ClientCore* core,
                               const std::shared_ptr<CallContext>& call,
                               const TokenChain& chain,
                               const WantedTiers& tiers, int64_t lease_ms) {
  MatchAnswer out;
  if (chain.item_count() == 0) return out;
  wire::MatchT match;
  match.model = OptionalIdToWire(chain.model());
  match.segments.reserve(chain.segments().size() * sizeof(SegmentId));
  for (const SegmentId& id : chain.segments()) {
    match.segments.insert(match.segments.end(), id.bytes.begin(),
                          id.bytes.end());
  }
  if (chain.has_tail()) {
    const auto tail = chain.tokens_of(chain.item_count() - 1);
    match.tail_tokens.assign(tail.begin(), tail.end());
  }
  match.lowest_tier = static_cast<uint8_t>(tiers.lowest);
  match.highest_tier = static_cast<uint8_t>(tiers.highest);
  match.lease_ms = static_cast<uint32_t>(lease_ms);
  REPRISE_ASSIGN_OR_RETURN(
      const auto reply,
      CallFor<wire::MatchReply>(&core->control, MessageType::kMatch, match,
                                call, core->options.request_timeout_ms));
  if (reply->ranges() != nullptr) {
    for (const wire::MatchRange* range : *reply->ranges()) {
      REPRISE_RETURN_IF_ERROR(TakeRange(*range, chain, &out));
    }
  }
  if (reply->tail() != nullptr && reply->tail_tokens() != 0) {
    REPRISE_RETURN_IF_ERROR(TakeTail(*reply.table, chain, &out));
  }
  out.bytes_to_move = reply->bytes_to_move();
  out.expected_ms = reply->expected_ms();
  out.lease = reply->lease();
  return out;
}

}  // namespace reprise
