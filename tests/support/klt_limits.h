// Frames of `klt` at the edges of the format's limits, and beyond: with any
// coefficients, as a wrong encoder writes them.
#ifndef REPRISE_TESTS_SUPPORT_KLT_LIMITS_H_
#define REPRISE_TESTS_SUPPORT_KLT_LIMITS_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "codec/klt_profile_format.h"
#include "codec/model_spec.h"
#include "tests/support/codec_frames.h"

namespace reprise {

// One layer of one plane of one head of n f32 channels, and a profile that
// transforms nothing: with three stages, q are the values themselves, with one
// they are ninths.
ModelSpec KltPlainChannels(uint32_t n);
KltProfileParts KltIdentityParts(uint32_t n);

// A frame of stage 0 of a tail with these q, [token][channel]; none is raw.
// REQUIRES: `profile` is one of klt for a model of one plane; its rows are all
// coded.
Bytes KltFrameOf(const ModelSpec& spec, const CodecProfile& profile,
                 std::span<const std::vector<int16_t>> q);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_KLT_LIMITS_H_
