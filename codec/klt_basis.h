// The transform of one group of a profile of `klt` from the covariance of its
// channels: weights, eigenvectors, and both as bytes.
#ifndef REPRISE_CODEC_KLT_BASIS_H_
#define REPRISE_CODEC_KLT_BASIS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "codec/klt_profile_format.h"

namespace reprise {

// Coefficients with a second limb: an eighth, in whole rows.
uint32_t KltLeadOf(uint32_t n);

// Fills in n, lead, dec, enc, hi and lo of `group`, and the variances of the
// weighted coefficients, falling.
//
//   weights     [n]     a of the page, above zero
//   covariance  [n, n]  on and right of the diagonal; used up
//
// False if it has no eigenvectors: it was not finite.
bool FitKltBasis(std::span<const double> weights,
                 std::vector<double>* covariance, KltGroupParts* group,
                 std::vector<double>* variances);

// The forward matrix of a group, as an encoder has it, but with the same bits
// on every machine: [n, KltRowFloats(n)], channel by coefficient, zeros behind
// n. Solved for, which takes 2 n^3 operations (klt_analysis.h).
std::vector<float> KltForwardMatrix(const KltGroupParts& group);

// Bytes that FitKltBasis holds besides what it is given and fills in.
uint64_t KltBasisBytes(uint32_t n);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_BASIS_H_
