// SetAsideFrames, DropMissing and SalvageHead: what is damaged makes room for
// what is not. docs/format/records.md, section 9, has what is written, and in
// which order.
#include <algorithm>
#include <cstring>
#include <string>

#include "base/limits.h"
#include "store/catalogue_impl.h"
#include "store/quarantine.h"

namespace reprise {
namespace {

// What a frame's record says of it, and its own checksums.
Status CheckAgainst(ByteView bytes, const FrameRef& frame) {
  if (bytes.size() != frame.bytes) {
    return DataLossError("frame: " + std::to_string(bytes.size()) +
                         " bytes are stored, its rendition says " +
                         std::to_string(frame.bytes));
  }
  if (Checksum(bytes) != frame.checksum) {
    return DataLossError("frame: checksum of " + std::to_string(frame.bytes) +
                         " bytes differs");
  }
  FrameView view;
  return ParseFrame(bytes, &view);
}

// The best tier that the set's renditions with one of these frames count as;
// 0: it names none of them.
uint8_t LostTier(const RenditionSet& set, std::span<const FrameRef> frames) {
  uint8_t lost = 0;
  for (const Rendition& rendition : set.renditions) {
    const bool is_hit = std::ranges::any_of(frames, [&](const FrameRef& frame) {
      return std::ranges::find(rendition.frames, frame) !=
             rendition.frames.end();
    });
    if (!is_hit) continue;
    const auto tier = static_cast<uint8_t>(rendition.effective());
    lost = lost == 0 ? tier : std::min(lost, tier);
  }
  return lost;
}

// The segments that the bytes of a damaged commit name: as many as there are,
// whatever else they say. One that was cut is left out.
std::vector<SegmentId> SegmentsOfDamaged(ByteView bytes) {
  constexpr size_t kEndOffset = 6;
  constexpr size_t kCountOffset = 120;
  constexpr size_t kListOffset = 124;
  std::vector<SegmentId> segments;
  if (bytes.size() < kListOffset) return segments;
  const uint64_t named = LoadLe<uint32_t>(bytes.data() + kCountOffset);
  uint64_t count = std::min<uint64_t>(
      {named, (bytes.size() - kListOffset) / 32, kMaxMatchSegments});
  // A cut without a tail ends inside of the last segment.
  constexpr uint8_t kNothing = static_cast<uint8_t>(CommitEnd::kNothing);
  constexpr uint8_t kTail = static_cast<uint8_t>(CommitEnd::kTail);
  const uint8_t end = bytes[kEndOffset];
  if (end != kNothing && end != kTail && count == named && count > 0) --count;
  segments.resize(count);
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(segments[i].bytes.data(), bytes.data() + kListOffset + 32 * i,
                32);
  }
  return segments;
}

}  // namespace

RenditionSet WithoutMissing(const RenditionSet& set,
                            std::span<const size_t> present, int64_t now_ms,
                            const std::function<RenditionId()>& draw_id) {
  RenditionSet next;
  const auto add = [&](Rendition rendition) {
    const auto same =
        std::ranges::find(next.renditions, rendition.tier, &Rendition::tier);
    if (same == next.renditions.end()) {
      next.renditions.push_back(std::move(rendition));
    } else if (rendition.basis < same->basis) {
      *same = std::move(rendition);
    }
  };
  // Whole ones first: a part of another is no reason to lose one as good.
  for (size_t i = 0; i < set.renditions.size(); ++i) {
    if (present[i] == set.renditions[i].frames.size()) add(set.renditions[i]);
  }
  for (size_t i = 0; i < set.renditions.size(); ++i) {
    const Rendition& old = set.renditions[i];
    if (present[i] == old.frames.size()) continue;
    std::optional<StagePrefix> longest;
    for (const StagePrefix& prefix : PrefixesOf(old)) {
      if (prefix.frame_count <= present[i]) longest = prefix;
    }
    if (!longest) continue;
    Rendition cut = Offer{&old, *longest}.Cut();
    cut.id = draw_id();
    cut.time_ms = now_ms;
    add(std::move(cut));
  }
  std::ranges::sort(next.renditions, {}, &Rendition::tier);
  return next;
}

Status CatalogueImpl::SetAsideFrame(const DomainId& domain,
                                    const SegmentId& segment,
                                    const FrameRef& frame, uint8_t lost_tier,
                                    std::string_view reason, Epoch epoch) {
  const std::string key =
      FrameKey(domain, segment, frame.rendition, frame.index);
  const ObjectRef ref{frame.space, key};
  const Result<PinnedBytes> bytes = engine_->Get(ref);
  if (bytes.ok() && CheckAgainst(bytes->view(), frame).ok()) return Status();
  const bool is_there = bytes.ok() || bytes.status().Is(StatusCode::kDataLoss);
  if (!is_there && !bytes.status().Is(StatusCode::kNotFound)) {
    return bytes.status().WithContext("set aside");
  }
  QuarantineRecord record;
  record.was = StoredPlace::Of(frame.space, key);
  record.lost_tier = lost_tier;
  record.time_ms = clock_->WallMs();
  record.reason = reason;
  StoredPlace now = record.was;
  if (bytes.ok()) {
    RenditionId drawn;
    const uint64_t words[] = {RandomId64(), RandomId64()};
    std::memcpy(drawn.bytes.data(), words, sizeof(words));
    now.key = FrameKey(domain, segment, drawn, frame.index);
    record.holds = QuarantineHolds::kObject;
    const ObjectPut put{frame.space, now.key, bytes->view()};
    REPRISE_RETURN_IF_ERROR(
        engine_->Put({&put, 1}, epoch, Durability::kWritten));
  }
  REPRISE_RETURN_IF_ERROR(WriteQuarantine(engine_, now, record));
  if (!is_there) return Status();
  return engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX).status();
}

Status CatalogueImpl::SetAsideFrames(const DomainId& domain,
                                     const SegmentId& segment,
                                     std::span<const FrameRef> frames,
                                     std::string_view reason) {
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  const std::string key = DomainKey(domain, segment.view());
  const Result<HeadRecord> head = engine_->GetHead(HeadSpace::kRendition, key);
  if (head.status().Is(StatusCode::kNotFound)) return Status();
  if (!head.ok()) return head.status().WithContext("set aside");
  const Result<RenditionSet> set = DecodeRenditionSet(head->value.view());
  // One that nobody can read names nothing that could be served.
  if (!set.ok()) return Status();
  for (const FrameRef& frame : frames) {
    const uint8_t lost = LostTier(*set, {&frame, 1});
    // Replaced since it was found.
    if (lost == 0) continue;
    REPRISE_RETURN_IF_ERROR(
        SetAsideFrame(domain, segment, frame, lost, reason, begun.epoch));
  }
  std::vector<SinkOutcome> outcomes;
  return DropMissing(domain, {&segment, 1}, &outcomes);
}

Status CatalogueImpl::DropMissing(const DomainId& domain,
                                  std::span<const SegmentId> segments,
                                  std::vector<SinkOutcome>* out) {
  const int64_t now_ms = clock_->WallMs();
  const auto draw_id = [] {
    RenditionId id;
    const uint64_t words[] = {RandomId64(), RandomId64()};
    std::memcpy(id.bytes.data(), words, sizeof(words));
    return id;
  };
  return Sink(
      domain, segments,
      [&](size_t, const RenditionSet& set, std::span<const size_t> present,
          RenditionSet* next) {
        bool is_whole = true;
        for (size_t i = 0; i < set.renditions.size(); ++i) {
          is_whole &= present[i] == set.renditions[i].frames.size();
        }
        if (is_whole) return SinkOutcome::kKept;
        *next = WithoutMissing(set, present, now_ms, draw_id);
        return SinkOutcome::kDone;
      },
      out);
}

// --- A session whose head can't be read. ---

Result<CommitRecord> CatalogueImpl::SalvageCommit(const SessionRecord& session,
                                                  ByteView damaged) {
  CommitRecord commit;
  commit.model = session.model;
  commit.end = CommitEnd::kNothing;
  commit.time_ms = clock_->WallMs();
  const std::vector<SegmentId> named = SegmentsOfDamaged(damaged);
  std::vector<SegmentRef> refs;
  for (const SegmentId& id : named) refs.push_back({id, ObjectSpace::kSegment});
  std::vector<StoredSegment> stored;
  REPRISE_RETURN_IF_ERROR(
      ReadSegments(engine_, session.domain, refs, {}, &stored));
  SegmentId parent = RootSegmentId(session.model);
  for (size_t i = 0; i < stored.size(); ++i) {
    const SegmentRecord& segment = stored[i].segment;
    const bool continues =
        stored[i].status.ok() && segment.model == session.model &&
        segment.parent == parent && segment.first_token == i * kSegmentTokens;
    if (!continues || !stored[i].rendition_status.ok()) break;
    commit.segments.push_back(named[i]);
    parent = named[i];
  }
  commit.token_count = commit.segments.size() * kSegmentTokens;
  REPRISE_RETURN_IF_ERROR(ValidateCommit(commit));
  return commit;
}

Result<uint64_t> CatalogueImpl::SalvageHead(const DomainId& tenant,
                                            std::string_view name,
                                            bool dry_run) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(name));
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  REPRISE_ASSIGN_OR_RETURN(const VersionedSession session,
                           LoadSession(tenant, name));
  const SessionRecord& record = session.record;
  const Result<CommitRecord> head = GetCommit(record.domain, record.head);
  if (head.ok()) {
    return FailedPreconditionError("salvage: the head can be read, " +
                                   std::to_string(head->token_count) +
                                   " tokens");
  }
  if (!head.status().Is(StatusCode::kDataLoss) &&
      !head.status().Is(StatusCode::kNotFound)) {
    return head.status();
  }
  const std::string key = DomainKey(record.domain, record.head.view());
  const Result<PinnedBytes> bytes = engine_->Get({ObjectSpace::kCommit, key});
  REPRISE_ASSIGN_OR_RETURN(
      const CommitRecord commit,
      SalvageCommit(record, bytes.ok() ? bytes->view() : ByteView()));
  if (dry_run) return commit.token_count;
  const Bytes encoded = EncodeCommit(commit);
  const CommitId id = CommitIdOf(encoded);
  // The lost head was a root: none of this is garbage now.
  REPRISE_RETURN_IF_ERROR(PutCommit(record.domain, id, encoded, begun.epoch));
  REPRISE_ASSIGN_OR_RETURN(
      [[maybe_unused]] const CommitOutcome swung,
      Swing(tenant, name, session.version, Advance(record, id, commit), begun,
            options_.durability));
  return commit.token_count;
}

}  // namespace reprise
