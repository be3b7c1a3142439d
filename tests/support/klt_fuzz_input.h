// What tests/fuzz/klt_fuzz.cc takes for an input: a profile, or the sections of
// one encoding without what a frame's parser would refuse (headers, checksums
// and parents are made anew), so that mutations reach the streams.
#ifndef REPRISE_TESTS_SUPPORT_KLT_FUZZ_INPUT_H_
#define REPRISE_TESTS_SUPPORT_KLT_FUZZ_INPUT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "codec/klt_profile_format.h"
#include "codec/model_spec.h"
#include "tests/support/codec_frames.h"

namespace reprise {

// The first byte of an input.
inline constexpr uint8_t kKltFuzzProfile = 0;
inline constexpr uint8_t kKltFuzzFrames = 1;

// Of the frames: two groups of 44 channels each, and three tokens.
ModelSpec KltFuzzModel();
KltProfileParts KltFuzzParts();
FramePlace KltFuzzPlace();

// After the first byte: a byte whose low bits are the raw tokens, then for
// each stage the numbers of words and of bytes, u16 each, and the bytes of the
// coefficients.
Bytes PackKltFrames(std::span<const Bytes> frames);
// Frames for any input; none if it is too short for one.
std::vector<Bytes> UnpackKltFrames(ByteView input);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_KLT_FUZZ_INPUT_H_
