// Rendition sets: how one segment's values are stored.
#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "store/record_envelope.h"
#include "store/records.h"

namespace reprise {
namespace {

constexpr std::string_view kName = "rendition record";
constexpr uint64_t kFrameBytes = 28;
constexpr uint32_t kHeadMask = 0xfff;
// Written only where a rendition has a flag.
constexpr uint8_t kWithFlags = 2;
// Written only for a set without renditions.
constexpr uint8_t kTokensOnly = 3;
constexpr uint8_t kLatest = kTokensOnly;

uint8_t VersionOf(const RenditionSet& set) {
  if (set.renditions.empty()) return kTokensOnly;
  const bool has_flags =
      std::ranges::any_of(set.renditions, &Rendition::other_weights);
  return has_flags ? kWithFlags : 1;
}

void WriteFrame(RecordWriter* out, const FrameRef& frame,
                const RenditionId& own) {
  const bool shared = frame.rendition != own;
  out->U32(frame.index);
  out->U16(frame.first_layer);
  out->U16(frame.layer_count);
  out->U16(frame.heads.count);
  out->U16(frame.heads.total);
  out->U32(frame.bytes);
  out->U64(frame.checksum);
  out->U8(static_cast<uint8_t>(frame.space));
  out->U8(shared ? 1 : 0);
  out->U16(0);
  if (shared) out->Raw(frame.rendition.bytes);
}

Status CheckFrame(const FrameRef& frame, uint8_t shared, uint16_t reserved,
                  const RenditionId& own) {
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "layer count", frame.layer_count, 1, kMaxLayers));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "head total", frame.heads.total, 1, kMaxHeads));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "head count", frame.heads.count, 1, kMaxHeads));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "last head",
                                  frame.heads.first + frame.heads.count, 1,
                                  frame.heads.total));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "frame bytes", frame.bytes, 1, kMaxFrameBytes));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "frame space", static_cast<uint64_t>(frame.space),
              static_cast<uint64_t>(ObjectSpace::kTailFrame),
              static_cast<uint64_t>(ObjectSpace::kFrameArchive)));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "shared flag", shared, 0, 1));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "reserved", reserved, 0, 0));
  if (shared == 1 && frame.rendition == own) {
    return DataLossError("rendition record: a frame is shared with itself");
  }
  return Status();
}

Result<FrameRef> ReadFrame(ByteReader* in, const RenditionId& own) {
  FrameRef frame;
  frame.index = in->U32();
  frame.stage = static_cast<uint8_t>(frame.index >> 24);
  frame.heads.first = static_cast<uint16_t>(frame.index & kHeadMask);
  frame.first_layer = in->U16();
  frame.layer_count = in->U16();
  frame.heads.count = in->U16();
  frame.heads.total = in->U16();
  frame.bytes = in->U32();
  frame.checksum = in->U64();
  frame.space = static_cast<ObjectSpace>(in->U8());
  const uint8_t shared = in->U8();
  const uint16_t reserved = in->U16();
  if (shared == 1) {
    in->Copy(frame.rendition.bytes);
  } else {
    frame.rendition = own;
  }
  REPRISE_RETURN_IF_ERROR(in->Check(kName));
  REPRISE_RETURN_IF_ERROR(CheckFrame(frame, shared, reserved, own));
  return frame;
}

void WriteDetails(RecordWriter* out, const Rendition& rendition) {
  out->Raw(rendition.id.bytes);
  out->Raw(rendition.profile.view());
  out->U64(rendition.writer);
  out->U64(static_cast<uint64_t>(rendition.time_ms));
  for (const FrameRef& frame : rendition.frames) {
    WriteFrame(out, frame, rendition.id);
  }
}

Result<Rendition> ReadDetails(ByteReader* in, const RenditionSummary& summary) {
  Rendition rendition;
  rendition.tier = summary.tier;
  rendition.basis = summary.basis;
  rendition.codec = summary.codec;
  rendition.raw_bytes = summary.raw_bytes;
  in->Copy(rendition.id.bytes);
  rendition.profile = ReadId<ProfileId>(in);
  rendition.writer = in->U64();
  rendition.time_ms = static_cast<int64_t>(in->U64());
  REPRISE_RETURN_IF_ERROR(in->Check(kName));
  if (in->left() < summary.frame_count * kFrameBytes) {
    return DataLossError("rendition record: " + std::to_string(in->left()) +
                         " bytes left for " +
                         std::to_string(summary.frame_count) + " frames");
  }
  rendition.frames.reserve(summary.frame_count);
  for (uint32_t i = 0; i < summary.frame_count; ++i) {
    REPRISE_ASSIGN_OR_RETURN(FrameRef frame, ReadFrame(in, rendition.id));
    if (i > 0 && frame.index <= rendition.frames.back().index) {
      return DataLossError("rendition record: frame " + std::to_string(i) +
                           " does not ascend");
    }
    rendition.frames.push_back(frame);
  }
  if (rendition.stored_bytes() != summary.stored_bytes) {
    return DataLossError("rendition record: frames have " +
                         std::to_string(rendition.stored_bytes()) +
                         " bytes, summary says " +
                         std::to_string(summary.stored_bytes));
  }
  return rendition;
}

Status ReadSummary(ByteReader* in, RenditionSummary* out) {
  const uint8_t tier = in->U8();
  const uint8_t basis = in->U8();
  const uint16_t codec = in->U16();
  out->frame_count = in->U32();
  out->stored_bytes = in->U64();
  out->raw_bytes = in->U64();
  REPRISE_RETURN_IF_ERROR(in->Check(kName));
  constexpr uint64_t kLast = static_cast<uint64_t>(Tier::kArchive);
  REPRISE_RETURN_IF_ERROR(InRange(kName, "tier", tier, 1, kLast));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "basis", basis, 1, kLast));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "codec", codec, 1, UINT16_MAX));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "frame count", out->frame_count, 1,
                                  kMaxFramesPerRendition));
  out->tier = static_cast<Tier>(tier);
  out->basis = static_cast<Tier>(basis);
  out->codec = static_cast<CodecId>(codec);
  return Status();
}

// `flags` has a bit for each rendition with a profile of other weights.
Status ReadSummaries(ByteReader* in, uint8_t version, RenditionSummaries* out,
                     uint8_t* flags) {
  out->count = in->U8();
  *flags = in->U8();
  const uint32_t reserved = in->U16();
  REPRISE_RETURN_IF_ERROR(in->Check(kName));
  const uint32_t least = version == kTokensOnly ? 0 : 1;
  const uint32_t most = version == kTokensOnly ? 0 : kMaxRenditionsPerSet;
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "rendition count", out->count, least, most));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "reserved", reserved, 0, 0));
  // A set without flags is of version 1, so that equal sets have equal bytes.
  REPRISE_RETURN_IF_ERROR(
      version != kWithFlags
          ? InRange(kName, "reserved", *flags, 0, 0)
          : InRange(kName, "flags", *flags, 1, (1u << out->count) - 1));
  for (uint32_t i = 0; i < out->count; ++i) {
    REPRISE_RETURN_IF_ERROR(ReadSummary(in, &out->items[i]));
    if (i > 0 && out->items[i].tier <= out->items[i - 1].tier) {
      return DataLossError("rendition record: tiers do not ascend");
    }
  }
  return Status();
}

// A tie goes to what comes first: the better tier.
template <typename Range>
auto* BestOf(Range&& renditions, Tier lowest) {
  decltype(&*std::begin(renditions)) best = nullptr;
  for (auto& each : renditions) {
    if (each.effective() > lowest) continue;
    if (best == nullptr || each.effective() < best->effective()) best = &each;
  }
  return best;
}

}  // namespace

uint64_t Rendition::stored_bytes() const {
  uint64_t sum = 0;
  for (const FrameRef& frame : frames) sum += frame.bytes;
  return sum;
}

const Rendition* RenditionSet::Best(Tier lowest) const {
  return BestOf(renditions, lowest);
}

const RenditionSummary* RenditionSummaries::Best(Tier lowest) const {
  return BestOf(std::span(items).first(count), lowest);
}

Bytes EncodeRenditionSet(const RenditionSet& set) {
  const std::vector<Rendition>& all = set.renditions;
  REPRISE_CHECK(all.size() <= kMaxRenditionsPerSet);
  uint64_t size = 4;
  for (const Rendition& each : all) {
    size += 88 + each.frames.size() * (kFrameBytes + 16);
  }
  uint32_t flags = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].other_weights) flags |= 1u << i;
  }
  RecordWriter out(kRenditionKind, size, VersionOf(set));
  out.U8(static_cast<uint8_t>(all.size()));
  out.U8(static_cast<uint8_t>(flags));
  out.U16(0);
  for (const Rendition& each : all) {
    out.U8(static_cast<uint8_t>(each.tier));
    out.U8(static_cast<uint8_t>(each.basis));
    out.U16(static_cast<uint16_t>(each.codec));
    out.U32(static_cast<uint32_t>(each.frames.size()));
    out.U64(each.stored_bytes());
    out.U64(each.raw_bytes);
  }
  for (const Rendition& each : all) WriteDetails(&out, each);
  return out.Finish();
}

Result<RenditionSet> DecodeRenditionSet(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kRenditionKind, kName, kLatest));
  RenditionSummaries summaries;
  uint8_t flags = 0;
  REPRISE_RETURN_IF_ERROR(
      ReadSummaries(&in, RecordVersion(bytes), &summaries, &flags));
  RenditionSet set;
  set.renditions.reserve(summaries.count);
  for (uint32_t i = 0; i < summaries.count; ++i) {
    REPRISE_ASSIGN_OR_RETURN(Rendition rendition,
                             ReadDetails(&in, summaries.items[i]));
    rendition.other_weights = (flags >> i & 1) != 0;
    set.renditions.push_back(std::move(rendition));
  }
  REPRISE_RETURN_IF_ERROR(in.Finish(kName));
  return set;
}

Status DecodeRenditionSummaries(ByteView bytes, RenditionSummaries* out) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kRenditionKind, kName, kLatest));
  uint8_t flags = 0;
  return ReadSummaries(&in, RecordVersion(bytes), out, &flags);
}

}  // namespace reprise
