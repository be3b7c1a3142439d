// What `vq` and `pq` have in common, which is all but their codebooks: `vq`
// has one for all planes of a role, `pq` one for each block of each head.
// Both store a byte or less for a block of values, and token-heads (all values
// of one token, layer, plane and head) that this would hurt most as they are.
#ifndef REPRISE_CODEC_VECTOR_CODEC_H_
#define REPRISE_CODEC_VECTOR_CODEC_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "codec/codec.h"

namespace reprise {

class VectorCodec : public Codec {
 public:
  bool needs_profile() const override { return true; }
  bool is_exact() const override { return false; }
  // kArchive; kCoarse with worst= of at least 0.05 or threshold= of at most
  // 0.25.
  Tier tier(const CodecOptions* options) const override;

  Result<std::shared_ptr<const CodecOptions>> ParseOptions(
      std::string_view text) const override;
  Result<std::shared_ptr<const CodecProfile>> ParseProfile(
      ByteView bytes) const override;
  Status Encode(const EncodeRequest& request, CodecScratch* scratch,
                FrameBuilder* builder) const override;
  Status Decode(const FrameView& frame, const DecodeRequest& request,
                CodecScratch* scratch) const override;
};

// How much of a frame fell back. Planes that are raw by nature (f8, opaque)
// are not counted.
struct VectorFrameStats {
  uint64_t token_heads = 0;
  uint64_t raw_token_heads = 0;
  double raw_share() const {
    return token_heads == 0 ? 0
                            : static_cast<double>(raw_token_heads) /
                                  static_cast<double>(token_heads);
  }
};
// REQUIRES: the frame is of `vq` or `pq`, and `slices` are its slices.
VectorFrameStats StatsOfVectorFrame(const FrameView& frame,
                                    std::span<const PlaneSlice> slices);

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_CODEC_H_
