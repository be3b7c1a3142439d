// How far a plane is off, and what no plane may be.
#include "tools/compaction/plane_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/bytes.h"
#include "codec/squared_sums.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

double ErrorOf(const std::vector<float>& source,
               const std::vector<float>& decoded) {
  return RelativeError(
      DType::kF32, reinterpret_cast<const uint8_t*>(source.data()),
      reinterpret_cast<const uint8_t*>(decoded.data()), source.size());
}

TEST(PlaneErrorTest, IsTheNormOfTheDifferenceOverThatOfTheSource) {
  Random random(1);
  // Lengths around those that it works in.
  for (const size_t count : {1, 7, 8, 9, 1023, 1024, 1025, 3000}) {
    std::vector<float> source(count);
    std::vector<float> decoded(count);
    double difference = 0;
    double reference = 0;
    for (size_t i = 0; i < count; ++i) {
      source[i] = static_cast<float>(random.Below(2000)) + 1;
      decoded[i] = source[i] + static_cast<float>(random.Below(20)) + 1;
      difference += std::pow(double{decoded[i]} - source[i], 2);
      reference += std::pow(double{source[i]}, 2);
    }
    EXPECT_NEAR(ErrorOf(source, decoded), std::sqrt(difference / reference),
                1e-12)
        << count;
  }
}

TEST(PlaneErrorTest, ZerosAreOffByOne) {
  EXPECT_EQ(ErrorOf({1, -2, 3}, {0, 0, 0}), 1);
  EXPECT_EQ(ErrorOf({1, -2, 3}, {-1, 2, -3}), 2);
  EXPECT_EQ(ErrorOf({1, -2, 3}, {1, -2, 3}), 0);
  EXPECT_EQ(ErrorOf({0, 0}, {0, 1}), std::numeric_limits<double>::infinity());
}

TEST(PlaneErrorTest, OnlyFiniteNumbersOfTheSourceCount) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinite = std::numeric_limits<float>::infinity();
  EXPECT_EQ(ErrorOf({nan, 2, infinite}, {7, 1, nan}), 0.5);
  EXPECT_EQ(ErrorOf({1, 2, 3}, {1, nan, 3}), double{infinite});
  EXPECT_EQ(ErrorOf({1, 2, 3}, {1, 2, -infinite}), double{infinite});
}

TEST(PlaneErrorTest, VectorsAddWhatTheScalarLoopAdds) {
  Random random(2);
  std::vector<float> source(kSquaresBlock);
  std::vector<float> decoded(kSquaresBlock);
  for (size_t i = 0; i < kSquaresBlock; ++i) {
    // Over all exponents, so that squares of 32 bits would overflow.
    source[i] = std::ldexp(1.0F, static_cast<int>(random.Below(240)) - 120);
    decoded[i] = -source[i] * 0.75F;
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const size_t odd : {0, 1, 513, 1023}) {
    for (const bool is_source : {true, false}) {
      auto from = source;
      auto to = decoded;
      (is_source ? from : to)[odd] = nan;
      SquaredSums vectors;
      SquaredSums scalar;
      AddSquares(from.data(), to.data(), &vectors);
      AddSquaresScalar(from.data(), to.data(), &scalar);
      EXPECT_NEAR(vectors.difference / scalar.difference, 1, 1e-12);
      EXPECT_NEAR(vectors.reference / scalar.reference, 1, 1e-12);
      EXPECT_EQ(vectors.not_finite, !is_source);
      EXPECT_EQ(scalar.not_finite, !is_source);
    }
  }
}

TEST(PlaneErrorTest, OtherBytesAreRightOrWrong) {
  const uint8_t source[] = {1, 2, 3};
  const uint8_t other[] = {1, 2, 4};
  EXPECT_EQ(RelativeError(DType::kOpaque, source, source, 3), 0);
  EXPECT_EQ(RelativeError(DType::kOpaque, source, other, 3),
            std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace reprise
