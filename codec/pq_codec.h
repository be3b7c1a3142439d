// `pq`: sub-vectors of a head, each with a codebook of its own: 8 / d bits a
// value. Format: docs/format/codecs/pq.md.
#ifndef REPRISE_CODEC_PQ_CODEC_H_
#define REPRISE_CODEC_PQ_CODEC_H_

#include "codec/vector_codec.h"

namespace reprise {

class PqCodec final : public VectorCodec {
 public:
  CodecId id() const override { return CodecId::kPq; }
  std::string_view name() const override { return "pq"; }
};

}  // namespace reprise

#endif  // REPRISE_CODEC_PQ_CODEC_H_
