// Decodes one frame of `tsc`.
#ifndef REPRISE_CODEC_TSC_DECODE_H_
#define REPRISE_CODEC_TSC_DECODE_H_

#include "codec/codec.h"

namespace reprise {

// See Codec::Decode. REQUIRES: CheckDecodeRequest(frame, request).ok(). The
// rows of no slice are written before all headers are found right.
Status DecodeTscFrame(const FrameView& frame, const DecodeRequest& request,
                      CodecScratch* scratch);

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_DECODE_H_
