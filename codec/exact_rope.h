// Rotary angles in integers, for the fitter of `exact` profiles: how far a
// pair of channels turns for one position, and pairs turned to other angles.
// Only basic operations on f64 and f32, in a stated order, and no functions of
// the C library: every machine gets the same.
#ifndef REPRISE_CODEC_EXACT_ROPE_H_
#define REPRISE_CODEC_EXACT_ROPE_H_

#include <cstdint>
#include <vector>

#include "codec/model_spec.h"

namespace reprise {

// For each pair, its angle for one position in units of 2^-32 turns, rounded.
// Empty when keys are not rotated or the spec makes no sense.
std::vector<uint32_t> ExactAngleSteps(const RopeSpec& rope);

struct ExactTurn {
  float cosine;
  float sine;
};

// Cosine and sine of `phase` / 2^32 turns, to about 1 / 4096 of a turn.
ExactTurn ExactTurnOf(uint32_t phase);

// Of an f16, bf16 or f32, and back (towards zero, to the largest finite value
// at most). A NaN or an infinity comes back as something else.
float ExactToFloat(DType dtype, uint32_t bits);
uint32_t ExactFromFloat(DType dtype, float value);

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_ROPE_H_
