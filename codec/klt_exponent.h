// How our encoders of `klt` choose a token's exponent: by how much the token is
// predicted to matter (docs/format/profile.md, the regressor). All in f64, each
// operation rounded by itself and no function of the C library's, so that an
// encoder on a device makes the same choice.
#ifndef REPRISE_CODEC_KLT_EXPONENT_H_
#define REPRISE_CODEC_KLT_EXPONENT_H_

#include <bit>
#include <cstdint>

#include "codec/klt_step.h"

namespace reprise {

// Sums over a row's channels are this many side by side, channel i in number
// i mod 8, each in f32 and in order; then in f64 from the first to the last.
inline constexpr uint32_t kKltRowSums = 8;

// To about an ulp. Of what is infinite or no number, some number.
// REQUIRES: x >= 2^-1022.
constexpr double KltLog2(double x) {
  constexpr uint64_t kOne = uint64_t{1023} << 52;
  const auto bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52 & 2047) - 1023;
  auto m = std::bit_cast<double>((bits & ((uint64_t{1} << 52) - 1)) | kOne);
  if (m > 0x1.6a09e667f3bcdp0) {  // the root of 2
    m *= 0.5;
    ++exponent;
  }
  // log m = 2 (s + s^3 / 3 + s^5 / 5 ...); |s| < 0.172.
  const double s = (m - 1) / (m + 1);
  const double b = s * s;
  double sum = 0;
  for (int k = 11; k >= 0; --k) sum = 1.0 / (2 * k + 1) + b * sum;
  return exponent + s * sum * 0x1.71547652b82fep1;  // 2 / log 2
}

// log2 of a token's sensitivity, relative to the mean: this, and for each plane
// in turn what it adds. `position` counts from 1.
constexpr double KltSensitivityOf(float constant, float by_position,
                                  uint64_t position) {
  return constant +
         double{by_position} * KltLog2(static_cast<double>(position));
}
// `weighted`, `squares`: KltRowSums of klt_rows.h.
constexpr double KltSensitivityOfPlane(double weighted, float by_norm,
                                       double squares) {
  // Keeps the log finite.
  constexpr double kLeastNorm = 0x1p-30;
  return weighted + double{by_norm} * KltLog2(kLeastNorm + squares);
}

// A profile's limits of exponents, and how they follow the sensitivity.
struct KltExponentRule {
  float by_sensitivity = 0;
  uint32_t least = kKltMeanExponent;
  uint32_t largest = kKltMeanExponent;
};
// The sensitivity is not finite where values are huge: such a token is raw in
// the end.
constexpr uint32_t KltExponentOf(const KltExponentRule& rule,
                                 double sensitivity) {
  const double wish =
      kKltMeanExponent + 1.5 * double{rule.by_sensitivity} * sensitivity;
  if (!(wish > rule.least)) return rule.least;
  if (wish > rule.largest) return rule.largest;
  // To the nearest integer, ties to even.
  return static_cast<uint32_t>(wish + 0x1p52 - 0x1p52);
}

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_EXPONENT_H_
