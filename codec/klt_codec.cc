#include "codec/klt_codec.h"

#include "base/limits.h"
#include "codec/klt_decode.h"
#include "codec/klt_encode.h"
#include "codec/klt_frames.h"
#include "codec/klt_layout.h"
#include "codec/klt_profile.h"
#include "codec/message.h"
#include "codec/option_list.h"

namespace reprise {
namespace {

Tier TierOfStage(uint32_t stage) {
  if (stage == 0) return Tier::kArchive;
  return stage == 1 ? Tier::kCoarse : Tier::kNear;
}

}  // namespace

Tier KltCodec::tier(const CodecOptions* options) const {
  return TierOfStage(stage_count(options) - 1);
}

uint32_t KltCodec::stage_count(const CodecOptions* options) const {
  const Result<const KltOptions*> own = OwnKltOptions(options);
  return own.ok() ? (*own)->stages : KltOptions().stages;
}

Tier KltCodec::stage_tier(uint32_t stage, const CodecOptions*) const {
  return TierOfStage(stage);
}

Result<std::shared_ptr<const CodecOptions>> KltCodec::ParseOptions(
    std::string_view text) const {
  static constexpr std::string_view kTiers[] = {"archive", "coarse", "near"};
  uint32_t tier = 2;
  uint32_t stages = 0;
  int shift = 0;
  OptionList list(name(), text);
  list.Take("tier", kTiers, &tier);
  list.Take("stages", 3u, kMaxStages, &stages);
  list.Take("shift", -kKltMaxShift, kKltMaxShift, &shift);
  auto options = std::make_shared<KltOptions>();
  list.Take("layers", 1u, kMaxLayers, &options->layers);
  list.Take("first", 0u, kSegmentTokens, &options->raw_first);
  REPRISE_RETURN_IF_ERROR(list.Finish());
  if (stages != 0 && tier != 2) {
    return InvalidArgumentError(CatMessage("klt: stages is ", stages,
                                           ", with tier=", kTiers[tier],
                                           " it is not to be given"));
  }
  options->stages = stages != 0 ? stages : tier + 1;
  options->shift = shift;
  return std::shared_ptr<const CodecOptions>(std::move(options));
}

Result<std::shared_ptr<const CodecProfile>> KltCodec::ParseProfile(
    ByteView bytes) const {
  REPRISE_ASSIGN_OR_RETURN(std::shared_ptr<const CodecProfile> profile,
                           KltProfile::Parse(bytes));
  return profile;
}

Status KltCodec::Encode(const EncodeRequest& request, CodecScratch* scratch,
                        FrameBuilder* builder) const {
  return EncodeStages(request, scratch, {&builder, 1});
}

Status KltCodec::EncodeStages(const EncodeRequest& request,
                              CodecScratch* scratch,
                              std::span<FrameBuilder* const> builders) const {
  REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
  REPRISE_ASSIGN_OR_RETURN(const KltChoices choices, CheckKltChoices(request));
  REPRISE_RETURN_IF_ERROR(CheckKltBuilders(choices, builders.size()));
  KltFrameEncoder(request, choices, scratch->Keep<KltWork>(), builders).Run();
  return Status();
}

Status KltCodec::Decode(const FrameView& frame, const DecodeRequest& request,
                        CodecScratch* scratch) const {
  if (frame.info.stage != 0) {
    return DataLossError(CatMessage("klt: stage is ", frame.info.stage,
                                    ", without those below 0 is wanted"));
  }
  const FrameView* const frames[] = {&frame};
  return DecodeStages(frames, request, scratch);
}

Status KltCodec::DecodeStages(std::span<const FrameView* const> frames,
                              const DecodeRequest& request,
                              CodecScratch* scratch) const {
  REPRISE_RETURN_IF_ERROR(CheckKltStages(frames));
  REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(*frames[0], request));
  REPRISE_ASSIGN_OR_RETURN(
      const KltFrames checked,
      CheckKltFrames(frames, request.slices, request.profile));
  return DecodeKltFrames(frames, request, checked, scratch->Keep<KltWork>());
}

}  // namespace reprise
