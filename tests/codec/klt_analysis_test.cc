// That encoders of `klt` solve for coefficients, and what they do where the
// profile's matrix does not let them.
#include "codec/klt_analysis.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "codec/exact_simd.h"
#include "codec/klt_transform_simd.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

void ForEachTarget(const std::function<void()>& test) {
  for (const int64_t target : ExactTargets()) {
    SCOPED_TRACE(std::string(ExactTargetName(target)));
    ChooseExactTarget(target);
    test();
  }
  ChooseExactTarget(0);
}

// A group without means, as a profile has it.
struct Group {
  uint32_t n;
  uint32_t lead;
  std::vector<float> mu, dec, enc;
  std::vector<int8_t> hi, lo;

  explicit Group(uint32_t channels, uint32_t limbs = 0)
      : n(channels),
        lead(limbs),
        mu(n),
        dec(n, 1.0f),
        enc(n, 1.0f),
        hi(uint64_t{n} * n),
        lo(uint64_t{lead} * n) {}

  int8_t& Hi(uint32_t coefficient, uint32_t channel) {
    return hi[uint64_t{coefficient} * n + channel];
  }
  // An entry of the matrix.
  double At(uint32_t channel, uint32_t coefficient) const {
    const uint64_t at = uint64_t{coefficient} * n + channel;
    return hi[at] + (coefficient < lead ? lo[at] / 256.0 : 0);
  }
  KltTransform Transform() const {
    return KltTransform({.n = n,
                         .lead = lead,
                         .mu = mu.data(),
                         .dec = dec.data(),
                         .enc = enc.data(),
                         .hi = hi.data(),
                         .lo = lo.data()});
  }
};

// Nothing like orthonormal, but easy to solve: a diagonal and as much again in
// what is beside it. Channels have units of their own, and so have columns.
Group Skewed(uint32_t n, uint32_t lead, uint64_t seed) {
  Random random(seed);
  Group group(n, lead);
  const int spread = 1 + static_cast<int>(120 / std::sqrt(2.0 * n));
  for (uint32_t j = 0; j < n; ++j) {
    const int size = 40 + static_cast<int>(random.Below(87));
    for (uint32_t i = 0; i < n; ++i) {
      const auto entry =
          static_cast<int>(random.Below(2 * spread + 1)) - spread;
      group.Hi(j, i) = static_cast<int8_t>(i == j ? size : entry * size / 127);
    }
  }
  for (int8_t& limb : group.lo) {
    limb = static_cast<int8_t>(static_cast<int>(random.Below(255)) - 127);
  }
  for (uint32_t i = 0; i < n; ++i) {
    group.mu[i] = static_cast<float>(random.Normal());
    group.dec[i] = static_cast<float>(std::exp(2 * random.Normal()));
    group.enc[i] = static_cast<float>(std::exp(2 * random.Normal()));
  }
  return group;
}

// An orthonormal matrix, rounded to 8 bits: that of a discrete cosine
// transform.
Group Cosines(uint32_t n) {
  Group group(n);
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t j = 0; j < n; ++j) {
      const double u = std::sqrt((j == 0 ? 1.0 : 2.0) / n) *
                       std::cos(M_PI * j * (2 * i + 1) / (2.0 * n));
      group.Hi(j, i) =
          static_cast<int8_t>(std::nearbyint(127 * u / std::sqrt(2.0 / n)));
    }
    group.dec[i] = static_cast<float>(std::sqrt(2.0 / n) / 127);
    group.enc[i] = group.dec[i];
  }
  return group;
}

// What the decoder makes of coefficients, exactly: [n].
std::vector<float> Synthesise(const Group& group,
                              const std::vector<double>& coefficients) {
  std::vector<float> x(group.n);
  for (uint32_t i = 0; i < group.n; ++i) {
    double sum = 0;
    for (uint32_t j = 0; j < group.n; ++j) {
      sum += group.At(i, j) * coefficients[j];
    }
    x[i] = static_cast<float>(group.mu[i] + group.dec[i] * sum);
  }
  return x;
}

// One token's z.
std::vector<float> Forward(const KltTransform& transform,
                           const std::vector<float>& x) {
  std::vector<float> z(uint64_t{transform.padded()} * kKltTokens);
  KltScratch scratch;
  KltForward({.transform = &transform,
              .tokens = 1,
              .x = x.data(),
              .x_stride = transform.n(),
              .z = z.data()},
             &scratch);
  std::vector<float> token(transform.n());
  for (uint32_t j = 0; j < transform.n(); ++j) token[j] = z[j * kKltTokens];
  return token;
}

std::vector<double> SomeCoefficients(uint32_t n) {
  Random random(n);
  std::vector<double> coefficients(n);
  for (double& q : coefficients) q = random.Normal();
  return coefficients;
}

TEST(KltAnalysisTest, FindsTheCoefficientsOfAMatrixThatIsNotOrthonormal) {
  ForEachTarget([] {
    for (const uint32_t n : {1u, 2u, 31u, 32u, 33u, 100u, 300u}) {
      for (const uint32_t lead : {0u, n}) {
        const Group group = Skewed(n, lead, n);
        const KltTransform transform = group.Transform();
        ASSERT_TRUE(transform.analysis().is_solved()) << n;
        const std::vector<double> wanted = SomeCoefficients(n);
        const std::vector<float> z =
            Forward(transform, Synthesise(group, wanted));
        for (uint32_t j = 0; j < n; ++j) {
          ASSERT_NEAR(z[j], wanted[j], 1e-3) << "n " << n << ", " << j;
        }
      }
    }
  });
}

TEST(KltAnalysisTest, UnitsOfChannelsDoNotMatter) {
  Group group = Skewed(70, 32, 1);
  for (uint32_t i = 0; i < group.n; ++i) {
    group.dec[i] = i % 2 == 0 ? 0x1p-40f : 0x1p40f;
    group.mu[i] = 0;
  }
  const KltTransform transform = group.Transform();
  ASSERT_TRUE(transform.analysis().is_solved());
  const std::vector<double> wanted = SomeCoefficients(group.n);
  const std::vector<float> z = Forward(transform, Synthesise(group, wanted));
  for (uint32_t j = 0; j < group.n; ++j) ASSERT_NEAR(z[j], wanted[j], 1e-3);
}

// The root of the mean square of what a token loses at a step.
double ErrorAt(const KltTransform& transform, const std::vector<float>& x,
               float step) {
  const uint32_t padded = transform.padded();
  std::vector<float> z(uint64_t{padded} * kKltTokens), back(padded);
  std::vector<int16_t> q(padded);
  KltScratch scratch;
  KltForward({.transform = &transform,
              .tokens = 1,
              .x = x.data(),
              .x_stride = transform.n(),
              .z = z.data()},
             &scratch);
  EXPECT_EQ(KltQuantise({.n = transform.n(),
                         .tokens = 1,
                         .z = z.data(),
                         .steps = &step,
                         .q = q.data(),
                         .q_stride = padded}),
            0u);
  EXPECT_TRUE(KltInverse({.transform = &transform,
                          .tokens = 1,
                          .q = q.data(),
                          .q_stride = padded,
                          .used = &padded,
                          .steps = &step,
                          .x = back.data(),
                          .x_stride = padded},
                         &scratch));
  double squares = 0;
  for (uint32_t i = 0; i < transform.n(); ++i) {
    squares += (back[i] - x[i]) * (back[i] - x[i]);
  }
  return std::sqrt(squares / transform.n());
}

// With the transpose, what the rounding of the matrix lets leak from large
// coefficients stays however fine the step is.
TEST(KltAnalysisTest, ErrorsFallAsTheStepFalls) {
  const Group group = Cosines(96);
  const KltTransform transform = group.Transform();
  std::vector<double> coefficients = SomeCoefficients(group.n);
  // About as coefficients fall.
  for (uint32_t j = 0; j < group.n; ++j) coefficients[j] *= 8 / (1.0 + j);
  std::vector<float> x(group.n);
  for (uint32_t i = 0; i < group.n; ++i) {
    for (uint32_t j = 0; j < group.n; ++j) {
      x[i] +=
          static_cast<float>(group.At(i, j) * group.dec[i] * coefficients[j]);
    }
  }
  ForEachTarget([&] {
    for (const float step : {0x1p-4f, 0x1p-6f, 0x1p-8f, 0x1p-10f}) {
      EXPECT_LT(ErrorAt(transform, x, step), 0.4 * step) << step;
    }
  });
}

// z by the transpose and enc, in f64.
std::vector<double> ByTranspose(const Group& group,
                                const std::vector<float>& x) {
  std::vector<double> z(group.n);
  for (uint32_t j = 0; j < group.n; ++j) {
    for (uint32_t i = 0; i < group.n; ++i) {
      z[j] += group.At(i, j) * group.enc[i] * (double{x[i]} - group.mu[i]);
    }
  }
  return z;
}

void ExpectTranspose(const Group& group, const std::string& what) {
  SCOPED_TRACE(what + ", n " + std::to_string(group.n));
  const KltTransform transform = group.Transform();
  EXPECT_FALSE(transform.analysis().is_solved());
  std::vector<float> x(group.n);
  for (uint32_t i = 0; i < group.n; ++i) {
    x[i] = group.mu[i] + static_cast<float>(i % 7) - 3;
  }
  const std::vector<double> wanted = ByTranspose(group, x);
  const std::vector<float> z = Forward(transform, x);
  for (uint32_t j = 0; j < group.n; ++j) {
    ASSERT_NEAR(z[j], wanted[j], 1e-3 * group.n) << j;
  }
}

TEST(KltAnalysisTest, TakesTheTransposeWhereThereIsNoInverse) {
  ExpectTranspose(Group(1), "zero");
  ExpectTranspose(Group(100, 32), "zero");
  for (const uint32_t n : {2u, 33u, 100u}) {
    Group row = Skewed(n, 0, 5);
    for (uint32_t j = 0; j < n; ++j) row.Hi(j, n / 2) = 0;
    std::fill_n(row.enc.begin(), n, 0.01f);
    ExpectTranspose(row, "a channel of zeros");
    Group twice = Skewed(n, 0, 6);
    for (uint32_t i = 0; i < n; ++i) twice.Hi(n - 1, i) = twice.Hi(0, i);
    std::fill_n(twice.enc.begin(), n, 0.01f);
    ExpectTranspose(twice, "a coefficient twice");
    Group same(n);
    std::fill(same.hi.begin(), same.hi.end(), int8_t{127});
    std::fill_n(same.enc.begin(), n, 0.01f);
    ExpectTranspose(same, "all the same");
  }
}

// A product of matrices that are each harmless, until no digit is left.
TEST(KltAnalysisTest, TakesTheTransposeWhereTheInverseIsWorthless) {
  const uint32_t n = 64;
  Group group(n, n);
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t j = 0; j <= i; ++j) {
      group.Hi(j, i) = static_cast<int8_t>(j == i ? 60 : -60);
    }
    group.enc[i] = 0.01f;
  }
  ExpectTranspose(group, "an inverse that doubles from row to row");
}

// The largest that a profile may have: zeros end it at once.
TEST(KltAnalysisTest, TheLargestMatrixOfZerosIsQuick) {
  Group group(4096);
  for (uint32_t j = 0; j < group.n; ++j) group.Hi(j, 7) = 1;
  EXPECT_FALSE(group.Transform().analysis().is_solved());
}

TEST(KltAnalysisTest, PortableBitsAreTheSameEverywhere) {
  const Group group = Skewed(100, 64, 8);
  const KltTransform transform = group.Transform();
  const KltAnalysis wanted(transform, KltAnalysis::Arithmetic::kPortable);
  EXPECT_TRUE(wanted.is_solved());
  ForEachTarget([&] {
    const KltAnalysis other(transform, KltAnalysis::Arithmetic::kPortable);
    for (uint32_t j = 0; j < group.n; ++j) {
      ASSERT_EQ(wanted.scales()[j], other.scales()[j]);
      ASSERT_EQ(wanted.factors()[j], other.factors()[j]);
      for (uint32_t i = 0; i < group.n; ++i) {
        ASSERT_EQ(wanted.weight(j, i), other.weight(j, i));
      }
    }
  });
}

TEST(KltAnalysisTest, DecodersDoNotPay) {
  const Group group = Skewed(100, 32, 9);
  const KltTransform transform = group.Transform();
  const uint64_t before = transform.memory_bytes();
  const uint32_t padded = transform.padded();
  const std::vector<int16_t> q(padded, 3);
  std::vector<float> x(padded);
  const float step = 1;
  KltScratch scratch;
  ASSERT_TRUE(KltInverse({.transform = &transform,
                          .tokens = 1,
                          .q = q.data(),
                          .q_stride = padded,
                          .used = &padded,
                          .steps = &step,
                          .x = x.data(),
                          .x_stride = padded},
                         &scratch));
  EXPECT_EQ(transform.memory_bytes(), before);
  Forward(transform, x);
  EXPECT_EQ(transform.memory_bytes(),
            before + transform.analysis().memory_bytes());
  EXPECT_GE(transform.analysis().memory_bytes(), uint64_t{2} * 100 * 100);
}

TEST(KltAnalysisTest, FirstEncodersShareOne) {
  const Group group = Skewed(200, 32, 10);
  const KltTransform transform = group.Transform();
  const std::vector<float> x = Synthesise(group, SomeCoefficients(group.n));
  constexpr size_t kThreads = 8;
  std::vector<std::vector<float>> z(kThreads);
  std::vector<const KltAnalysis*> analyses(kThreads);
  std::vector<uint64_t> bytes(kThreads);
  std::vector<std::thread> threads;
  for (size_t k = 0; k < kThreads; ++k) {
    threads.emplace_back([&, k] {
      transform.memory_bytes();
      z[k] = Forward(transform, x);
      analyses[k] = &transform.analysis();
      bytes[k] = transform.memory_bytes();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t k = 1; k < kThreads; ++k) {
    EXPECT_EQ(z[k], z[0]);
    EXPECT_EQ(analyses[k], analyses[0]);
    EXPECT_EQ(bytes[k], bytes[0]);
  }
}

}  // namespace
}  // namespace reprise
