// What an encoder and a decoder of `klt` do to rows beside the transform.
#ifndef REPRISE_CODEC_KLT_ROWS_H_
#define REPRISE_CODEC_KLT_ROWS_H_

#include <cstdint>

#include "codec/klt_exponent.h"
#include "codec/klt_layout.h"
#include "codec/klt_profile_format.h"
#include "codec/klt_turn.h"
#include "codec/model_spec.h"

namespace reprise {

// False if there is a NaN or an infinity. REQUIRES: IsFloatDType(dtype).
bool KltIsFinite(DType dtype, const uint8_t* row, uint32_t count);
// What a regressor wants of a plane's row. The order of the sums is that of
// kKltRowSums (klt_exponent.h).
struct KltRowSums {
  double weighted = 0;  // of weight * (x - mu)
  double squares = 0;   // of (x - mu)^2
};
KltRowSums KltSumRow(const float* x, const float* mu, const float* weights,
                     uint32_t count);

// How a profile would have exponents chosen.
inline KltExponentRule KltExponentRuleOf(const KltProfileParts& parts) {
  return {.by_sensitivity = parts.sensitivity_exponent,
          .least = parts.least_exponent,
          .largest = parts.largest_exponent};
}

KltHeads KltHeadsOf(const KltProfileParts& parts, const KltPlane& plane);
// Fills work->cosines and ->sines, [tokens, rotary_dims / 2].
void MakeKltTurnTables(const KltProfileParts& parts, uint32_t first_token,
                       uint32_t tokens, KltWork* work);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_ROWS_H_
