#include "codec/exact_codec.h"

#include "codec/exact_decode.h"
#include "codec/exact_encode.h"
#include "codec/exact_profile_format.h"
#include "codec/message.h"

namespace reprise {
namespace {

// Null without a profile; the codec's own class is told by its id.
Result<const ExactProfile*> OwnProfile(const CodecProfile* profile) {
  if (profile == nullptr) return static_cast<const ExactProfile*>(nullptr);
  if (profile->codec() != CodecId::kExact) {
    return FailedPreconditionError(
        CatMessage("exact: the profile is of codec ",
                   static_cast<int>(profile->codec()), ", 2 is wanted"));
  }
  return static_cast<const ExactProfile*>(profile);
}

}  // namespace

Result<std::shared_ptr<const CodecProfile>> ExactCodec::ParseProfile(
    ByteView bytes) const {
  REPRISE_ASSIGN_OR_RETURN(std::shared_ptr<const CodecProfile> profile,
                           ExactProfile::Parse(bytes));
  return profile;
}

Status ExactCodec::Encode(const EncodeRequest& request, CodecScratch* scratch,
                          FrameBuilder* builder) const {
  REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
  REPRISE_RETURN_IF_ERROR(CheckNoChoices(request, name()));
  if (request.info.stage != 0) {
    return InvalidArgumentError(
        CatMessage("exact: stage is ", request.info.stage, ", 0 is wanted"));
  }
  REPRISE_ASSIGN_OR_RETURN(const ExactProfile* profile,
                           OwnProfile(request.profile));
  if (profile != nullptr) {
    REPRISE_RETURN_IF_ERROR(profile->CheckShape(request.slices));
  }
  ExactFrameEncoder(request, profile, scratch, builder).Run();
  return Status::Ok();
}

Status ExactCodec::Decode(const FrameView& frame, const DecodeRequest& request,
                          CodecScratch* scratch) const {
  REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(frame, request));
  if (frame.info.stage != 0) {
    return DataLossError(
        CatMessage("exact: stage is ", frame.info.stage, ", 0 is wanted"));
  }
  if (frame.info.profile.IsZero()) {
    return DecodeExactFrame(frame, request, nullptr, scratch);
  }
  REPRISE_ASSIGN_OR_RETURN(const ExactProfile* profile,
                           OwnProfile(request.profile));
  if (profile == nullptr || profile->id() != frame.info.profile) {
    return FailedPreconditionError(
        CatMessage("exact: the frame was made with profile ",
                   frame.info.profile.ShortHex(), ", given is ",
                   profile == nullptr ? "none" : profile->id().ShortHex()));
  }
  REPRISE_RETURN_IF_ERROR(profile->CheckShape(request.slices));
  return DecodeExactFrame(frame, request, profile, scratch);
}

}  // namespace reprise
