#include "codec/vector_codec.h"

#include <bit>

#include "codec/float_element.h"
#include "codec/message.h"
#include "codec/vector_decode.h"
#include "codec/vector_encode.h"
#include "codec/vector_layout.h"
#include "codec/vector_options.h"
#include "codec/vector_profile.h"
#include "codec/vector_section.h"

namespace reprise {
namespace {

Status CheckKeepsAll(const EncodeRequest& request, std::string_view name) {
  const TokenMask all = FirstTokens(request.info.token_count);
  if ((request.kept & all) == all) return Status();
  return UnimplementedError(CatMessage(
      name, ": can't drop tokens, ", std::popcount(request.kept & all),
      " are to be kept of ", request.info.token_count));
}

}  // namespace

Tier VectorCodec::tier(const CodecOptions* options) const {
  const Result<const VectorOptions*> own = VectorOptions::Of(id(), options);
  if (!own.ok() || *own == nullptr) return Tier::kArchive;
  return (*own)->tier();
}

Result<std::shared_ptr<const CodecOptions>> VectorCodec::ParseOptions(
    std::string_view text) const {
  return VectorOptions::Parse(id(), text);
}

Result<std::shared_ptr<const CodecProfile>> VectorCodec::ParseProfile(
    ByteView bytes) const {
  REPRISE_ASSIGN_OR_RETURN(std::shared_ptr<const CodecProfile> profile,
                           VectorProfile::Parse(id(), bytes));
  return profile;
}

Status VectorCodec::Encode(const EncodeRequest& request, CodecScratch* scratch,
                           FrameBuilder* builder) const {
  REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
  REPRISE_RETURN_IF_ERROR(CheckKeepsAll(request, name()));
  if (request.info.stage != 0) {
    return InvalidArgumentError(
        CatMessage(name(), ": stage is ", request.info.stage, ", 0 is wanted"));
  }
  REPRISE_ASSIGN_OR_RETURN(const VectorOptions* options,
                           VectorOptions::Of(id(), request.options));
  REPRISE_ASSIGN_OR_RETURN(const VectorProfile* profile,
                           VectorProfile::Of(id(), request.profile));
  REPRISE_RETURN_IF_ERROR(profile->CheckSlices(request.slices));
  if (options != nullptr) {
    REPRISE_RETURN_IF_ERROR(options->CheckShape(profile->parts().shape));
  }
  VectorFrameEncoder(request, *profile, options, scratch, builder).Run();
  return Status();
}

Status VectorCodec::Decode(const FrameView& frame, const DecodeRequest& request,
                           CodecScratch* scratch) const {
  REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(frame, request));
  REPRISE_ASSIGN_OR_RETURN(
      const VectorProfile* profile,
      CheckVectorProfile(id(), frame, request.slices, request.profile));
  return DecodeVectorFrame(frame, request, *profile, scratch);
}

VectorFrameStats StatsOfVectorFrame(const FrameView& frame,
                                    std::span<const PlaneSlice> slices) {
  VectorFrameStats stats;
  for (const PlaneSlice& slice : slices) {
    if (!IsFloatDType(slice.spec->dtype)) continue;
    stats.token_heads += uint64_t{slice.head_count} * frame.info.token_count;
  }
  for (const FrameSection& section : frame.sections) {
    if (static_cast<VectorMode>(section.mode) == VectorMode::kCodesAndRaw) {
      stats.raw_token_heads += section.words;
    }
  }
  return stats;
}

}  // namespace reprise
