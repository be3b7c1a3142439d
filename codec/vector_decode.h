// Decoding of `vq` and `pq`: everything is checked before a row is written.
#ifndef REPRISE_CODEC_VECTOR_DECODE_H_
#define REPRISE_CODEC_VECTOR_DECODE_H_

#include "base/status.h"
#include "codec/codec.h"
#include "codec/vector_profile.h"

namespace reprise {

// REQUIRES: the request was checked, the profile is the frame's and fits its
// slices. kDataLoss for contents that no encoder writes.
Status DecodeVectorFrame(const FrameView& frame, const DecodeRequest& request,
                         const VectorProfile& profile, CodecScratch* scratch);

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_DECODE_H_
