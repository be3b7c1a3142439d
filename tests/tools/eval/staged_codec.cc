#include "tests/tools/eval/staged_codec.h"

#include <cstring>

namespace reprise {
namespace {

// What of the low byte a stage stores.
uint8_t StoredByte(uint16_t element, uint32_t stage) {
  if (stage == 0) return static_cast<uint8_t>(element >> 8);
  return static_cast<uint8_t>(stage == 1 ? element & 0xf0 : element & 0xff);
}

FrameSection SectionOf(const PlaneSlice& slice) {
  return {.layer = slice.layer,
          .plane = slice.plane,
          .channel_first = slice.channel_first(),
          .channel_count = slice.channels()};
}

}  // namespace

Tier StagedCodec::stage_tier(uint32_t stage, const CodecOptions*) const {
  constexpr Tier kTiers[] = {Tier::kArchive, Tier::kCoarse, Tier::kExact};
  return kTiers[stage];
}

Result<std::shared_ptr<const CodecProfile>> StagedCodec::ParseProfile(
    ByteView) const {
  return InvalidArgumentError("staged: has no profiles");
}

Status StagedCodec::Encode(const EncodeRequest&, CodecScratch*,
                           FrameBuilder*) const {
  return InvalidArgumentError("staged: makes 3 frames");
}

Status StagedCodec::Decode(const FrameView&, const DecodeRequest&,
                           CodecScratch*) const {
  return InvalidArgumentError("staged: decodes all stages at once");
}

Status StagedCodec::EncodeStages(
    const EncodeRequest& request, CodecScratch*,
    std::span<FrameBuilder* const> builders) const {
  ++encodings;
  REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
  if (builders.size() != kStages) {
    return InvalidArgumentError("staged: makes 3 frames");
  }
  for (uint32_t stage = 0; stage < kStages; ++stage) {
    FrameInfo info = request.info;
    info.codec = id();
    info.stage = static_cast<uint8_t>(stage);
    info.raw_bytes = RawBytesOf(request.slices, info.token_count);
    builders[stage]->Start(info, static_cast<uint32_t>(request.slices.size()));
    for (size_t i = 0; i < request.slices.size(); ++i) {
      const uint32_t channels = request.slices[i].channels();
      const uint64_t bytes = uint64_t{channels} * info.token_count;
      uint8_t* out = builders[stage]->BeginSection(bytes).data();
      for (uint32_t t = 0; t < info.token_count; ++t) {
        const uint8_t* const row =
            request.rows[i].data + t * request.rows[i].token_stride_bytes;
        for (uint32_t c = 0; c < channels; ++c) {
          *out++ = StoredByte(LoadLe<uint16_t>(row + 2 * c), stage);
        }
      }
      builders[stage]->EndSection(SectionOf(request.slices[i]), bytes);
    }
  }
  return Status();
}

Status StagedCodec::DecodeStages(std::span<const FrameView* const> frames,
                                 const DecodeRequest& request,
                                 CodecScratch*) const {
  for (size_t k = 0; k < frames.size(); ++k) {
    if (frames[k]->info.stage != k) {
      return InvalidArgumentError("staged: stages are not 0, 1, 2");
    }
  }
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const uint32_t channels = request.slices[i].channels();
    const ByteView high = frames[0]->Section(frames[0]->sections[i]);
    const FrameView& last = *frames.back();
    const ByteView low = last.Section(last.sections[i]);
    for (uint32_t t = 0; t < request.token_count; ++t) {
      uint8_t* const row =
          request.rows[i].data + t * request.rows[i].token_stride_bytes;
      for (uint32_t c = 0; c < channels; ++c) {
        const size_t at = size_t{t} * channels + c;
        row[2 * c] = frames.size() == 1 ? 0 : low[at];
        row[2 * c + 1] = high[at];
      }
    }
  }
  return Status();
}

uint16_t StagedCodec::Decoded(uint16_t element, uint32_t stages) {
  const uint16_t masks[] = {0xff00, 0xfff0, 0xffff};
  return element & masks[stages - 1];
}

}  // namespace reprise
