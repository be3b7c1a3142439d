#include "codec/klt_exponent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/random.h"

namespace reprise {
namespace {

TEST(KltExponentTest, LogsAreThoseOfTheLibraryUpToAnUlp) {
  Random random(1);
  for (uint32_t i = 0; i < 200000; ++i) {
    const double x = std::ldexp(1 + random.Unit(),
                                static_cast<int>(random.Below(300)) - 150);
    const double wanted = std::log2(x);
    ASSERT_NEAR(KltLog2(x), wanted, 0x1p-51 * std::max(1.0, std::fabs(wanted)))
        << x;
  }
  // Around where the mantissa is halved, and around 1.
  for (const double x :
       {0x1.6a09e667f3bccp0, 0x1.6a09e667f3bcdp0, 0x1.6a09e667f3bcep0,
        0x1.fffffffffffffp0, 0x1.0000000000001p0, 0x1.fffffffffffffp-1}) {
    EXPECT_NEAR(KltLog2(x), std::log2(x), 0x1p-53) << x;
  }
}

TEST(KltExponentTest, LogsOfPowersOfTwoAreExact) {
  for (int e = -1022; e <= 1023; ++e) {
    ASSERT_EQ(KltLog2(std::ldexp(1.0, e)), e);
  }
}

TEST(KltExponentTest, ExponentsAreTheNearestAndTiesAreEven) {
  // 3 + 1.5 * 0.5 * sensitivity
  const KltExponentRule rule{.by_sensitivity = 0.5f, .least = 1, .largest = 11};
  const auto of_wish = [&](double wish) {
    return KltExponentOf(rule, (wish - 3) / 0.75);
  };
  EXPECT_EQ(KltExponentOf(rule, 0), 3u);
  EXPECT_EQ(of_wish(4.5), 4u);
  EXPECT_EQ(of_wish(5.25), 5u);
  EXPECT_EQ(of_wish(5.75), 6u);
  EXPECT_EQ(of_wish(7.5), 8u);
  EXPECT_EQ(of_wish(1), 1u);
  EXPECT_EQ(of_wish(-90), 1u);
  EXPECT_EQ(of_wish(1.5), 2u);
  EXPECT_EQ(of_wish(11.25), 11u);
  EXPECT_EQ(of_wish(1e9), 11u);
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(KltExponentOf(rule, infinity), 11u);
  EXPECT_EQ(KltExponentOf(rule, -infinity), 1u);
  EXPECT_EQ(KltExponentOf(rule, std::numeric_limits<double>::quiet_NaN()), 1u);
}

// Every finite norm gives a finite sensitivity, that of 0 included.
TEST(KltExponentTest, SensitivitiesAreFinite) {
  EXPECT_EQ(KltSensitivityOf(0.25f, 2.0f, 8), 6.25);
  EXPECT_EQ(KltSensitivityOfPlane(1.5, 0.5f, 0), 1.5 - 15);
  EXPECT_TRUE(std::isfinite(KltSensitivityOfPlane(
      0, -1.0f, double{std::numeric_limits<float>::max()})));
}

}  // namespace
}  // namespace reprise
