#include "codec/exact_codec.h"

#include "codec/exact_decode.h"
#include "codec/exact_encode.h"
#include "codec/exact_profile_format.h"
#include "codec/exact_streams.h"

namespace reprise {

Result<std::shared_ptr<const CodecProfile>> ExactCodec::ParseProfile(
    ByteView bytes) const {
  REPRISE_ASSIGN_OR_RETURN(std::shared_ptr<const CodecProfile> profile,
                           ExactProfile::Parse(bytes));
  return profile;
}

Status ExactCodec::Encode(const EncodeRequest& request, CodecScratch* scratch,
                          FrameBuilder* builder) const {
  REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
  REPRISE_ASSIGN_OR_RETURN(const ExactProfile* profile,
                           CheckExactEncode(request));
  ExactFrameEncoder(request, profile, scratch, builder).Run();
  return Status::Ok();
}

Status ExactCodec::Decode(const FrameView& frame, const DecodeRequest& request,
                          CodecScratch* scratch) const {
  REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(frame, request));
  REPRISE_ASSIGN_OR_RETURN(
      const ExactProfile* profile,
      ProfileOfExactFrame(frame, request.slices, request.profile));
  return DecodeExactFrame(frame, request, profile, scratch);
}

}  // namespace reprise
