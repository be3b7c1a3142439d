// One frame of `exact`, decoded. The checks of ExactCodec::Decode come first.
#ifndef REPRISE_CODEC_EXACT_DECODE_H_
#define REPRISE_CODEC_EXACT_DECODE_H_

#include "base/status.h"
#include "codec/codec.h"
#include "codec/exact_profile_format.h"
#include "codec/frame.h"

namespace reprise {

// Walks the sections beside the slices. `profile` is the frame's, or null when
// the frame names none. kDataLoss, naming the section, for contents that are
// not an `exact` frame's.
Status DecodeExactFrame(const FrameView& frame, const DecodeRequest& request,
                        const ExactProfile* profile, CodecScratch* scratch);

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_DECODE_H_
