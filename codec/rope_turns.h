// How fast rotary positions turn each pair of channels, from a model's spec.
// Only basic operations on f64, in a stated order, and no functions of the C
// library: every machine gets the same.
#ifndef REPRISE_CODEC_ROPE_TURNS_H_
#define REPRISE_CODEC_ROPE_TURNS_H_

#include <cstdint>
#include <vector>

#include "codec/model_spec.h"

namespace reprise {

inline constexpr double kTwoPi = 6.283185307179586;

// For each pair, its angle for one position in radians: theta^(-j / pairs),
// scaled as the spec says. Empty when keys are not rotated or the spec makes
// no sense.
std::vector<double> RopeFrequencies(const RopeSpec& rope);

// The same in units of 2^-64 turns, whole turns left out: the `turns` of a
// profile of `klt` (docs/format/profile.md).
std::vector<uint64_t> RopeTurns(const RopeSpec& rope);

}  // namespace reprise

#endif  // REPRISE_CODEC_ROPE_TURNS_H_
