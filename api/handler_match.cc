// Match: how much of a prompt is stored, and what moving it would cost.
#include <string>
#include <utility>
#include <vector>

#include "api/handler_call.h"
#include "base/check.h"

namespace reprise {
namespace {

wire::MatchRangeT RangeOf(const MatchedSegment& segment, uint32_t index) {
  wire::MatchRangeT range;
  range.first_segment = index;
  range.segment_count = 1;
  range.tier = static_cast<uint8_t>(segment.tier);
  range.basis = static_cast<uint8_t>(segment.basis);
  range.stored_bytes = segment.stored_bytes;
  return range;
}

// At `rate` bytes a second; 0: not known.
float ExpectedMs(uint64_t bytes, double rate) {
  if (rate <= 0) return 0;
  return static_cast<float>(1000 * static_cast<double>(bytes) / rate);
}

// Runs of segments of one tier and basis.
void AddRanges(const MatchResult& result, double rate,
               wire::MatchReplyT* reply) {
  for (uint32_t i = 0; i < result.matched.size(); i++) {
    wire::MatchRangeT next = RangeOf(result.matched[i], i);
    if (!reply->ranges.empty()) {
      wire::MatchRangeT& last = *reply->ranges.back();
      if (last.tier == next.tier && last.basis == next.basis) {
        last.segment_count++;
        last.stored_bytes += next.stored_bytes;
        continue;
      }
    }
    reply->ranges.push_back(std::make_unique<wire::MatchRangeT>(next));
  }
  for (auto& range : reply->ranges) {
    range->expected_ms = ExpectedMs(range->stored_bytes, rate);
  }
  if (result.tail.has_value()) {
    auto index = static_cast<uint32_t>(result.matched.size());
    reply->tail =
        std::make_unique<wire::MatchRangeT>(RangeOf(*result.tail, index));
    reply->tail->expected_ms = ExpectedMs(reply->tail->stored_bytes, rate);
    reply->tail_tokens = result.tail_tokens;
  }
}

// What the lease covers: the matched prefix and its tail.
std::vector<SegmentId> LeasedIds(const MatchRequest& request,
                                 const MatchResult& result) {
  std::vector<SegmentId> ids(
      request.segments.begin(),
      request.segments.begin() + static_cast<ptrdiff_t>(result.matched.size()));
  if (result.tail.has_value()) {
    SegmentId parent = ids.empty() ? RootSegmentId(request.model) : ids.back();
    ids.push_back(TailId(parent, request.tail_tokens));
  }
  return ids;
}

Result<uint64_t> TakeLease(const HandlerCall& call,
                           const std::vector<SegmentId>& ids,
                           const TierWish& wish, int64_t lease_ms) {
  LeaseBook& book = call.connection.leases;
  REPRISE_RETURN_IF_ERROR(book.Reserve(call.now_ms()));
  Result<uint64_t> lease =
      call.catalogue()->Lease(call.tenant(), ids, wish, lease_ms);
  if (!lease.ok()) {
    book.Unreserve();
    return lease.status();
  }
  book.Fill(*lease, call.now_ms() + lease_ms);
  return *lease;
}

}  // namespace

Result<HandlerReply> HandleMatch(const HandlerCall& call,
                                 const wire::Match& match) {
  MatchRequest request;
  REPRISE_ASSIGN_OR_RETURN(request.model, CheckModel(match.model()));
  REPRISE_ASSIGN_OR_RETURN(std::vector<SegmentId> segments,
                           CheckIds("match: segments", match.segments()));
  request.segments = segments;
  REPRISE_ASSIGN_OR_RETURN(
      request.lowest, CheckTier("match: lowest tier", match.lowest_tier()));
  REPRISE_ASSIGN_OR_RETURN(
      request.highest,
      CheckHighestTier("match: highest tier", match.highest_tier()));
  REPRISE_RETURN_IF_ERROR(CheckLeaseMs(match.lease_ms()));
  std::vector<TokenId> tail;
  if (match.tail_tokens() != nullptr) {
    if (match.tail_tokens()->size() >= kSegmentTokens) {
      return OverLimit("match: tail tokens", match.tail_tokens()->size(),
                       kSegmentTokens - 1);
    }
    tail.assign(match.tail_tokens()->begin(), match.tail_tokens()->end());
  }
  request.tail_tokens = tail;
  REPRISE_ASSIGN_OR_RETURN(MatchResult result,
                           call.catalogue()->Match(call.tenant(), request));
  REPRISE_CHECK(result.matched.size() <= segments.size());

  wire::MatchReplyT reply;
  const double rate = call.context.metrics->fetch_rate.bytes_per_second();
  AddRanges(result, rate, &reply);
  reply.bytes_to_move = result.bytes_to_move;
  reply.expected_ms = ExpectedMs(result.bytes_to_move, rate);
  std::vector<SegmentId> ids = LeasedIds(request, result);
  if (match.lease_ms() > 0 && !ids.empty()) {
    REPRISE_ASSIGN_OR_RETURN(
        reply.lease, TakeLease(call, ids, {request.lowest, request.highest},
                               match.lease_ms()));
  }
  return call.Only(reply);
}

}  // namespace reprise
