// `exact`: lossless for every element type and any bits. Signs, exponents and
// first mantissa bits by static tables and interleaved rANS, the other bits as
// they are. Format: docs/format/codecs/exact.md.
#ifndef REPRISE_CODEC_EXACT_CODEC_H_
#define REPRISE_CODEC_EXACT_CODEC_H_

#include "codec/codec.h"

namespace reprise {

// Works with a profile (ExactProfileFitter makes one) and, in a few per cent
// more bytes, without. A stream that coding would not shorten is stored raw:
// a frame is never longer than the raw codec's but for its tables.
//
// A profile must be this codec's and fit the slices' shapes:
// kFailedPrecondition. Planes that it does not know are stored raw.
class ExactCodec final : public Codec {
 public:
  CodecId id() const override { return CodecId::kExact; }
  std::string_view name() const override { return "exact"; }
  bool needs_profile() const override { return false; }
  bool is_exact() const override { return true; }

  Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView bytes) const override;
  Status Encode(const EncodeRequest& request, CodecScratch* scratch,
                FrameBuilder* builder) const override;
  Status Decode(const FrameView& frame, const DecodeRequest& request,
                CodecScratch* scratch) const override;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_CODEC_H_
