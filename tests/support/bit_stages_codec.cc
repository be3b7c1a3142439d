#include "tests/support/bit_stages_codec.h"

#include <iterator>
#include <string>
#include <utility>

#include "codec/extra_codec.h"

namespace reprise {
namespace {

constexpr uint8_t kMasks[] = {0xf0, 0x0c, 0x03};
constexpr Tier kTiers[] = {Tier::kArchive, Tier::kCoarse, Tier::kNear};

class StagedOptions final : public CodecOptions {
 public:
  CodecId codec() const override { return StagedCodec::kId; }
  uint32_t stages = 3;
};

std::function<void(uint32_t)>& Hook() {
  static auto& hook = *new std::function<void(uint32_t)>;
  return hook;
}

}  // namespace

void StagedCodec::Install() {
  static const StagedCodec& codec = *new StagedCodec;
  SetExtraCodec(&codec);
}

void StagedCodec::OnDecode(std::function<void(uint32_t)> hook) {
  Hook() = std::move(hook);
}

uint8_t StagedCodec::MaskOf(Tier tier) {
  uint8_t mask = 0;
  for (size_t i = 0; i < std::size(kTiers); ++i) {
    if (kTiers[i] >= tier) mask |= kMasks[i];
  }
  return mask;
}

uint32_t StagedCodec::stage_count(const CodecOptions* options) const {
  return options == nullptr
             ? 3
             : static_cast<const StagedOptions*>(options)->stages;
}
Tier StagedCodec::stage_tier(uint32_t stage, const CodecOptions*) const {
  return kTiers[stage];
}
Tier StagedCodec::tier(const CodecOptions* options) const {
  return kTiers[stage_count(options) - 1];
}

Result<std::shared_ptr<const CodecOptions>> StagedCodec::ParseOptions(
    std::string_view text) const {
  auto options = std::make_shared<StagedOptions>();
  for (uint32_t stage = 0; stage < std::size(kTiers); ++stage) {
    if (text != "tier=" + std::string(TierName(kTiers[stage]))) continue;
    options->stages = stage + 1;
    return std::shared_ptr<const CodecOptions>(std::move(options));
  }
  return InvalidArgumentError("staged: no option \"" + std::string(text) +
                              "\"");
}

Result<std::shared_ptr<const CodecProfile>> StagedCodec::ParseProfile(
    ByteView) const {
  return UnimplementedError("staged: has no profile");
}

Status StagedCodec::Encode(const EncodeRequest& request, CodecScratch* scratch,
                           FrameBuilder* builder) const {
  FrameBuilder* const builders[] = {builder};
  return EncodeStages(request, scratch, builders);
}

Status StagedCodec::Decode(const FrameView& frame, const DecodeRequest& request,
                           CodecScratch* scratch) const {
  const FrameView* const frames[] = {&frame};
  return DecodeStages(frames, request, scratch);
}

Status StagedCodec::EncodeStages(
    const EncodeRequest& request, CodecScratch*,
    std::span<FrameBuilder* const> builders) const {
  REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
  const uint32_t tokens = request.info.token_count;
  for (size_t stage = 0; stage < builders.size(); ++stage) {
    FrameInfo info = request.info;
    info.codec = kId;
    info.stage = static_cast<uint8_t>(stage);
    info.raw_bytes = RawBytesOf(request.slices, tokens);
    builders[stage]->Start(info, static_cast<uint32_t>(request.slices.size()));
    for (size_t i = 0; i < request.slices.size(); ++i) {
      const PlaneSlice& slice = request.slices[i];
      const uint64_t row_bytes = slice.token_bytes();
      uint8_t* out = builders[stage]->BeginSection(row_bytes * tokens).data();
      for (uint32_t t = 0; t < tokens; ++t) {
        const uint8_t* row =
            request.rows[i].data + t * request.rows[i].token_stride_bytes;
        for (uint64_t b = 0; b < row_bytes; ++b)
          *out++ = row[b] & kMasks[stage];
      }
      builders[stage]->EndSection({.layer = slice.layer,
                                   .plane = slice.plane,
                                   .channel_first = slice.channel_first(),
                                   .channel_count = slice.channels()},
                                  row_bytes * tokens);
    }
  }
  return Status();
}

Status StagedCodec::DecodeStages(std::span<const FrameView* const> frames,
                                 const DecodeRequest& request,
                                 CodecScratch*) const {
  if (Hook()) Hook()(static_cast<uint32_t>(frames.size()));
  for (size_t stage = 0; stage < frames.size(); ++stage) {
    REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(*frames[stage], request));
    if (frames[stage]->info.stage != stage || stage >= std::size(kMasks) ||
        frames[stage]->sections.size() != request.slices.size()) {
      return InvalidArgumentError("staged: frame " + std::to_string(stage) +
                                  " is of stage " +
                                  std::to_string(frames[stage]->info.stage));
    }
  }
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const uint64_t row_bytes = request.slices[i].token_bytes();
    for (uint64_t b = 0; b < row_bytes * request.token_count; ++b) {
      uint8_t value = 0;
      bool is_damaged = false;
      for (size_t stage = 0; stage < frames.size(); ++stage) {
        const FrameView& frame = *frames[stage];
        const ByteView section = frame.Section(frame.sections[i]);
        if (b >= section.size()) return DataLossError("staged: too short");
        value |= section[b];
        is_damaged = is_damaged || (section[b] & ~kMasks[stage]) != 0;
      }
      if (request.rows[i].data != nullptr) {
        request.rows[i]
            .data[b / row_bytes * request.rows[i].token_stride_bytes +
                  b % row_bytes] = value;
      }
      if (is_damaged) return DataLossError("staged: bits of another stage");
    }
  }
  return Status();
}

}  // namespace reprise
