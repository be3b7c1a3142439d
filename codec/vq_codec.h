// `vq`: values divided by their head's norm, in blocks of 8, each block the
// nearest of 256 centroids: 1 bit a value. Format: docs/format/codecs/vq.md.
#ifndef REPRISE_CODEC_VQ_CODEC_H_
#define REPRISE_CODEC_VQ_CODEC_H_

#include "codec/vector_codec.h"

namespace reprise {

class VqCodec final : public VectorCodec {
 public:
  CodecId id() const override { return CodecId::kVq; }
  std::string_view name() const override { return "vq"; }
};

}  // namespace reprise

#endif  // REPRISE_CODEC_VQ_CODEC_H_
