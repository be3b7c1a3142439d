#include "codec/klt_codec.h"

#include <bit>

#include "base/limits.h"
#include "codec/klt_decode.h"
#include "codec/klt_encode.h"
#include "codec/klt_layout.h"
#include "codec/klt_profile.h"
#include "codec/message.h"
#include "codec/option_list.h"

namespace reprise {
namespace {

// The defaults for null; the codec's own class is told by its id.
Result<const KltOptions*> OwnOptions(const CodecOptions* options) {
  static const KltOptions& defaults = *new KltOptions;
  if (options == nullptr) return &defaults;
  if (options->codec() != CodecId::kKlt) {
    return InvalidArgumentError(CatMessage("klt: the options are of codec ",
                                           CodecIdName(options->codec())));
  }
  return static_cast<const KltOptions*>(options);
}

Result<const KltProfile*> OwnProfile(const CodecProfile* profile) {
  if (profile == nullptr) {
    return FailedPreconditionError("klt: needs a profile, there is none");
  }
  if (profile->codec() != CodecId::kKlt) {
    return FailedPreconditionError(CatMessage("klt: the profile is of codec ",
                                              CodecIdName(profile->codec())));
  }
  return static_cast<const KltProfile*>(profile);
}

Status CheckKeepsAll(const EncodeRequest& request) {
  const TokenMask all = FirstTokens(request.info.token_count);
  if ((request.kept & all) == all) return Status();
  return UnimplementedError(
      CatMessage("klt: can't drop tokens, ", std::popcount(request.kept & all),
                 " are to be kept of ", request.info.token_count));
}

Tier TierOfStage(uint32_t stage) {
  if (stage == 0) return Tier::kArchive;
  return stage == 1 ? Tier::kCoarse : Tier::kNear;
}

// The headers of one encoding's frames differ in little.
Status CheckOneEncoding(std::span<const FrameView* const> frames) {
  for (size_t k = 0; k < frames.size(); ++k) {
    if (frames[k]->info.stage != k) {
      return InvalidArgumentError(
          CatMessage("klt: frame ", k, " is of stage ", frames[k]->info.stage));
    }
    FrameInfo wanted = frames[0]->info;
    wanted.stage = frames[k]->info.stage;
    if (frames[k]->info != wanted) {
      return DataLossError(CatMessage("klt: the header of stage ", k,
                                      " is not that of stage 0"));
    }
  }
  return Status();
}

}  // namespace

Tier KltCodec::tier(const CodecOptions* options) const {
  return TierOfStage(stage_count(options) - 1);
}

uint32_t KltCodec::stage_count(const CodecOptions* options) const {
  const Result<const KltOptions*> own = OwnOptions(options);
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
  REPRISE_RETURN_IF_ERROR(CheckKeepsAll(request));
  REPRISE_ASSIGN_OR_RETURN(const KltOptions* options,
                           OwnOptions(request.options));
  if (request.info.stage != 0) {
    return InvalidArgumentError(
        CatMessage("klt: stage is ", request.info.stage, ", 0 is wanted"));
  }
  if (builders.size() != options->stages) {
    return InvalidArgumentError(
        CatMessage("klt: makes ", options->stages, " frames by these options, ",
                   builders.size(), " builders were given"));
  }
  REPRISE_ASSIGN_OR_RETURN(const KltProfile* profile,
                           OwnProfile(request.profile));
  REPRISE_ASSIGN_OR_RETURN(
      const std::span<const KltGroup> groups,
      profile->GroupsFor(request.info.layers, request.slices));
  KltFrameEncoder(request, *options, *profile, groups, scratch->Keep<KltWork>(),
                  builders)
      .Run();
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
  if (frames.empty() || frames.size() > kMaxStages) {
    return InvalidArgumentError(CatMessage("klt: ", frames.size(),
                                           " frames were given, 1 to ",
                                           kMaxStages, " are wanted"));
  }
  REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(*frames[0], request));
  REPRISE_RETURN_IF_ERROR(CheckOneEncoding(frames));
  REPRISE_ASSIGN_OR_RETURN(const KltProfile* profile,
                           OwnProfile(request.profile));
  const FrameInfo& info = frames[0]->info;
  if (profile->id() != info.profile) {
    return FailedPreconditionError(CatMessage(
        "klt: the frame was made with profile ", info.profile.ShortHex(),
        ", given is ", profile->id().ShortHex()));
  }
  REPRISE_ASSIGN_OR_RETURN(const std::span<const KltGroup> groups,
                           profile->GroupsFor(info.layers, request.slices));
  return DecodeKltFrames(frames, request, *profile, groups,
                         scratch->Keep<KltWork>());
}

}  // namespace reprise
