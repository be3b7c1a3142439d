// Match, PlanFetch and frames.
#include <algorithm>
#include <string>

#include "base/limits.h"
#include "store/catalogue_impl.h"
#include "store/key_arena.h"
#include "store/stages.h"

namespace reprise {
namespace {

// Rendition records read by one call of the engine; a first look is short, so
// that a miss costs little.
constexpr size_t kFirstMatchBatch = 64;
constexpr size_t kMatchBatch = 512;

// Where a reader wants no more than a tier: which stages that is, only the
// frames say.
std::optional<MatchedSegment> MatchOfStages(ByteView record,
                                            const TierWish& wish) {
  const Result<RenditionSet> set = DecodeRenditionSet(record);
  if (!set.ok()) return {};
  const std::optional<Offer> offer = ChooseOffer(set->renditions, wish);
  if (!offer) return {};
  return MatchedSegment{offer->prefix.tier, offer->rendition->basis,
                        offer->stored_bytes()};
}

// Nothing when there is no record, none good enough or a damaged one: all of
// these end a match.
std::optional<MatchedSegment> MatchOf(const HeadRecord& record,
                                      const TierWish& wish) {
  if (record.version == 0) return {};
  if (wish.highest != Tier::kExact) {
    return MatchOfStages(record.value.view(), wish);
  }
  RenditionSummaries summaries;
  if (!DecodeRenditionSummaries(record.value.view(), &summaries).ok()) {
    return {};
  }
  const RenditionSummary* const best = summaries.Best(wish.lowest);
  if (best == nullptr) return {};
  return MatchedSegment{best->tier, best->basis, best->stored_bytes};
}

Status CheckWish(const std::string& what, const TierWish& wish) {
  if (wish.highest <= wish.lowest) return Status();
  return InvalidArgumentError(
      what + ": the highest tier is " + std::string(TierName(wish.highest)) +
      ", the lowest is better: " + std::string(TierName(wish.lowest)));
}

Status CheckMatch(const MatchRequest& request) {
  if (request.segments.size() > kMaxMatchSegments) {
    return InvalidArgumentError(
        "match: " + std::to_string(request.segments.size()) +
        " segments, at most " + std::to_string(kMaxMatchSegments));
  }
  if (request.tail_tokens.size() >= kSegmentTokens) {
    return InvalidArgumentError(
        "match: " + std::to_string(request.tail_tokens.size()) +
        " tail tokens, at most " + std::to_string(kSegmentTokens - 1));
  }
  return Status();
}

// Which of `count` segments hold the tokens that a request asks for.
struct Range {
  size_t first = 0;
  size_t end = 0;
};
Range RangeOf(const FetchRequest& request, size_t count) {
  const uint64_t all = count * kSegmentTokens;
  const uint64_t end_token = std::min(request.end_token, all);
  if (request.first_token >= end_token) return {};
  const uint64_t end = (end_token + kSegmentTokens - 1) / kSegmentTokens;
  return {static_cast<size_t>(request.first_token / kSegmentTokens),
          static_cast<size_t>(end)};
}

void AddToLease(const FetchSegment& segment, LeaseRecord* lease) {
  const std::vector<FrameRef>& frames = segment.rendition.frames;
  std::vector<RenditionId> ids;
  for (const FrameRef& frame : frames) {
    if (std::ranges::find(ids, frame.rendition) == ids.end()) {
      ids.push_back(frame.rendition);
    }
  }
  if (ids.empty()) ids.emplace_back();
  for (const RenditionId& id : ids) {
    lease->segments.push_back(segment.id);
    lease->renditions.push_back(id);
  }
}

// What of a segment is to be read. After a touch, stages that lost a frame
// can't be, nor those that refine them.
Rendition ChooseRendition(const StoredSegment& stored, bool touched,
                          const TierWish& wish) {
  const std::vector<Rendition>& renditions = stored.set.renditions;
  std::span<const size_t> present;
  if (touched) present = std::span(stored.present).first(renditions.size());
  if (const auto offer = ChooseOffer(renditions, wish, present)) {
    return offer->Cut();
  }
  Rendition none;
  none.tier = Tier::kTokens;
  none.basis = Tier::kTokens;
  return none;
}

}  // namespace

Result<MatchResult> CatalogueImpl::Match(const DomainId& domain,
                                         const MatchRequest& request) {
  REPRISE_RETURN_IF_ERROR(CheckMatch(request));
  const TierWish wish{request.lowest, request.highest};
  REPRISE_RETURN_IF_ERROR(CheckWish("match", wish));
  MatchResult result;
  KeyArena arena;
  std::vector<std::string_view> keys;
  std::vector<HeadRecord> records;
  const std::span<const SegmentId> ids = request.segments;
  size_t batch = kFirstMatchBatch;
  for (size_t done = 0; done < ids.size(); done += keys.size()) {
    arena.Clear();
    keys.clear();
    for (const SegmentId& id :
         ids.subspan(done, std::min(batch, ids.size() - done))) {
      keys.push_back(arena.Add(domain, id));
    }
    REPRISE_RETURN_IF_ERROR(
        engine_->GetHeads(HeadSpace::kRendition, keys, &records));
    for (const HeadRecord& record : records) {
      const auto matched = MatchOf(record, wish);
      if (!matched) return result;
      result.matched.push_back(*matched);
      result.bytes_to_move += matched->stored_bytes;
    }
    batch = kMatchBatch;
  }
  if (request.tail_tokens.empty()) return result;

  const SegmentId parent =
      ids.empty() ? RootSegmentId(request.model) : ids.back();
  const std::string_view key =
      arena.Add(domain, TailId(parent, request.tail_tokens));
  REPRISE_RETURN_IF_ERROR(
      engine_->GetHeads(HeadSpace::kRendition, {&key, 1}, &records));
  result.tail = MatchOf(records[0], wish);
  if (result.tail) {
    result.tail_tokens = static_cast<uint32_t>(request.tail_tokens.size());
    result.bytes_to_move += result.tail->stored_bytes;
  }
  return result;
}

// --- Frames. ---

Result<PinnedBytes> CatalogueImpl::VerifyFrame(Result<PinnedBytes> bytes,
                                               const DomainId& domain,
                                               const SegmentId& segment,
                                               const FrameRef& frame) {
  Status status = bytes.status();
  if (status.ok() && bytes->size() != frame.bytes) {
    status = DataLossError(std::to_string(bytes->size()) +
                           " bytes are stored, its rendition says " +
                           std::to_string(frame.bytes));
  } else if (status.ok() && Checksum(bytes->view()) != frame.checksum) {
    status = DataLossError("checksum of " + std::to_string(frame.bytes) +
                           " bytes differs");
  }
  if (status.ok()) return bytes;
  if (status.Is(StatusCode::kDataLoss)) {
    // It reads again: what failed may have been our memory, not the store's.
    // Where it can't be set aside, it is found damaged again.
    (void)SetAsideFrames(domain, segment, {&frame, 1}, status.message());
  }
  return status.WithContext("get frame");
}

Result<PinnedBytes> CatalogueImpl::GetFrame(const DomainId& domain,
                                            const SegmentId& segment,
                                            const FrameRef& frame) {
  const std::string key =
      FrameKey(domain, segment, frame.rendition, frame.index);
  return VerifyFrame(engine_->Get({frame.space, key}), domain, segment, frame);
}

void CatalogueImpl::GetFrames(const DomainId& domain, const SegmentId& segment,
                              std::span<const FrameRef> frames,
                              std::vector<Result<PinnedBytes>>* out) {
  KeyArena arena;
  std::vector<ObjectRef> refs;
  refs.reserve(frames.size());
  for (const FrameRef& frame : frames) {
    refs.push_back({frame.space, arena.AddFrame(domain, segment, frame)});
  }
  engine_->GetMany(refs, out);
  for (size_t i = 0; i < frames.size(); ++i) {
    (*out)[i] = VerifyFrame(std::move((*out)[i]), domain, segment, frames[i]);
  }
}

// --- Fetching. ---

// Reads the session and names what its commit consists of.
Status CatalogueImpl::PlanSession(const DomainId& tenant,
                                  const FetchRequest& request, FetchPlan* plan,
                                  std::vector<SegmentRef>* refs,
                                  bool* is_root) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(request.session));
  REPRISE_ASSIGN_OR_RETURN(const VersionedSession session,
                           LoadSession(tenant, request.session));
  const SessionRecord& record = session.record;
  plan->domain = record.domain;
  plan->incarnation = record.incarnation;
  plan->version = record.version;
  plan->commit = request.commit.IsZero() ? record.head : request.commit;
  REPRISE_ASSIGN_OR_RETURN(CommitRecord commit,
                           FindCommitOf(record, plan->commit, is_root));
  plan->model = commit.model;
  plan->token_count = commit.token_count;
  plan->pending = std::move(commit.pending);
  *refs = SegmentRefsOf(commit);
  return Status();
}

Status CatalogueImpl::PlanIds(const DomainId& domain,
                              const FetchRequest& request, FetchPlan* plan,
                              std::vector<SegmentRef>* refs) {
  if (request.segments.size() > kMaxMatchSegments) {
    return InvalidArgumentError(
        "fetch: " + std::to_string(request.segments.size()) +
        " segments, at most " + std::to_string(kMaxMatchSegments));
  }
  if (!request.commit.IsZero()) {
    return InvalidArgumentError("fetch: a commit is named without a session");
  }
  plan->domain = domain;
  plan->model = request.model;
  for (const SegmentId& id : request.segments) {
    refs->push_back({id, ObjectSpace::kSegment});
  }
  plan->token_count = request.segments.size() * kSegmentTokens;
  if (!request.tail.IsZero()) {
    refs->push_back({request.tail, ObjectSpace::kTail});
  }
  return Status();
}

Result<FetchPlan> CatalogueImpl::PlanFetch(const DomainId& tenant,
                                           const FetchRequest& request) {
  const TierWish wish{request.lowest, request.highest};
  REPRISE_RETURN_IF_ERROR(CheckWish("fetch", wish));
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  FetchPlan plan;
  std::vector<SegmentRef> refs;
  const bool by_session = !request.session.empty();
  // A root keeps what it refers to from being collected until the lease does;
  // anything else must be touched.
  bool is_root = false;
  REPRISE_RETURN_IF_ERROR(
      by_session ? PlanSession(tenant, request, &plan, &refs, &is_root)
                 : PlanIds(tenant, request, &plan, &refs));
  if (!request.model.IsZero() && request.model != plan.model) {
    return FailedPreconditionError("fetch: session is of model " +
                                   plan.model.ShortHex() + ", wanted is " +
                                   request.model.ShortHex());
  }
  const Range range = RangeOf(request, refs.size());
  const std::span<const SegmentRef> wanted =
      std::span(refs).subspan(range.first, range.end - range.first);
  std::optional<Epoch> touch;
  if (!is_root) touch = begun.epoch;
  std::vector<StoredSegment> stored;
  REPRISE_RETURN_IF_ERROR(
      ReadSegments(engine_, plan.domain, wanted, touch, &stored));

  LeaseRecord lease;
  lease.domain = plan.domain;
  lease.commit = plan.commit;
  plan.segments.reserve(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    FetchSegment segment;
    segment.id = wanted[i].id;
    segment.rendition = ChooseRendition(stored[i], touch.has_value(), wish);
    if (stored[i].status.ok()) segment.segment = std::move(stored[i].segment);
    // Where it stands is known, whatever became of its record.
    segment.segment.first_token =
        static_cast<uint32_t>((range.first + i) * kSegmentTokens);
    if (!by_session && wanted[i].space == ObjectSpace::kTail) {
      plan.token_count += segment.segment.tokens.size();
    }
    const uint64_t start = (range.first + i) * kSegmentTokens;
    segment.token_count = static_cast<uint32_t>(
        std::min<uint64_t>(kSegmentTokens, plan.token_count - start));
    AddToLease(segment, &lease);
    plan.segments.push_back(std::move(segment));
  }
  if (request.lease_ms == 0) return plan;
  REPRISE_RETURN_IF_ERROR(CheckLeaseMs(request.lease_ms));
  lease.expires_wall_ms = clock_->WallMs() + request.lease_ms;
  plan.lease_expires_wall_ms = lease.expires_wall_ms;
  REPRISE_ASSIGN_OR_RETURN(plan.lease, WriteLease(lease, begun));
  return plan;
}

}  // namespace reprise
