// What both versions of klt_turn.h compute sines by: the terms of the series.
#ifndef REPRISE_CODEC_KLT_TURN_SERIES_H_
#define REPRISE_CODEC_KLT_TURN_SERIES_H_

#include <bit>
#include <cstdint>

namespace reprise {

// pi / 2 * 2^-62: from phases to radians.
inline constexpr double kKltRadians =
    std::bit_cast<double>(0x3c1921fb54442d18u);
// 1 / (2k)! and 1 / (2k+1)! with their signs. The factorials are exact in f64,
// so each quotient is the nearest f64.
inline constexpr double kKltCosineTerms[] = {
    -1.0 / 2,       1.0 / 24,        -1.0 / 720,         1.0 / 40320,
    -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000};
inline constexpr double kKltSineTerms[] = {
    -1.0 / 6,        1.0 / 120,        -1.0 / 5040,         1.0 / 362880,
    -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000};

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_TURN_SERIES_H_
