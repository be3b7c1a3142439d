// Decides what a save sends: pure functions of ids, of what is stored and of
// what the caller's memory holds.
#ifndef REPRISE_CLIENT_SAVE_PLANNER_H_
#define REPRISE_CLIENT_SAVE_PLANNER_H_

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "client/client.h"
#include "codec/commit.h"
#include "codec/segment.h"
#include "codec/tier.h"

namespace reprise {

// The names of a token sequence: its whole segments, then the tail, if any.
// The tokens must outlive it.
class TokenChain {
 public:
  TokenChain(const ModelId& model, std::span<const TokenId> tokens);

  const ModelId& model() const { return model_; }
  std::span<const TokenId> tokens() const { return tokens_; }
  std::span<const SegmentId> segments() const { return segments_; }
  bool has_tail() const { return !tail_.IsZero(); }
  const SegmentId& tail() const { return tail_; }

  // Segments and the tail are items, numbered in order.
  uint32_t item_count() const {
    return static_cast<uint32_t>(segments_.size()) + (has_tail() ? 1 : 0);
  }
  bool is_tail(uint32_t item) const { return item == segments_.size(); }
  const SegmentId& id(uint32_t item) const {
    return is_tail(item) ? tail_ : segments_[item];
  }
  SegmentId parent(uint32_t item) const {
    return item == 0 ? RootSegmentId(model_) : segments_[item - 1];
  }
  uint64_t first_token(uint32_t item) const {
    return uint64_t{item} * kSegmentTokens;
  }
  std::span<const TokenId> tokens_of(uint32_t item) const {
    const uint64_t first = first_token(item);
    return tokens_.subspan(
        first, is_tail(item) ? tokens_.size() - first : kSegmentTokens);
  }
  uint64_t end_token(uint32_t item) const {
    return first_token(item) + tokens_of(item).size();
  }

 private:
  ModelId model_;
  std::span<const TokenId> tokens_;
  std::vector<SegmentId> segments_;
  SegmentId tail_;
};

// Where a session's head stands, and how its state ends. The last segment or
// tail alone proves the whole prefix, since its name follows from all before.
struct SessionHead {
  SessionVersion version;  // incarnation 0: there is no session
  ModelId model;
  uint64_t tokens = 0;
  // The last segment or tail; unused when tokens is 0.
  SegmentId last;
  uint64_t last_first_token = 0;
  // All of it, also what a cut left out; empty when they are lost.
  std::vector<TokenId> last_tokens;
  std::vector<TokenId> pending;

  bool exists() const { return version.incarnation != 0; }
};

// kFailedPrecondition unless the head's tokens are a prefix of the chain's,
// with the first token that differs where the head's end shows it.
Status CheckHeadIsPrefix(const SessionHead& head, const TokenChain& chain);

// What the daemon has of a chain: the answer of Match.
struct StoredPrefix {
  // As what each segment counts: the worse of tier and basis.
  std::vector<Tier> segments;
  bool has_tail = false;
  Tier tail = Tier::kTokens;

  uint64_t tokens(const TokenChain& chain) const;
};

// The worst basis of tokens [0, end_token); kExact where no range says more.
Tier BasisOf(std::span<const TierRange> ranges, uint64_t end_token);

struct SavePlanRequest {
  const TokenChain* chain = nullptr;
  const SessionHead* head = nullptr;
  const StoredPrefix* stored = nullptr;
  Tier tier = Tier::kExact;  // of the segments' codec; tails are exact
  std::span<const TierRange> basis;
  // Tokens whose KV the caller has.
  uint64_t view_first = 0;
  uint64_t view_end = 0;
  // Items that the daemon asked for.
  const std::set<SegmentId>* missing = nullptr;
};

struct PlannedItem {
  uint32_t item = 0;  // of the chain
  Tier basis = Tier::kExact;
  bool operator==(const PlannedItem&) const = default;
};

struct PlannedSave {
  // The save fails without KV from here to the end of `needed_end`; equal
  // when nothing is needed.
  uint64_t needed_first = 0;
  uint64_t needed_end = 0;
  // The first token whose KV would be sent if the view held all tokens; at
  // most `needed_first`.
  uint64_t wanted_first = 0;
  // In order. What is stored already but worse than the caller's is among
  // them where the view holds it.
  std::vector<PlannedItem> items;
};
PlannedSave PlanItems(const SavePlanRequest& request);

// The commit of a chain on top of `head`. Its end is nothing or a tail.
CommitRecord MakeCommit(const TokenChain& chain, const SessionHead& head,
                        std::span<const TokenId> pending, int64_t time_ms);

}  // namespace reprise

#endif  // REPRISE_CLIENT_SAVE_PLANNER_H_
