#include "client/manifest.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/limits.h"
#include "client/calls.h"
#include "codec/codec.h"

namespace reprise {
namespace {

Status Bad(const std::string& what) {
  return DataLossError("manifest: " + what);
}

std::string At(const ManifestSegment& segment) {
  return "segment at " + std::to_string(segment.first_token);
}

template <typename T, typename Vector>
std::vector<T> ToVector(const Vector* vector) {
  if (vector == nullptr) return {};
  return std::vector<T>(vector->begin(), vector->end());
}

Result<Tier> ReadTier(uint8_t value) {
  Result<Tier> tier = TierFromValue(value);
  if (tier.ok()) return tier;
  return Bad(std::string(tier.status().message()));
}

// Where frames lie (docs/format/records.md): the tail's in one space whatever
// their tier, others in one a tier.
constexpr uint8_t kTailFrameSpace = 6;
constexpr uint8_t kExactFrameSpace = 7;

Status ReadFrame(const wire::FrameRef& in, Tier of_rendition,
                 ManifestFrame* out) {
  if (in.space() < kTailFrameSpace ||
      in.space() > kTailFrameSpace + static_cast<uint8_t>(Tier::kArchive)) {
    return Bad("a frame in space " + std::to_string(in.space()) +
               ", frames are in 6 to 10");
  }
  out->stage = in.stage();
  out->tier = in.space() == kTailFrameSpace
                  ? of_rendition
                  : static_cast<Tier>(in.space() - kTailFrameSpace);
  static_assert(kExactFrameSpace - kTailFrameSpace ==
                static_cast<uint8_t>(Tier::kExact));
  out->layers = {in.first_layer(), in.layer_count()};
  out->heads = {in.head_first(), in.head_count(), in.head_total()};
  out->bytes = in.bytes();
  out->checksum = in.checksum();
  if (Status heads = ValidateHeadRange(out->heads); !heads.ok()) {
    return Bad(std::string(heads.message()));
  }
  if (in.bytes() != 0 && in.bytes() <= kMaxFrameBytes) return Status();
  return Bad("a frame of " + std::to_string(in.bytes()) + " bytes, 1 to " +
             std::to_string(kMaxFrameBytes) + " are possible");
}

Status ReadRendition(const wire::Rendition& in, ManifestSegment* out) {
  REPRISE_ASSIGN_OR_RETURN(out->tier, ReadTier(in.tier()));
  REPRISE_ASSIGN_OR_RETURN(out->basis, ReadTier(in.basis()));
  out->codec = static_cast<CodecId>(in.codec());
  out->profile = IdFromWire<ProfileId>(in.profile());
  const uint32_t count = in.frames() == nullptr ? 0 : in.frames()->size();
  if (count > kMaxFramesPerRendition) {
    return Bad(std::to_string(count) + " frames in a rendition, at most " +
               std::to_string(kMaxFramesPerRendition));
  }
  out->frames.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    REPRISE_RETURN_IF_ERROR(
        ReadFrame(*in.frames()->Get(i), out->tier, &out->frames[i]));
  }
  return Status();
}

Result<ManifestSegment> ReadSegment(const wire::FetchSegment& in) {
  ManifestSegment out;
  out.id = IdFromWire<SegmentId>(in.segment());
  out.first_token = in.first_token();
  out.token_count = in.token_count();
  if (in.tokens() != nullptr && in.tokens()->size() > kSegmentTokens) {
    return Bad(At(out) + " has " + std::to_string(in.tokens()->size()) +
               " tokens, at most " + std::to_string(kSegmentTokens));
  }
  out.tokens = ToVector<TokenId>(in.tokens());
  if (in.rendition() != nullptr) {
    REPRISE_RETURN_IF_ERROR(ReadRendition(*in.rendition(), &out));
  }
  return out;
}

// Where each segment must stand, given the one before it.
Status CheckShape(const ManifestSegment& segment, uint64_t expected_first,
                  bool is_last) {
  if (segment.first_token != expected_first) {
    return Bad(At(segment) + " stands where the one at " +
               std::to_string(expected_first) + " should");
  }
  const size_t tokens = segment.tokens.size();
  if (tokens == 0) return Status();
  if (segment.token_count == 0 || segment.token_count > tokens) {
    return Bad(At(segment) + " counts " + std::to_string(segment.token_count) +
               " of its " + std::to_string(tokens) + " tokens");
  }
  if (!is_last && segment.token_count != kSegmentTokens) {
    return Bad(At(segment) + " has " + std::to_string(segment.token_count) +
               " tokens of " + std::to_string(kSegmentTokens) +
               ", but is not the last");
  }
  return Status();
}

SegmentId NameOf(const SegmentId& parent, std::span<const TokenId> tokens) {
  return tokens.size() == kSegmentTokens ? ChildSegmentId(parent, tokens)
                                         : TailId(parent, tokens);
}

Status CompareTokens(const ManifestSegment& segment,
                     std::span<const TokenId> given) {
  for (uint32_t i = 0; i < segment.token_count; ++i) {
    const uint64_t position = segment.first_token + i;
    if (position >= given.size()) return Status();
    if (given[position] != segment.tokens[i]) {
      return FailedPreconditionError("restore: the stored token at position " +
                                     std::to_string(position) +
                                     " is another than the given one");
    }
  }
  return Status();
}

// The name of what comes before `first_token`, as far as it is known.
struct Parent {
  bool known = false;
  SegmentId id;
};

Parent ParentAt(const ManifestChecks& checks) {
  const SegmentId root = RootSegmentId(checks.model);
  if (checks.first_token == 0) return {true, root};
  if (checks.tokens.size() < checks.first_token) return {};
  const auto ids =
      SegmentIdsOf(checks.model, checks.tokens.first(checks.first_token));
  return {true, ids.back()};
}

Status CheckName(const ManifestSegment& segment, const Parent& parent,
                 uint64_t first_token) {
  if (!parent.known) return Status();
  if (NameOf(parent.id, segment.tokens) == segment.id) return Status();
  if (segment.first_token == first_token && first_token > 0) {
    return FailedPreconditionError("restore: a stored token before position " +
                                   std::to_string(first_token) +
                                   " is another than the given one");
  }
  return Bad(At(segment) + ": its name does not follow from its tokens");
}

// Of which state it is, whatever its segments.
Status CheckState(const ManifestChecks& checks, const Manifest& manifest) {
  if (!checks.commit.IsZero() && manifest.version.head != checks.commit) {
    return Bad("of commit " + manifest.version.head.ShortHex() +
               ", asked for is " + checks.commit.ShortHex());
  }
  if (manifest.token_count <= checks.most_tokens) return Status();
  return Bad("of " + std::to_string(manifest.token_count) +
             " tokens, asked for are " + std::to_string(checks.most_tokens));
}

// Whether segments that end at `end` are all that was asked for.
Status CheckEnd(const ManifestChecks& checks, const Manifest& manifest,
                uint64_t end) {
  const uint64_t wanted = std::max(
      checks.first_token, std::min(checks.end_token, manifest.token_count));
  if (end >= wanted &&
      end <= std::max(checks.first_token, manifest.token_count)) {
    return Status();
  }
  return Bad("its segments end at " + std::to_string(end) +
             ", the tokens asked for at " +
             std::to_string(end < wanted ? wanted : manifest.token_count));
}

// Where the frames of stage 0 end.
size_t StageEnd(std::span<const ManifestFrame> frames) {
  size_t end = 0;
  while (end < frames.size() && frames[end].stage == 0) ++end;
  return end;
}

bool IsOfSamePlace(const ManifestFrame& a, const ManifestFrame& b) {
  return a.layers == b.layers && a.heads == b.heads;
}

// CheckCoverage of one stage's frames, in any order.
Status CheckStage(std::span<const ManifestFrame> frames,
                  std::span<const LayerGroup> groups) {
  // By group, then by where their heads begin, as fractions.
  std::vector<const ManifestFrame*> order;
  order.reserve(frames.size());
  for (const ManifestFrame& frame : frames) order.push_back(&frame);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    if (a->layers.first_layer != b->layers.first_layer) {
      return a->layers.first_layer < b->layers.first_layer;
    }
    return uint32_t{a->heads.first} * b->heads.total <
           uint32_t{b->heads.first} * a->heads.total;
  });
  size_t next = 0;
  for (const LayerGroup& group : groups) {
    uint32_t covered = 0, total = 1;
    while (covered < total) {
      const ManifestFrame* frame =
          next < order.size() ? order[next++] : nullptr;
      if (frame == nullptr || frame->layers != group ||
          uint32_t{frame->heads.first} * total !=
              covered * frame->heads.total) {
        return Bad("frames don't cover layers from " +
                   std::to_string(group.first_layer) + " on exactly once");
      }
      covered = uint32_t{frame->heads.first} + frame->heads.count;
      total = frame->heads.total;
    }
  }
  if (next == order.size()) return Status();
  return Bad(std::to_string(order.size()) + " frames, needed are " +
             std::to_string(next));
}

// Whether the rendition can be decoded here, as what it says to be.
bool CanServe(const ManifestChecks& checks, const ManifestSegment& segment) {
  const Codec* codec = FindCodec(segment.codec);
  if (codec == nullptr ||
      WorseOf(segment.tier, segment.basis) > checks.lowest) {
    return false;
  }
  if (segment.tier == Tier::kExact && !codec->is_exact()) return false;
  if (!CheckCoverage(segment.frames, *checks.groups).ok()) return false;
  if (segment.stage_count() == 1) return true;
  // No stage makes it worse, and the last makes it what it is said to be.
  const std::vector<Tier> tiers = StageTiersOf(segment.frames);
  return std::is_sorted(tiers.rbegin(), tiers.rend()) &&
         tiers.back() == segment.tier;
}

// Whether `now` has the frames of `before`, or those of its first stages.
bool GoesOn(const ManifestSegment& before, const ManifestSegment& now) {
  if (now.basis != before.basis || now.codec != before.codec ||
      now.profile != before.profile ||
      now.frames.size() > before.frames.size()) {
    return false;
  }
  if (now.frames.size() == before.frames.size()) {
    return now.tier == before.tier && now.frames == before.frames;
  }
  return !now.frames.empty() && now.frames.size() % before.units() == 0 &&
         std::equal(now.frames.begin(), now.frames.end(),
                    before.frames.begin());
}

}  // namespace

Result<Manifest> ReadManifest(const WireAnswer& answer) {
  auto table = VerifiedMeta<wire::FetchManifest>(answer.meta.view());
  if (!table.ok()) return Bad(std::string(table.status().message()));
  const wire::FetchManifest& in = **table;
  Manifest out;
  out.model = IdFromWire<ModelId>(in.model());
  out.version = {in.incarnation(), in.version(),
                 IdFromWire<CommitId>(in.commit())};
  out.token_count = in.token_count();
  out.pending = ToVector<TokenId>(in.pending());
  const uint32_t count = in.segments() == nullptr ? 0 : in.segments()->size();
  if (count > kMaxMatchSegments + 1 || out.token_count > kMaxSessionTokens ||
      out.pending.size() > kMaxPendingTokens) {
    return Bad(std::to_string(count) + " segments, " +
               std::to_string(out.token_count) + " tokens and " +
               std::to_string(out.pending.size()) + " pending ones, at most " +
               std::to_string(kMaxMatchSegments + 1) + ", " +
               std::to_string(kMaxSessionTokens) + " and " +
               std::to_string(kMaxPendingTokens));
  }
  out.segments.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    REPRISE_ASSIGN_OR_RETURN(ManifestSegment segment,
                             ReadSegment(*in.segments()->Get(i)));
    out.segments.push_back(std::move(segment));
  }
  return out;
}

Status CheckManifest(const ManifestChecks& checks, Manifest* manifest) {
  REPRISE_RETURN_IF_ERROR(CheckState(checks, *manifest));
  std::vector<ManifestSegment>& segments = manifest->segments;
  Parent parent = ParentAt(checks);
  uint64_t end = checks.first_token;
  size_t kept = 0;
  for (; kept < segments.size(); ++kept) {
    ManifestSegment& segment = segments[kept];
    const bool is_last = kept + 1 == segments.size();
    REPRISE_RETURN_IF_ERROR(CheckShape(segment, end, is_last));
    if (segment.tokens.empty()) break;
    REPRISE_RETURN_IF_ERROR(CompareTokens(segment, checks.tokens));
    REPRISE_RETURN_IF_ERROR(CheckName(segment, parent, checks.first_token));
    parent = {true, segment.id};
    if (segment.first_token >= checks.end_token) break;
    end = segment.end_token();
    segment.token_count = static_cast<uint32_t>(std::min<uint64_t>(
        segment.token_count, checks.end_token - segment.first_token));
    if (segment.tier != Tier::kTokens && !CanServe(checks, segment)) {
      DropRendition(&segment);
    }
  }
  const bool tokens_are_lost =
      kept < segments.size() && segments[kept].tokens.empty();
  segments.resize(kept);
  return tokens_are_lost ? Status() : CheckEnd(checks, *manifest, end);
}

Result<uint32_t> CheckContinuation(const Manifest& whole, uint32_t first,
                                   uint32_t end, const Manifest& part) {
  if (part.model != whole.model || part.version.head != whole.version.head) {
    return Bad("of commit " + part.version.head.ShortHex() + " and model " +
               part.model.ShortHex() + ", before it was " +
               whole.version.head.ShortHex() + " and " +
               whole.model.ShortHex());
  }
  if (part.segments.size() != end - first) {
    return Bad(std::to_string(part.segments.size()) +
               " segments, asked for are " + std::to_string(end - first));
  }
  uint32_t same_end = end;
  for (uint32_t i = first; i < end; ++i) {
    const ManifestSegment& before = whole.segments[i];
    const ManifestSegment& now = part.segments[i - first];
    if (now.id != before.id || now.first_token != before.first_token) {
      return Bad(At(now) + " is another than before, at " +
                 std::to_string(before.first_token));
    }
    if (!GoesOn(before, now)) same_end = std::min(same_end, i);
  }
  return same_end;
}

void DropRendition(ManifestSegment* segment) {
  segment->tier = Tier::kTokens;
  segment->basis = Tier::kTokens;
  segment->frames.clear();
}

Status CheckCoverage(std::span<const ManifestFrame> frames,
                     std::span<const LayerGroup> groups) {
  size_t first = 0;
  for (uint32_t stage = 0; stage == 0 || first < frames.size(); ++stage) {
    size_t end = first;
    while (end < frames.size() && frames[end].stage == stage) ++end;
    if (stage == kMaxStages || (stage > 0 && end == first)) {
      return Bad("a frame of stage " + std::to_string(frames[first].stage) +
                 " after those of " + std::to_string(stage) + " stages");
    }
    const auto of_stage = frames.subspan(first, end - first);
    if (stage == 0) {
      REPRISE_RETURN_IF_ERROR(CheckStage(of_stage, groups));
    } else if (!std::equal(
                   of_stage.begin(), of_stage.end(), frames.begin(),
                   frames.begin() + static_cast<ptrdiff_t>(StageEnd(frames)),
                   IsOfSamePlace)) {
      return Bad("frames of stage " + std::to_string(stage) +
                 " hold other layers or heads than those of stage 0");
    }
    first = end;
  }
  return Status();
}

std::vector<Tier> StageTiersOf(std::span<const ManifestFrame> frames) {
  std::vector<Tier> tiers;
  for (const ManifestFrame& frame : frames) {
    if (frame.stage == tiers.size()) tiers.push_back(frame.tier);
    // The worst of its frames': they should all be alike.
    if (frame.stage < tiers.size()) {
      tiers[frame.stage] = WorseOf(tiers[frame.stage], frame.tier);
    }
  }
  return tiers;
}

std::vector<TierRange> RangesOf(const Manifest& manifest) {
  std::vector<TierRange> ranges;
  for (const ManifestSegment& segment : manifest.segments) {
    AppendRange(
        {segment.first_token, segment.end_token(), segment.tier, segment.basis},
        &ranges);
  }
  return ranges;
}

void AppendRange(const TierRange& range, std::vector<TierRange>* ranges) {
  if (!ranges->empty() && ranges->back().end_token == range.first_token &&
      ranges->back().tier == range.tier &&
      ranges->back().basis == range.basis) {
    ranges->back().end_token = range.end_token;
  } else {
    ranges->push_back(range);
  }
}

RestoreInfo InfoOf(const Manifest& manifest, uint64_t first_token) {
  RestoreInfo info;
  info.version = manifest.version;
  info.first_token = first_token;
  for (const ManifestSegment& segment : manifest.segments) {
    info.tokens.insert(info.tokens.end(), segment.tokens.begin(),
                       segment.tokens.begin() + segment.token_count);
    for (const ManifestFrame& frame : segment.frames) {
      info.bytes_to_move += frame.bytes;
    }
  }
  info.ranges = RangesOf(manifest);
  // They follow the last token of all, not the end of a cut.
  if (first_token + info.tokens.size() == manifest.token_count) {
    info.pending = manifest.pending;
  }
  return info;
}

}  // namespace reprise
