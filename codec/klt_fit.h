// Whether a profile of `klt` may serve a model.
#ifndef REPRISE_CODEC_KLT_FIT_H_
#define REPRISE_CODEC_KLT_FIT_H_

#include <cstdint>

#include "base/status.h"
#include "codec/klt_profile.h"
#include "codec/klt_profile_format.h"
#include "codec/model_spec.h"

namespace reprise {

// By how much a pair's turn for one position may differ between a profile and
// a model, in units of 2^-64 turns: 2^-30 turns, which a million positions
// make a thousandth of a turn. Who trained may have had its powers from
// another library.
inline constexpr uint64_t kKltTurnTolerance = uint64_t{1} << 34;

// kFailedPrecondition, with what differs and both values, unless each plane of
// the profile is one of the model's with the same heads and dim and of a float
// type, its keys turn as the model's do, and its groups of layers lie inside
// the model's. Planes that the profile does not know are stored as they are.
// Weights are not compared. REQUIRES: ValidateModelSpec(spec).ok().
Status CheckKltFits(const ModelSpec& spec, const KltProfile& profile);

// True unless the profile says that it was trained on this model's weights.
bool IsOfOtherWeights(const ModelSpec& spec, const KltProfile& profile);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_FIT_H_
