#include "client/save_planner.h"

#include <algorithm>
#include <string>

namespace reprise {
namespace {

Status NoPrefix(const std::string& why) {
  return FailedPreconditionError(
      "save: what the session holds is no prefix of these tokens: " + why);
}

}  // namespace

TokenChain::TokenChain(const ModelId& model, std::span<const TokenId> tokens)
    : model_(model), tokens_(tokens), segments_(SegmentIdsOf(model, tokens)) {
  const size_t tail = tokens.size() % kSegmentTokens;
  if (tail == 0) return;
  tail_ = TailId(parent(static_cast<uint32_t>(segments_.size())),
                 tokens.last(tail));
}

Status CheckHeadIsPrefix(const SessionHead& head, const TokenChain& chain) {
  if (!head.exists() || head.tokens == 0) return Status();
  const std::span<const TokenId> tokens = chain.tokens();
  const auto item =
      static_cast<uint32_t>(head.last_first_token / kSegmentTokens);
  // What both have of the head's last part, compared token by token.
  const uint64_t end = std::min<uint64_t>(head.tokens, tokens.size());
  const bool is_lost = head.last_tokens.empty();
  for (uint64_t i = head.last_first_token; i < end && !is_lost; ++i) {
    if (head.last_tokens[i - head.last_first_token] != tokens[i]) {
      return NoPrefix("token " + std::to_string(i) + " differs");
    }
  }
  if (tokens.size() < head.tokens) {
    return NoPrefix("it holds " + std::to_string(head.tokens) +
                    " tokens, given are " + std::to_string(tokens.size()));
  }
  const SegmentId parent = chain.parent(item);
  // Lost ones must be the caller's, for they have this name; those that a cut
  // left out nobody can name any more.
  const std::span<const TokenId> own =
      is_lost ? tokens.subspan(head.last_first_token,
                               head.tokens - head.last_first_token)
              : std::span<const TokenId>(head.last_tokens);
  const SegmentId last = own.size() == kSegmentTokens
                             ? ChildSegmentId(parent, own)
                             : TailId(parent, own);
  if (last != head.last) {
    return NoPrefix("a token before " + std::to_string(head.last_first_token) +
                    " differs");
  }
  return Status();
}

uint64_t StoredPrefix::tokens(const TokenChain& chain) const {
  if (has_tail) return chain.tokens().size();
  return segments.size() * kSegmentTokens;
}

Tier BasisOf(std::span<const TierRange> ranges, uint64_t end_token) {
  Tier worst = Tier::kExact;
  for (const TierRange& range : ranges) {
    if (range.first_token >= end_token) continue;
    if (range.first_token >= range.end_token) continue;
    worst = WorseOf(worst, WorseOf(range.tier, range.basis));
  }
  return worst;
}

PlannedSave PlanItems(const SavePlanRequest& request) {
  const TokenChain& chain = *request.chain;
  PlannedSave plan;
  plan.needed_first = plan.needed_end = chain.tokens().size();
  plan.wanted_first = chain.tokens().size();
  bool needs_any = false;
  const uint64_t head_segments =
      request.head->exists() ? request.head->tokens / kSegmentTokens : 0;
  for (uint32_t i = 0; i < chain.item_count(); ++i) {
    const bool matched = chain.is_tail(i) ? request.stored->has_tail
                                          : i < request.stored->segments.size();
    // The head holds on to it, whatever became of its frames.
    const bool in_head = i < head_segments;
    const bool asked_for =
        request.missing != nullptr && request.missing->contains(chain.id(i));
    const Tier basis = BasisOf(request.basis, chain.end_token(i));
    const Tier ours =
        WorseOf(chain.is_tail(i) ? Tier::kExact : request.tier, basis);
    const bool needed = asked_for || (!matched && !in_head);
    bool wanted = needed || !matched;
    if (matched && !wanted) {
      wanted = ours < (chain.is_tail(i) ? request.stored->tail
                                        : request.stored->segments[i]);
    }
    if (wanted) {
      plan.wanted_first = std::min(plan.wanted_first, chain.first_token(i));
    }
    const bool in_view = chain.first_token(i) >= request.view_first &&
                         chain.end_token(i) <= request.view_end;
    if (needed && !needs_any) {
      needs_any = true;
      plan.needed_first = chain.first_token(i);
    }
    if (needed) plan.needed_end = chain.end_token(i);
    if (needed || (wanted && in_view)) plan.items.push_back({i, basis});
  }
  if (!needs_any) plan.needed_end = plan.needed_first;
  return plan;
}

CommitRecord MakeCommit(const TokenChain& chain, const SessionHead& head,
                        std::span<const TokenId> pending, int64_t time_ms) {
  CommitRecord commit;
  commit.parent = head.version.head;
  commit.model = chain.model();
  commit.token_count = chain.tokens().size();
  commit.segments.assign(chain.segments().begin(), chain.segments().end());
  commit.end = chain.has_tail() ? CommitEnd::kTail : CommitEnd::kNothing;
  commit.tail = chain.tail();
  commit.pending.assign(pending.begin(), pending.end());
  commit.time_ms = time_ms;
  return commit;
}

}  // namespace reprise
