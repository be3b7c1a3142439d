#include "api/wire_records.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "api/handler_call.h"

namespace reprise {
namespace {

// kMaxLayers layers in groups of one are the most groups there can be.
static_assert(kMaxLayers <= 4096 && kMaxHeads <= 4096,
              "FrameIndex has 12 bits for each");

Status BadFrame(std::string_view what, uint64_t is, std::string_view rule) {
  return InvalidArgumentError("frame of a rendition: " + std::string(what) +
                              " is " + std::to_string(is) + ", " +
                              std::string(rule));
}

// Groups are consecutive: the one that begins at `first_layer`.
Result<uint32_t> GroupIndex(std::span<const LayerGroup> groups,
                            uint32_t first_layer, uint32_t layer_count) {
  auto it = std::lower_bound(groups.begin(), groups.end(), first_layer,
                             [](const LayerGroup& group, uint32_t layer) {
                               return group.first_layer < layer;
                             });
  if (it == groups.end() || it->first_layer != first_layer) {
    return BadFrame("first layer", first_layer, "no layer group begins there");
  }
  if (it->layer_count != layer_count) {
    return BadFrame("layer count", layer_count,
                    "its group has " + std::to_string(it->layer_count));
  }
  return static_cast<uint32_t>(it - groups.begin());
}

Result<FrameRef> FrameRefFromWire(const wire::FrameRef& wire,
                                  std::span<const LayerGroup> groups) {
  FrameRef frame;
  frame.rendition = RenditionIdFromWire(wire.rendition());
  constexpr auto kFirst = static_cast<uint8_t>(ObjectSpace::kTailFrame);
  constexpr auto kLast = static_cast<uint8_t>(ObjectSpace::kFrameArchive);
  if (wire.space() < kFirst || wire.space() > kLast) {
    return BadFrame("space", wire.space(),
                    "frames are in " + std::to_string(kFirst) + " to " +
                        std::to_string(kLast));
  }
  frame.space = static_cast<ObjectSpace>(wire.space());
  frame.stage = wire.stage();
  REPRISE_ASSIGN_OR_RETURN(
      uint32_t group,
      GroupIndex(groups, wire.first_layer(), wire.layer_count()));
  frame.first_layer = wire.first_layer();
  frame.layer_count = wire.layer_count();
  frame.heads = {.first = wire.head_first(),
                 .count = wire.head_count(),
                 .total = wire.head_total()};
  REPRISE_RETURN_IF_ERROR(ValidateHeadRange(frame.heads));
  frame.index = FrameIndex(frame.stage, group, frame.heads.first);
  if (wire.bytes() == 0 || wire.bytes() > kMaxFrameBytes) {
    return BadFrame("bytes", wire.bytes(),
                    "the limit is " + std::to_string(kMaxFrameBytes));
  }
  frame.bytes = wire.bytes();
  frame.checksum = wire.checksum();
  return frame;
}

wire::Id16 RenditionIdToWire(const RenditionId& id) {
  return wire::Id16(flatbuffers::span<const uint8_t, 16>(id.bytes));
}

wire::FrameRef FrameRefToWire(const FrameRef& frame) {
  return wire::FrameRef(
      RenditionIdToWire(frame.rendition), static_cast<uint8_t>(frame.space),
      frame.stage, frame.first_layer, frame.layer_count, frame.heads.first,
      frame.heads.count, frame.heads.total, frame.bytes, frame.checksum);
}

}  // namespace

RenditionId RenditionIdFromWire(const wire::Id16& id) {
  RenditionId out;
  std::memcpy(out.bytes.data(), id.bytes()->data(), out.bytes.size());
  return out;
}

Result<Rendition> RenditionFromWire(const wire::Rendition& table,
                                    std::span<const LayerGroup> groups) {
  if (table.id() == nullptr || table.frames() == nullptr) {
    return InvalidArgumentError("rendition: id or frames are missing");
  }
  if (table.frames()->size() > kMaxFramesPerRendition) {
    return OverLimit("rendition: frames", table.frames()->size(),
                     kMaxFramesPerRendition);
  }
  Rendition rendition;
  rendition.id = RenditionIdFromWire(*table.id());
  REPRISE_ASSIGN_OR_RETURN(rendition.tier,
                           CheckTier("rendition: tier", table.tier()));
  REPRISE_ASSIGN_OR_RETURN(rendition.basis,
                           CheckTier("rendition: basis", table.basis()));
  if (rendition.tier == Tier::kTokens) {
    return InvalidArgumentError("rendition: tier is tokens, which has none");
  }
  rendition.codec = static_cast<CodecId>(table.codec());
  rendition.profile = IdFromWire<ProfileId>(table.profile());
  rendition.other_weights = table.other_weights();
  rendition.writer = table.writer();
  rendition.raw_bytes = table.raw_bytes();
  rendition.frames.reserve(table.frames()->size());
  for (const wire::FrameRef* wire : *table.frames()) {
    REPRISE_ASSIGN_OR_RETURN(FrameRef frame, FrameRefFromWire(*wire, groups));
    rendition.frames.push_back(frame);
  }
  return rendition;
}

flatbuffers::Offset<wire::Rendition> RenditionToWire(
    const Rendition& rendition, flatbuffers::FlatBufferBuilder* builder) {
  std::vector<wire::FrameRef> frames;
  frames.reserve(rendition.frames.size());
  for (const FrameRef& frame : rendition.frames) {
    frames.push_back(FrameRefToWire(frame));
  }
  auto frames_at = builder->CreateVectorOfStructs(frames);
  wire::Id16 id = RenditionIdToWire(rendition.id);
  wire::Id32 profile = IdToWire(rendition.profile);
  return wire::CreateRendition(
      *builder, &id, static_cast<uint8_t>(rendition.tier),
      static_cast<uint8_t>(rendition.basis),
      static_cast<uint16_t>(rendition.codec),
      rendition.profile.IsZero() ? nullptr : &profile, rendition.writer,
      rendition.raw_bytes, frames_at, rendition.other_weights);
}

std::unique_ptr<wire::SessionT> SessionToWire(const SessionInfo& info) {
  const SessionRecord& record = info.record;
  auto session = std::make_unique<wire::SessionT>();
  session->name = info.name;
  session->model = OptionalIdToWire(record.model);
  session->head = OptionalIdToWire(record.head);
  session->incarnation = record.incarnation;
  session->version = record.version;
  session->token_count = record.token_count;
  session->created_ms = record.created_ms;
  session->changed_ms = record.changed_ms;
  session->last_use_ms = info.last_use_ms;
  session->policy = record.policy;
  session->ttl_ms = record.ttl_ms;
  session->pinned_until_ms = record.pinned_until_ms;
  for (const auto& [key, value] : record.labels) {
    auto label = std::make_unique<wire::LabelT>();
    label->key = key;
    label->value = value;
    session->labels.push_back(std::move(label));
  }
  return session;
}

}  // namespace reprise
