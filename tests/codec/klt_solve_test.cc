// The inverse that encoders of `klt` solve with, against one in f64.
#include "codec/klt_solve.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "codec/exact_simd.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

using Invert = bool (*)(KltSquare*);

void ForEachTarget(const std::function<void()>& test) {
  for (const int64_t target : ExactTargets()) {
    SCOPED_TRACE(std::string(ExactTargetName(target)));
    ChooseExactTarget(target);
    test();
  }
  ChooseExactTarget(0);
}

KltSquare Normal(uint32_t n, uint64_t seed) {
  Random random(seed);
  KltSquare matrix(n);
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t j = 0; j < n; ++j) {
      matrix.Row(i)[j] = static_cast<float>(random.Normal());
    }
  }
  return matrix;
}

// By Gauss and Jordan on the matrix beside the identity; [n, n].
std::vector<double> ReferenceInverse(const KltSquare& matrix) {
  const uint32_t n = matrix.n();
  const uint32_t width = 2 * n;
  std::vector<std::vector<double>> rows(n, std::vector<double>(width));
  for (uint32_t i = 0; i < n; ++i) {
    std::copy_n(matrix.Row(i), n, rows[i].begin());
    rows[i][n + i] = 1;
  }
  for (uint32_t k = 0; k < n; ++k) {
    uint32_t pivot = k;
    for (uint32_t i = k; i < n; ++i) {
      if (std::abs(rows[i][k]) > std::abs(rows[pivot][k])) pivot = i;
    }
    std::swap(rows[k], rows[pivot]);
    for (uint32_t c = width; c-- > k;) rows[k][c] /= rows[k][k];
    for (uint32_t i = 0; i < n; ++i) {
      const double factor = rows[i][k];
      if (i == k || factor == 0) continue;
      for (uint32_t c = k; c < width; ++c) rows[i][c] -= factor * rows[k][c];
    }
  }
  std::vector<double> inverse;
  for (const std::vector<double>& row : rows) {
    inverse.insert(inverse.end(), row.begin() + n, row.end());
  }
  return inverse;
}

void ExpectInverse(Invert invert, const KltSquare& matrix, double tolerance) {
  const uint32_t n = matrix.n();
  const std::vector<double> wanted = ReferenceInverse(matrix);
  KltSquare inverse = matrix;
  ASSERT_TRUE(invert(&inverse)) << n;
  double largest = 0;
  for (const double value : wanted) {
    largest = std::max(largest, std::abs(value));
  }
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t j = 0; j < n; ++j) {
      ASSERT_NEAR(inverse.Row(i)[j], wanted[uint64_t{i} * n + j],
                  tolerance * largest)
          << "n " << n << " row " << i << " column " << j;
    }
  }
  // What pads it stays zero.
  for (uint32_t i = 0; i < inverse.padded(); ++i) {
    for (uint32_t j = i < n ? n : 0; j < inverse.padded(); ++j) {
      ASSERT_EQ(inverse.Row(i)[j], 0) << "n " << n;
    }
  }
}

void ExpectInverses(Invert invert) {
  for (const uint32_t n : {1u, 2u, 5u, 31u, 32u, 33u, 64u, 100u, 161u}) {
    ExpectInverse(invert, Normal(n, n), 1e-3);
  }
}

TEST(KltSolveTest, InvertsAsInDoublePrecision) {
  ExpectInverses(KltInvertScalar);
  ForEachTarget([] { ExpectInverses(KltInvert); });
}

// Tight: all of these are well-conditioned.
TEST(KltSolveTest, LosesLittleWhereTheMatrixAllowsIt) {
  for (const uint32_t n : {33u, 96u, 257u}) {
    KltSquare matrix = Normal(n, n);
    const auto size = static_cast<float>(3 * std::sqrt(n));
    for (uint32_t i = 0; i < n; ++i) matrix.Row(i)[i] += size;
    ExpectInverse(KltInvertScalar, matrix, 4e-6);
    ExpectInverse(KltInvert, matrix, 4e-6);
  }
}

// Rows in reverse, and a little of everything: without pivots, zeros and then
// rounding errors are divided by.
TEST(KltSolveTest, FindsPivots) {
  ForEachTarget([] {
    for (const uint32_t n : {2u, 33u, 70u}) {
      KltSquare matrix = Normal(n, 9);
      for (uint32_t i = 0; i < n; ++i) {
        for (uint32_t j = 0; j < n; ++j) matrix.Row(i)[j] *= 1e-9f;
        matrix.Row(i)[n - 1 - i] = static_cast<float>(i + 1);
      }
      ExpectInverse(KltInvert, matrix, 4e-6);
    }
  });
}

TEST(KltSolveTest, ColumnsMayDifferInSize) {
  const uint32_t n = 64;
  KltSquare matrix = Normal(n, 3);
  for (uint32_t i = 0; i < n; ++i) {
    matrix.Row(i)[i] += 20;
    for (uint32_t j = 0; j < n; ++j) {
      matrix.Row(i)[j] *= std::exp2(static_cast<float>(j % 16) - 8);
    }
  }
  ExpectInverse(KltInvert, matrix, 4e-6);
}

TEST(KltSolveTest, RefusesWhatHasNoInverse) {
  for (const Invert invert : {KltInvert, KltInvertScalar}) {
    for (const uint32_t n : {1u, 33u, 96u}) {
      KltSquare zero(n);
      EXPECT_FALSE(invert(&zero));
      for (const uint32_t k : {0u, n / 2, n - 1}) {
        KltSquare row = Normal(n, 1);
        for (uint32_t j = 0; j < n; ++j) row.Row(k)[j] = 0;
        EXPECT_FALSE(invert(&row)) << n << ", row " << k;
        KltSquare column = Normal(n, 2);
        for (uint32_t i = 0; i < n; ++i) column.Row(i)[k] = 0;
        EXPECT_FALSE(invert(&column)) << n << ", column " << k;
        for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::infinity()}) {
          KltSquare broken = Normal(n, 4);
          broken.Row(n / 2)[k] = bad;
          EXPECT_FALSE(invert(&broken)) << n << ", column " << k;
        }
      }
    }
  }
}

// Rounding hides that they are singular; then all must be finite.
TEST(KltSolveTest, IsFiniteWhenItSaysSo) {
  for (const Invert invert : {KltInvert, KltInvertScalar}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      KltSquare matrix = Normal(70, seed);
      for (uint32_t i = 0; i < 70; ++i) {
        matrix.Row(i)[40] = matrix.Row(i)[3];
        matrix.Row(i)[69] = matrix.Row(i)[1] + matrix.Row(i)[2];
      }
      if (!invert(&matrix)) continue;
      for (uint32_t i = 0; i < 70; ++i) {
        for (uint32_t j = 0; j < 70; ++j) {
          ASSERT_TRUE(std::isfinite(matrix.Row(i)[j])) << seed;
        }
      }
    }
  }
}

TEST(KltSolveTest, EveryInstructionSetAddsTheSameProduct) {
  const KltSquare a = Normal(kKltPanel, 5);
  const KltSquare b = Normal(96, 6);
  const KltSquare c = Normal(96, 7);
  const auto run = [&](void (*update)(const KltUpdateJob&)) {
    KltSquare sum = c;
    KltSquare blocks(96);
    float* const packed = blocks.Row(0);
    for (uint32_t j = 0; j < 96; ++j) {
      for (uint32_t k = 0; k < kKltPanel; ++k) {
        packed[(j / 32 * 32 + k) * 32 + j % 32] = b.Row(k)[j];
      }
    }
    update({.a = a.Row(0),
            .b = packed,
            .c = sum.Row(0),
            .c_stride = sum.stride(),
            .rows = kKltPanel,
            .columns = 96});
    for (uint32_t i = 0; i < 96; ++i) {
      for (uint32_t j = 0; j < 96; ++j) {
        double wanted = c.Row(i)[j];
        for (uint32_t k = 0; k < kKltPanel && i < kKltPanel; ++k) {
          wanted += double{a.Row(i)[k]} * b.Row(k)[j];
        }
        ASSERT_NEAR(sum.Row(i)[j], wanted, 1e-4) << i << ", " << j;
      }
    }
  };
  run(KltUpdateScalar);
  ForEachTarget([&] { run(KltUpdate); });
}

}  // namespace
}  // namespace reprise
