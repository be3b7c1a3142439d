// Frames beside the model that they claim to be of, and frames for people.
#include <string>

#include "base/limits.h"
#include "codec/frame.h"
#include "codec/message.h"

namespace reprise {
namespace {

struct HeadCut {
  uint32_t first = 0;
  uint32_t count = 0;  // 0: the plane is not in frames of this range
};

// The heads of one plane that a frame of `range` holds.
Result<HeadCut> CutHeads(const PlaneSpec& plane, const HeadRange& range) {
  if (plane.split == HeadSplit::kReplicated) {
    return HeadCut{.first = 0, .count = range.first == 0 ? plane.heads : 0};
  }
  const uint32_t first = plane.heads * range.first;
  const uint32_t end = plane.heads * (range.first + range.count);
  if (first % range.total != 0 || end % range.total != 0) {
    return InvalidArgumentError(CatMessage(
        "heads: ", range.count, " from ", range.first, " on, of ", range.total,
        ", cut a head of plane ", plane.name, ", which has ", plane.heads));
  }
  return HeadCut{.first = first / range.total,
                 .count = (end - first) / range.total};
}

Status CheckGroup(const LayerGroup& group, const ModelSpec& spec) {
  LayerGroup own;
  do {
    own = NextLayerGroup(spec, own.first_layer + own.layer_count);
  } while (own.layer_count != 0 && own.first_layer < group.first_layer);
  if (own == group) return Status();
  return InvalidArgumentError(
      CatMessage("frame: has ", group.layer_count, " layers from ",
                 group.first_layer, " on, the model has a group of ",
                 own.layer_count, " from ", own.first_layer, " on"));
}

Status CheckRawBytes(const FrameInfo& info, const ModelSpec& spec) {
  uint64_t token_bytes = 0;
  for (uint32_t i = 0; i < info.layers.layer_count; ++i) {
    for (const PlaneSpec& plane :
         spec.layers[info.layers.first_layer + i].planes) {
      REPRISE_ASSIGN_OR_RETURN(const HeadCut cut, CutHeads(plane, info.heads));
      token_bytes += uint64_t{cut.count} * plane.dim * DTypeBytes(plane.dtype);
    }
  }
  if (token_bytes == 0) {
    return InvalidArgumentError(
        "frame: no plane of the model is in its head range");
  }
  if (info.raw_bytes != token_bytes * info.token_count) {
    return InvalidArgumentError(
        CatMessage("frame: decodes to ", info.raw_bytes, " bytes, ",
                   token_bytes * info.token_count, " are the model's"));
  }
  return Status();
}

Status CheckSectionPlace(const FrameSection& section, size_t index,
                         const HeadRange& heads, const ModelSpec& spec) {
  const std::vector<PlaneSpec>& planes = spec.layers[section.layer].planes;
  if (section.plane >= planes.size()) {
    return InvalidArgumentError(
        CatMessage("frame: section ", index, " is of plane ", section.plane,
                   ", layer ", section.layer, " has ", planes.size()));
  }
  const PlaneSpec& plane = planes[section.plane];
  REPRISE_ASSIGN_OR_RETURN(const HeadCut cut, CutHeads(plane, heads));
  const uint64_t first = uint64_t{cut.first} * plane.dim;
  const uint64_t end = first + uint64_t{cut.count} * plane.dim;
  if (cut.count == 0 || section.channel_first < first ||
      uint64_t{section.channel_first} + section.channel_count > end) {
    return InvalidArgumentError(CatMessage(
        "frame: section ", index, " has ", section.channel_count,
        " channels from ", section.channel_first, " on, its plane's slice ",
        end - first, " from ", first, " on"));
  }
  return Status();
}

}  // namespace

Result<std::vector<PlaneSlice>> SlicePlanes(const ModelSpec& spec,
                                            const LayerGroup& group,
                                            const HeadRange& heads) {
  REPRISE_RETURN_IF_ERROR(ValidateHeadRange(heads));
  std::vector<PlaneSlice> slices;
  for (uint32_t i = 0; i < group.layer_count; ++i) {
    const uint32_t layer = group.first_layer + i;
    const std::vector<PlaneSpec>& planes = spec.layers[layer].planes;
    for (size_t p = 0; p < planes.size(); ++p) {
      REPRISE_ASSIGN_OR_RETURN(const HeadCut cut, CutHeads(planes[p], heads));
      if (cut.count == 0) continue;
      slices.push_back({.layer = static_cast<uint16_t>(layer),
                        .plane = static_cast<uint8_t>(p),
                        .head_first = cut.first,
                        .head_count = cut.count,
                        .spec = &planes[p]});
    }
  }
  return slices;
}

Status CheckFrameAgainstModel(const FrameView& frame, const ModelSpec& spec) {
  const FrameInfo& info = frame.info;
  REPRISE_RETURN_IF_ERROR(CheckGroup(info.layers, spec));
  REPRISE_RETURN_IF_ERROR(CheckRawBytes(info, spec));
  for (size_t i = 0; i < frame.sections.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(
        CheckSectionPlace(frame.sections[i], i, info.heads, spec));
  }
  return Status();
}

std::string DescribeFrame(const FrameView& frame) {
  const FrameInfo& info = frame.info;
  std::string text = CatMessage(
      "codec       ", CodecIdName(info.codec), " (",
      static_cast<int>(info.codec), "), stage ", info.stage, "\nsegment     ",
      info.segment.Hex(), info.is_tail ? " (tail)" : "", "\nmodel       ",
      info.model.Hex(), "\nprofile     ",
      info.profile.IsZero() ? "none" : info.profile.Hex(), "\ntokens      ",
      info.token_count, " from ", info.first_token, "\nlayers      ",
      info.layers.layer_count, " from ", info.layers.first_layer,
      "\nheads       ", info.heads.count, " from ", info.heads.first, ", of ",
      info.heads.total, "\nbytes       ", frame.bytes.size(), " of ",
      info.raw_bytes, " raw\nsections    ", frame.sections.size(), "\n");
  for (const FrameSection& section : frame.sections) {
    text += CatMessage("  layer ", section.layer, " plane ", section.plane,
                       ": channels ", section.channel_count, " from ",
                       section.channel_first, ", mode ", section.mode,
                       ", words ", section.words, ", bytes ", section.bytes,
                       " at ", section.offset, "\n");
  }
  return text;
}

}  // namespace reprise
