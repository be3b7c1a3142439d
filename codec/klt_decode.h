// Decodes the first stages of one encoding of `klt`.
#ifndef REPRISE_CODEC_KLT_DECODE_H_
#define REPRISE_CODEC_KLT_DECODE_H_

#include <span>

#include "codec/codec.h"
#include "codec/klt_layout.h"
#include "codec/klt_profile.h"

namespace reprise {

// See Codec::DecodeStages. REQUIRES: stages are 0, 1, ... and their headers
// agree; the request was checked; `groups` are the profile's that fit its
// slices.
Status DecodeKltFrames(std::span<const FrameView* const> frames,
                       const DecodeRequest& request, const KltProfile& profile,
                       std::span<const KltGroup> groups, KltWork* work);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_DECODE_H_
