#include "tools/eval/rate_at_kl.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace reprise {
namespace {

TEST(RateAtKlTest, APowerLawIsMetExactly) {
  // kl = bpv^-4: a straight line on logarithmic axes.
  std::vector<RatePoint> points;
  for (const double bpv : {8.0, 1.0, 2.0, 4.0}) {
    points.push_back({bpv, std::pow(bpv, -4)});
  }
  for (const double kl : {0.9, 0.05, 0.01, 0.001}) {
    ASSERT_TRUE(RateAtKl(points, kl).has_value()) << kl;
    EXPECT_NEAR(*RateAtKl(points, kl), std::pow(kl, -0.25), 1e-12) << kl;
  }
  // At the points themselves, the first and the last too.
  EXPECT_NEAR(*RateAtKl(points, 1), 1, 1e-12);
  EXPECT_NEAR(*RateAtKl(points, std::pow(8.0, -4)), 8, 1e-12);
}

TEST(RateAtKlTest, NothingIsExtrapolated) {
  const std::vector<RatePoint> points = {{1, 0.1}, {2, 0.01}};
  EXPECT_FALSE(RateAtKl(points, 0.11).has_value());
  EXPECT_FALSE(RateAtKl(points, 0.009).has_value());
  EXPECT_FALSE(RateAtKl({}, 0.01).has_value());
  EXPECT_FALSE(RateAtKl({{1, 0.01}}, 0.01).has_value());
}

TEST(RateAtKlTest, OnlyTheBestPointsCount) {
  // A dear point that is worse than a cheap one, and two of one rate.
  const std::vector<RatePoint> points = {
      {1, 0.1}, {1.5, 0.2}, {2, 0.05}, {2, 0.01}};
  const auto frontier = RateFrontier(points);
  ASSERT_EQ(frontier.size(), 2u);
  EXPECT_EQ(frontier[1].kl, 0.01);
  EXPECT_DOUBLE_EQ(*RateAtKl(points, 0.1), 1);
}

TEST(RateAtKlTest, ExactAndBrokenPointsHaveNoPlaceOnTheAxes) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto frontier = RateFrontier(
      {{16, 0}, {1, kInfinity}, {2, std::nan("")}, {0, 0.1}, {3, 0.1}});
  ASSERT_EQ(frontier.size(), 1u);
  EXPECT_EQ(frontier[0].bpv, 3);
}

}  // namespace
}  // namespace reprise
