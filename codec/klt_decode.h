// Decodes the first stages of one encoding of `klt`.
#ifndef REPRISE_CODEC_KLT_DECODE_H_
#define REPRISE_CODEC_KLT_DECODE_H_

#include <span>

#include "codec/codec.h"
#include "codec/klt_frames.h"
#include "codec/klt_layout.h"

namespace reprise {

// See Codec::DecodeStages. REQUIRES: the request was checked, and the frames
// too: `checked` is what CheckKltFrames answered.
Status DecodeKltFrames(std::span<const FrameView* const> frames,
                       const DecodeRequest& request, const KltFrames& checked,
                       KltWork* work);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_DECODE_H_
