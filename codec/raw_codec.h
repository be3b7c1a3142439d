// `raw`: the planes as they are. The floor that other codecs are measured
// against, and what is used for planes that nothing else understands. Format:
// docs/format/codecs/raw.md.
#ifndef REPRISE_CODEC_RAW_CODEC_H_
#define REPRISE_CODEC_RAW_CODEC_H_

#include "codec/codec.h"

namespace reprise {

class RawCodec final : public Codec {
 public:
  CodecId id() const override { return CodecId::kRaw; }
  std::string_view name() const override { return "raw"; }
  bool needs_profile() const override { return false; }
  bool is_exact() const override { return true; }

  // kInvalidArgument: `raw` has no profiles.
  Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView bytes) const override;
  // kInvalidArgument when a profile is given.
  Status Encode(const EncodeRequest& request, CodecScratch* scratch,
                FrameBuilder* builder) const override;
  Status Decode(const FrameView& frame, const DecodeRequest& request,
                CodecScratch* scratch) const override;
};

// Everything that can be wrong with a request but its rows: choices that `raw`
// does not have. Errors as of RawCodec::Encode.
Status CheckRawEncode(const EncodeRequest& request);

// Everything that can be wrong with a frame, so that no row is written before
// all is right. kDataLoss.
Status CheckRawFrame(const FrameView& frame,
                     std::span<const PlaneSlice> slices);

}  // namespace reprise

#endif  // REPRISE_CODEC_RAW_CODEC_H_
