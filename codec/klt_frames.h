// What can be wrong with frames of `klt` but for what only decoding shows: the
// checks of every decoder, wherever it runs.
#ifndef REPRISE_CODEC_KLT_FRAMES_H_
#define REPRISE_CODEC_KLT_FRAMES_H_

#include <span>

#include "codec/codec.h"
#include "codec/klt_layout.h"
#include "codec/klt_profile.h"

namespace reprise {

// What the checks found out. The signs of a stage are what is behind
// KltSignsOffset(words) in its section, the first of its frame.
struct KltFrames {
  const KltProfile* profile = nullptr;
  std::span<const KltGroup> groups;  // the profile's that fit the slices
  int shift = 0;
  TokenMask raw = 0;  // these stand behind the mask, in section 1 of stage 0
  size_t first_plane_section = 1;  // of stage 0, if it has any
};

// The stages are 0, 1, ... of one encoding: kInvalidArgument, with both
// numbers, or kDataLoss.
Status CheckKltStages(std::span<const FrameView* const> frames);

// kDataLoss for what is wrong with the frames, kFailedPrecondition when the
// profile (null: there is none) is not theirs or does not fit the slices.
// REQUIRES: CheckKltStages(frames).ok(); there are slices, those of the frames.
Result<KltFrames> CheckKltFrames(std::span<const FrameView* const> frames,
                                 std::span<const PlaneSlice> slices,
                                 const CodecProfile* profile);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_FRAMES_H_
