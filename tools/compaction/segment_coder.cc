#include "tools/compaction/segment_coder.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>

#include "base/limits.h"
#include "tools/compaction/plane_error.h"

namespace reprise {
namespace {

Status NotTheOne(const char* field) {
  return DataLossError(std::string("frame: its ") + field +
                       " is not what its rendition says");
}

Status CheckIsNamed(const FrameInfo& info, const FrameRef& ref,
                    const SegmentRecord& segment, const SegmentId& id,
                    const Rendition& rendition) {
  if (info.model != segment.model) return NotTheOne("model");
  if (info.segment != id) return NotTheOne("segment");
  if (info.codec != rendition.codec) return NotTheOne("codec");
  if (info.profile != rendition.profile) return NotTheOne("profile");
  if (info.first_token != segment.first_token ||
      info.token_count != segment.tokens.size()) {
    return NotTheOne("range of tokens");
  }
  if (info.stage != ref.stage) return NotTheOne("stage");
  if (info.layers.first_layer != ref.first_layer ||
      info.layers.layer_count != ref.layer_count) {
    return NotTheOne("range of layers");
  }
  if (info.heads != ref.heads) return NotTheOne("range of heads");
  return Status();
}

// Where each of `parts`, which have some of the heads, lies in the rows of a
// group's slices, which have all.
std::vector<PlaneRows> RowsOf(const SegmentModel::Group& group, uint32_t tokens,
                              std::span<const PlaneSlice> parts,
                              uint8_t* rows) {
  std::vector<PlaneRows> out;
  for (const PlaneSlice& part : parts) {
    uint8_t* at = rows;
    for (const PlaneSlice& slice : group.slices) {
      if (slice.layer == part.layer && slice.plane == part.plane) {
        const uint64_t skipped =
            uint64_t{part.channel_first()} * DTypeBytes(part.spec->dtype);
        out.push_back({at + skipped, slice.token_bytes()});
        break;
      }
      at += tokens * slice.token_bytes();
    }
  }
  return out;
}

bool IsOneValue(DType dtype, const uint8_t* elements, uint64_t count) {
  const uint64_t element_bytes = DTypeBytes(dtype);
  return std::memcmp(elements, elements + element_bytes,
                     (count - 1) * element_bytes) == 0;
}

std::string OverLimit(const char* what, double error, double limit) {
  char numbers[128];
  std::snprintf(numbers, sizeof(numbers), ": %s is %.4g, limit is %.4g", what,
                error, limit);
  return numbers;
}

}  // namespace

uint64_t GroupRowBytes(const SegmentModel::Group& group, uint32_t tokens) {
  return RawBytesOf(group.slices, tokens);
}

Status SegmentCoder::Decode(const SegmentModel& model,
                            const SegmentRecord& segment,
                            const StoredFrames& frames, size_t group,
                            Bytes* rows) {
  const SegmentModel::Group& wanted = model.groups[group];
  const auto tokens = static_cast<uint32_t>(segment.tokens.size());
  rows->resize(GroupRowBytes(wanted, tokens));
  // Frames ascend by stage: each list does too.
  std::map<uint16_t, std::vector<size_t>> by_head;
  for (size_t i = 0; i < frames.rendition->frames.size(); ++i) {
    const FrameRef& ref = frames.rendition->frames[i];
    if (ref.first_layer == wanted.layers.first_layer) {
      by_head[ref.heads.first].push_back(i);
    }
  }
  uint64_t covered = 0;
  for (const auto& [head, stages] : by_head) {
    REPRISE_RETURN_IF_ERROR(
        DecodeHeads(model, segment, frames, wanted, stages, rows));
    covered += views_[0].info.raw_bytes;
  }
  // That ranges of heads don't overlap was checked when it was published.
  if (covered == rows->size()) return Status();
  return DataLossError("rendition: its frames decode to " +
                       std::to_string(covered) + " bytes of a group, it has " +
                       std::to_string(rows->size()));
}

Status SegmentCoder::Parse(const SegmentModel& model,
                           const SegmentRecord& segment, const SegmentId& id,
                           const StoredFrames& frames, size_t index,
                           size_t stage) {
  FrameView& view = views_[stage];
  REPRISE_RETURN_IF_ERROR(ParseFrame(frames.bytes[index], &view));
  REPRISE_RETURN_IF_ERROR(CheckIsNamed(view.info,
                                       frames.rendition->frames[index], segment,
                                       id, *frames.rendition));
  return CheckFrameAgainstModel(view, model.spec);
}

Status SegmentCoder::CheckFrames(const SegmentModel& model,
                                 const SegmentRecord& segment,
                                 const StoredFrames& frames) {
  const SegmentId id = segment.Id();
  for (size_t i = 0; i < frames.bytes.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(Parse(model, segment, id, frames, i, 0));
  }
  return Status();
}

Status SegmentCoder::DecodeHeads(const SegmentModel& model,
                                 const SegmentRecord& segment,
                                 const StoredFrames& frames,
                                 const SegmentModel::Group& group,
                                 std::span<const size_t> stages, Bytes* rows) {
  if (stages.size() > kMaxStages) {
    return DataLossError("rendition: " + std::to_string(stages.size()) +
                         " stages, at most " + std::to_string(kMaxStages));
  }
  const SegmentId id = segment.Id();
  std::array<const FrameView*, kMaxStages> views{};
  for (size_t s = 0; s < stages.size(); ++s) {
    REPRISE_RETURN_IF_ERROR(Parse(model, segment, id, frames, stages[s], s));
    views[s] = &views_[s];
  }
  REPRISE_ASSIGN_OR_RETURN(
      const std::vector<PlaneSlice> slices,
      SlicePlanes(model.spec, group.layers, views_[0].info.heads));
  const std::vector<PlaneRows> targets =
      RowsOf(group, static_cast<uint32_t>(segment.tokens.size()), slices,
             rows->data());
  DecodeRequest request;
  request.slices = slices;
  request.rows = targets;
  request.token_count = static_cast<uint32_t>(segment.tokens.size());
  request.profile = frames.profile;
  return frames.codec->DecodeStages(std::span(views).first(stages.size()),
                                    request, &scratch_);
}

Result<std::vector<Bytes>> SegmentCoder::Encode(const SegmentModel& model,
                                                const SegmentRecord& segment,
                                                const TierCodec& codec,
                                                size_t group, ByteView rows) {
  const SegmentModel::Group& source = model.groups[group];
  const auto tokens = static_cast<uint32_t>(segment.tokens.size());
  std::vector<ConstPlaneRows> planes;
  const uint8_t* at = rows.data();
  for (const PlaneSlice& slice : source.slices) {
    planes.push_back({at, slice.token_bytes()});
    at += tokens * slice.token_bytes();
  }
  EncodeRequest request;
  request.info.is_tail = segment.is_tail();
  request.info.model = segment.model;
  request.info.segment = segment.Id();
  request.info.first_token = segment.first_token;
  request.info.token_count = static_cast<uint16_t>(tokens);
  request.info.layers = source.layers;
  request.info.heads = HeadRange::All();
  request.slices = source.slices;
  request.rows = planes;
  request.profile = codec.profile.get();
  request.options = codec.choice.options.get();
  const uint32_t stages =
      codec.choice.codec->stage_count(codec.choice.options.get());
  if (stages == 0 || stages > kMaxStages) {
    return InternalError("encode: " + std::to_string(stages) +
                         " stages, 1 to " + std::to_string(kMaxStages) +
                         " are possible");
  }
  std::array<FrameBuilder*, kMaxStages> builders{};
  for (uint32_t s = 0; s < stages; ++s) builders[s] = &builders_[s];
  REPRISE_RETURN_IF_ERROR(codec.choice.codec->EncodeStages(
      request, &scratch_, std::span(builders).first(stages)));
  std::vector<Bytes> frames;
  for (uint32_t s = 0; s < stages; ++s) {
    REPRISE_ASSIGN_OR_RETURN(const ByteView frame, builders_[s].Finish());
    frames.emplace_back(frame.begin(), frame.end());
  }
  return frames;
}

std::string FindErrorOver(const SegmentModel::Group& group, uint32_t tokens,
                          ByteView source, ByteView decoded, double limit,
                          double* worst) {
  std::string found;
  double sum = 0;
  uint64_t at = 0;
  for (const PlaneSlice& slice : group.slices) {
    const DType dtype = slice.spec->dtype;
    const uint8_t* const from = source.data() + at;
    const uint8_t* const to = decoded.data() + at;
    const uint64_t count = uint64_t{tokens} * slice.channels();
    at += tokens * slice.token_bytes();
    const double error = RelativeError(dtype, from, to, count);
    sum += error;
    *worst = std::max(*worst, error);
    if (!found.empty()) continue;
    const std::string plane =
        "layer " + std::to_string(slice.layer) + " plane " + slice.spec->name;
    if (error > limit) {
      found = plane + OverLimit("relative error", error, limit);
    } else if (IsOneValue(dtype, to, count) &&
               !IsOneValue(dtype, from, count)) {
      found = plane + ": all of it decodes to one value";
    }
  }
  const double mean = sum / static_cast<double>(group.slices.size());
  if (!found.empty() || mean <= kMaxMeanError) return found;
  return "layers from " + std::to_string(group.layers.first_layer) +
         OverLimit("mean relative error of planes", mean, kMaxMeanError);
}

}  // namespace reprise
