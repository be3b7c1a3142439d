#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "codec/exact_simd.h"
#include "codec/klt_analysis.h"
#include "codec/klt_transform_kernel.h"
#include "codec/klt_transform_simd.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Each instruction set, and AVX-512 with and without dot products of bytes.
void ForEachTarget(const std::function<void()>& test) {
  for (const int64_t target : ExactTargets()) {
    ChooseExactTarget(target);
    for (const bool allowed : {true, false}) {
      if (!allowed && ExactTargetName(target) != "AVX3") continue;
      SCOPED_TRACE(std::string(ExactTargetName(target)) +
                   (allowed ? "" : ", no dot products"));
      AllowKltDotProducts(allowed);
      test();
    }
  }
  AllowKltDotProducts(true);
  ChooseExactTarget(0);
}

struct Shape {
  uint32_t n;
  uint32_t lead;
};

// A group as a profile has it.
struct Group {
  uint32_t n;
  uint32_t lead;
  std::vector<float> mu, dec, enc;
  std::vector<int8_t> hi, lo;

  Group(const Shape& shape, Random* random)
      : n(shape.n),
        lead(shape.lead),
        hi(uint64_t{n} * n),
        lo(uint64_t{lead} * n) {
    for (uint32_t i = 0; i < n; ++i) {
      mu.push_back(static_cast<float>(random->Normal()));
      dec.push_back(static_cast<float>(std::exp(random->Normal()) / 1000));
      enc.push_back(static_cast<float>(std::exp(random->Normal()) / 1000));
    }
    for (int8_t& u : hi) u = static_cast<int8_t>(random->Below(255)) - 127;
    for (int8_t& u : lo) u = static_cast<int8_t>(random->Below(256));
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

constexpr Shape kShapes[] = {{1, 0},    {1, 1},    {3, 3},     {31, 0},
                             {31, 31},  {32, 32},  {33, 32},   {33, 33},
                             {100, 64}, {128, 32}, {161, 161}, {770, 96}};

// Coefficients of tokens.
struct Coefficients {
  uint32_t tokens;
  uint32_t stride;
  std::vector<int16_t> q;
  std::vector<uint32_t> used;
  std::vector<float> steps;

  Coefficients(uint32_t n, uint32_t count, Random* random)
      : tokens(count),
        stride(KltPadded(n) + 32),
        q(uint64_t{tokens} * stride, 0x5555),
        used(tokens, KltPadded(n)) {
    for (uint32_t t = 0; t < tokens; ++t) {
      std::fill_n(Row(t), KltPadded(n), 0);
      steps.push_back(static_cast<float>(std::exp(random->Normal())));
    }
  }

  int16_t* Row(uint32_t token) { return q.data() + uint64_t{token} * stride; }
  const int16_t* Row(uint32_t token) const {
    return q.data() + uint64_t{token} * stride;
  }

  KltInverseJob Job(const KltTransform& transform, float* x) const {
    return {.transform = &transform,
            .tokens = tokens,
            .q = q.data(),
            .q_stride = stride,
            .used = used.data(),
            .steps = steps.data(),
            .x = x,
            .x_stride = stride};
  }
};

// From nearly nothing to nearly everything, of all sizes within the limits:
// as in an encoding, the first ones are the largest.
void FillLikeAnEncoding(const Group& group, Coefficients* c, Random* random) {
  for (uint32_t t = 0; t < c->tokens; ++t) {
    const double first = std::exp2(random->Unit() * 14);
    const double fall = random->Unit() * 30 / group.n;
    double left = kKltMaxSum;
    uint32_t last = 0;
    for (uint32_t j = 0; j < group.n; ++j) {
      const double sigma = first * std::exp(-fall * j);
      const double q =
          std::clamp(std::trunc(sigma * random->Normal()), -32767.0, 32767.0);
      if (std::fabs(q) > left) break;
      left -= std::fabs(q);
      c->Row(t)[j] = static_cast<int16_t>(q);
      if (q != 0) last = j + 1;
    }
    if (random->OneIn(2)) c->used[t] = KltPadded(last);
  }
}

// The page's formula over the profile's own columns, sums in 64 bits.
std::vector<float> ByTheBook(const Group& group, const Coefficients& c) {
  std::vector<float> x;
  for (uint32_t t = 0; t < c.tokens; ++t) {
    for (uint32_t i = 0; i < group.n; ++i) {
      int64_t hi = 0;
      int64_t lo = 0;
      for (uint32_t j = 0; j < group.n; ++j) {
        hi += int64_t{group.hi[j * group.n + i]} * c.Row(t)[j];
        if (j < group.lead) {
          lo += int64_t{group.lo[j * group.n + i]} * c.Row(t)[j];
        }
      }
      EXPECT_LT(std::abs(hi), 1 << 24);
      EXPECT_LT(std::abs(lo), 1 << 24);
      const float s = group.dec[i] * c.steps[t];
      x.push_back(
          std::fma(static_cast<float>(hi), s,
                   std::fma(static_cast<float>(lo), s * 0x1p-8f, group.mu[i])));
    }
  }
  return x;
}

using Inverse = bool (*)(const KltInverseJob&, KltScratch*);

void ExpectInverse(Inverse inverse, const Group& group, const Coefficients& c) {
  const KltTransform transform = group.Transform();
  std::vector<float> x(uint64_t{c.tokens} * c.stride, -7);
  KltScratch scratch;
  ASSERT_TRUE(inverse(c.Job(transform, x.data()), &scratch));
  const std::vector<float> wanted = ByTheBook(group, c);
  for (uint32_t t = 0; t < c.tokens; ++t) {
    const float* const row = x.data() + uint64_t{t} * c.stride;
    ASSERT_EQ(std::memcmp(row, wanted.data() + uint64_t{t} * group.n,
                          group.n * sizeof(float)),
              0)
        << "n " << group.n << " lead " << group.lead << " token " << t;
    // Nothing behind the padding.
    for (uint32_t i = KltPadded(group.n); i < c.stride; ++i) {
      ASSERT_EQ(row[i], -7);
    }
  }
}

void ExpectInverses(Inverse inverse) {
  Random random(1);
  for (const Shape& shape : kShapes) {
    const Group group(shape, &random);
    for (const uint32_t tokens : {1u, 2u, 5u, 64u}) {
      if (shape.n * tokens > 20000) continue;
      Coefficients c(shape.n, tokens, &random);
      FillLikeAnEncoding(group, &c, &random);
      ExpectInverse(inverse, group, c);
    }
  }
}

TEST(KltTransformTest, InverseIsWhatThePageSays) {
  ExpectInverses(KltInverseScalar);
}

TEST(KltTransformTest, EveryInstructionSetInvertsTheSame) {
  ForEachTarget([] { ExpectInverses(KltInverse); });
}

// The largest sums that the limits allow, of one sign and of both, in few and
// in many coefficients, against the largest limbs.
void ExpectExtremes(Inverse inverse) {
  Random random(2);
  for (const uint32_t n : {33u, 256u, 770u}) {
    Group group({n, n}, &random);
    for (uint64_t k = 0; k < group.hi.size(); ++k) {
      const bool minus = k % n % 2 == 1;
      group.hi[k] = static_cast<int8_t>(minus ? -127 : 127);
      group.lo[k] = static_cast<int8_t>(minus ? -128 : 127);
    }
    Coefficients c(n, 6, &random);
    for (uint32_t k = 0; k < 5; ++k) {
      // 4 * 32767 + 3 is the limit.
      const auto q = static_cast<int16_t>(k < 4 ? 32767 : 3);
      c.Row(0)[k] = q;
      c.Row(1)[k] = static_cast<int16_t>(-q);
      c.Row(2)[n - 1 - k] = q;
      c.Row(3)[n - 1 - k] = static_cast<int16_t>(k % 2 == 0 ? q : -q);
    }
    for (uint32_t j = 0; j < n; ++j) {
      c.Row(4)[j] = static_cast<int16_t>(-(kKltMaxSum / static_cast<int>(n)));
      c.Row(5)[j] = static_cast<int16_t>(std::min(
          kKltMaxSum / static_cast<int>(n), 60 + static_cast<int>(j % 140)));
    }
    ExpectInverse(inverse, group, c);
  }
}

TEST(KltTransformTest, ExtremesAreExact) {
  ExpectExtremes(KltInverseScalar);
  ForEachTarget([] { ExpectExtremes(KltInverse); });
}

TEST(KltTransformTest, EveryValueOfACoefficientIsExact) {
  ForEachTarget([] {
    Random random(3);
    const Group group({5, 3}, &random);
    for (int32_t first = 0; first <= 32767; first += 64) {
      Coefficients c(group.n, 64, &random);
      for (uint32_t t = 0; t < 64; ++t) {
        const int32_t q = std::min(first + static_cast<int32_t>(t), 32767);
        c.Row(t)[random.Below(5)] = static_cast<int16_t>(q);
        c.Row(t)[random.Below(5)] = static_cast<int16_t>(-q);
      }
      ExpectInverse(KltInverse, group, c);
    }
  });
}

void ExpectLimits(Inverse inverse) {
  Random random(4);
  const Group group({300, 32}, &random);
  const KltTransform transform = group.Transform();
  const auto keeps = [&](const std::function<void(int16_t*)>& set) {
    Coefficients c(group.n, 3, &random);
    set(c.Row(1));
    std::vector<float> x(uint64_t{3} * c.stride);
    KltScratch scratch;
    return inverse(c.Job(transform, x.data()), &scratch);
  };
  EXPECT_TRUE(keeps([](int16_t* q) { q[7] = 32767; }));
  EXPECT_TRUE(keeps([](int16_t* q) { q[7] = -32767; }));
  EXPECT_FALSE(keeps([](int16_t* q) { q[7] = -32768; }));
  EXPECT_FALSE(keeps([](int16_t* q) { q[299] = -32768; }));
  for (const int sign : {1, -1}) {
    const auto fill = [&](int16_t* q, int last) {
      for (int k = 0; k < 4; ++k) {
        q[k * 70] = static_cast<int16_t>(k % 2 == 0 ? 32767 : sign * 32767);
      }
      q[299] = static_cast<int16_t>(sign * last);
    };
    EXPECT_TRUE(keeps([&](int16_t* q) { fill(q, 3); }));
    EXPECT_FALSE(keeps([&](int16_t* q) { fill(q, 4); }));
    // Of small ones alone: 300 x 436 is 130800.
    const auto many = [&](int16_t* q, int more) {
      std::fill_n(q, 300, static_cast<int16_t>(sign * 436));
      q[11] = static_cast<int16_t>(sign * (436 + more));
    };
    EXPECT_TRUE(keeps([&](int16_t* q) { many(q, 271); }));
    EXPECT_FALSE(keeps([&](int16_t* q) { many(q, 272); }));
  }
}

TEST(KltTransformTest, LimitsAreChecked) {
  ExpectLimits(KltInverseScalar);
  ForEachTarget([] { ExpectLimits(KltInverse); });
}

// Sums of coefficients that all fit into bytes can break the limit too.
TEST(KltTransformTest, TheLimitHoldsForManySmallOnes) {
  ForEachTarget([] {
    Random random(5);
    const Group group({2200, 0}, &random);
    const KltTransform transform = group.Transform();
    Coefficients c(group.n, 1, &random);
    std::fill_n(c.Row(0), 2184, static_cast<int16_t>(-60));
    std::vector<float> x(c.stride);
    KltScratch scratch;
    c.Row(0)[2190] = 31;
    EXPECT_TRUE(KltInverse(c.Job(transform, x.data()), &scratch));
    c.Row(0)[2190] = 32;
    EXPECT_FALSE(KltInverse(c.Job(transform, x.data()), &scratch));
  });
}

// -------------------------------------------------------------------- encode

using Forward = void (*)(const KltForwardJob&, KltScratch*);

void ExpectForwards(Forward forward) {
  Random random(6);
  KltScratch scratch;
  for (const Shape& shape : kShapes) {
    const Group group(shape, &random);
    const KltTransform transform = group.Transform();
    const KltAnalysis& analysis = transform.analysis();
    for (const uint32_t tokens : {1u, 15u, 17u, 40u, 64u}) {
      const uint32_t stride = shape.n + 3;
      std::vector<float> x(uint64_t{tokens} * stride, kNan);
      std::vector<float> z(uint64_t{transform.padded()} * kKltTokens, kNan);
      for (uint32_t t = 0; t < tokens; ++t) {
        for (uint32_t i = 0; i < shape.n; ++i) {
          x[t * stride + i] = static_cast<float>(random.Normal());
        }
      }
      forward({.transform = &transform,
               .tokens = tokens,
               .x = x.data(),
               .x_stride = stride,
               .z = z.data()},
              &scratch);
      for (uint32_t j = 0; j < transform.padded(); ++j) {
        for (uint32_t t = 0; t < tokens; ++t) {
          double sum = 0;
          double size = 0;
          for (uint32_t i = 0; i < shape.n && j < shape.n; ++i) {
            const double term = double{analysis.weight(j, i)} *
                                analysis.scales()[j] * analysis.factors()[i] *
                                (double{x[t * stride + i]} - group.mu[i]);
            sum += term;
            size += std::fabs(term);
          }
          ASSERT_NEAR(z[j * kKltTokens + t], sum, size * 1e-6)
              << "n " << shape.n << " tokens " << tokens;
        }
      }
    }
  }
}

TEST(KltTransformTest, ForwardIsTheSum) { ExpectForwards(KltForwardScalar); }

TEST(KltTransformTest, EveryInstructionSetSumsUp) {
  ForEachTarget([] { ExpectForwards(KltForward); });
}

// What the kernel of devices relies on.
TEST(KltTransformTest, MachinesThatFuseSumFromTheFirstChannelOn) {
  Random random(9);
  const Group group({1030, 64}, &random);
  const KltTransform transform = group.Transform();
  const KltAnalysis& analysis = transform.analysis();
  std::vector<float> x(uint64_t{64} * group.n);
  for (float& value : x) value = static_cast<float>(random.Normal());
  std::vector<float> wanted(uint64_t{transform.padded()} * kKltTokens);
  for (uint32_t j = 0; j < group.n; ++j) {
    for (uint32_t t = 0; t < kKltTokens; ++t) {
      float sum = 0;
      for (uint32_t i = 0; i < group.n; ++i) {
        const float y =
            (x[t * group.n + i] - group.mu[i]) * analysis.factors()[i];
        sum = std::fma(analysis.weight(j, i) * analysis.scales()[j], y, sum);
      }
      wanted[j * kKltTokens + t] = sum;
    }
  }
  uint32_t fused = 0;
  ForEachTarget([&] {
    if (!KltForwardIsFused()) return;
    ++fused;
    std::vector<float> z(wanted.size(), kNan);
    KltScratch scratch;
    KltForward({.transform = &transform,
                .tokens = kKltTokens,
                .x = x.data(),
                .x_stride = group.n,
                .z = z.data()},
               &scratch);
    for (size_t k = 0; k < z.size(); ++k) ASSERT_EQ(z[k], wanted[k]) << k;
  });
  if (fused == 0) GTEST_SKIP() << "this machine has no such instruction";
}

TEST(KltTransformTest, WideGroupsAreSummedInParts) {
  Random random(7);
  const Group group({2100, 64}, &random);
  const KltTransform transform = group.Transform();
  std::vector<float> x(uint64_t{64} * group.n);
  for (float& value : x) value = static_cast<float>(random.Normal());
  std::vector<float> wanted(uint64_t{transform.padded()} * kKltTokens);
  std::vector<float> z(wanted.size());
  KltForwardJob job{.transform = &transform,
                    .tokens = 64,
                    .x = x.data(),
                    .x_stride = group.n,
                    .z = wanted.data()};
  KltScratch scratch;
  KltForwardScalar(job, &scratch);
  job.z = z.data();
  float largest = 0;
  for (const float value : wanted) largest = std::max(largest, value);
  ForEachTarget([&] {
    KltForward(job, &scratch);
    for (size_t k = 0; k < z.size(); ++k) {
      ASSERT_NEAR(z[k], wanted[k], 1e-5 * largest) << k;
    }
  });
}

TEST(KltTransformTest, WhatIsNotFiniteStaysInItsToken) {
  ForEachTarget([] {
    Random random(8);
    const Group group({70, 32}, &random);
    const KltTransform transform = group.Transform();
    for (const float bad : {kNan, kInf, -kInf}) {
      std::vector<float> x(uint64_t{64} * group.n, 1.0f);
      x[9 * group.n + 33] = bad;
      std::vector<float> z(uint64_t{transform.padded()} * kKltTokens);
      std::vector<int16_t> q(uint64_t{64} * transform.padded());
      const std::vector<float> steps(64, 1.0f);
      KltScratch scratch;
      KltForward({.transform = &transform,
                  .tokens = 64,
                  .x = x.data(),
                  .x_stride = group.n,
                  .z = z.data()},
                 &scratch);
      EXPECT_EQ(KltQuantise({.n = group.n,
                             .tokens = 64,
                             .z = z.data(),
                             .steps = steps.data(),
                             .q = q.data(),
                             .q_stride = transform.padded()}),
                uint64_t{1} << 9);
    }
  });
}

struct Quantising {
  std::vector<float> z;
  std::vector<float> steps;
  std::vector<int16_t> q;
  KltQuantiseJob job;

  Quantising(uint32_t n, uint32_t tokens)
      : z(uint64_t{KltPadded(n)} * kKltTokens),
        steps(tokens, 1),
        q(uint64_t{tokens} * (KltPadded(n) + 5), 99),
        job{.n = n,
            .tokens = tokens,
            .z = z.data(),
            .steps = steps.data(),
            .q = q.data(),
            .q_stride = KltPadded(n) + 5} {}
  Quantising(const Quantising&) = delete;

  float& At(uint32_t j, uint32_t t) { return z[j * kKltTokens + t]; }
};

TEST(KltTransformTest, RoundsHalvesAway) {
  ForEachTarget([] {
    Quantising work(8, 2);
    const float values[] = {0.49f, 0.5f, -0.5f,  1.49f,
                            -1.5f, 2.5f, -0.49f, -0.0f};
    const int16_t wanted[] = {0, 1, -1, 1, -2, 3, 0, 0};
    for (uint32_t j = 0; j < 8; ++j) {
      work.At(j, 0) = values[j];
      work.At(j, 1) = values[j] * 8;
    }
    work.steps[1] = 8;
    EXPECT_EQ(KltQuantise(work.job), 0u);
    for (uint32_t t = 0; t < 2; ++t) {
      EXPECT_TRUE(std::equal(wanted, wanted + 8,
                             work.q.begin() + t * work.job.q_stride));
    }
  });
}

TEST(KltTransformTest, EveryInstructionSetRoundsTheSame) {
  ForEachTarget([] {
    Random random(9);
    for (const uint32_t n : {1u, 31u, 33u, 770u}) {
      for (const uint32_t tokens : {1u, 8u, 15u, 33u, 64u}) {
        Quantising a(n, tokens), b(n, tokens);
        for (uint32_t t = 0; t < tokens; ++t) {
          a.steps[t] = static_cast<float>(std::exp(random.Normal()));
          const double size = std::exp2(random.Unit() * 16);
          for (uint32_t j = 0; j < n; ++j) {
            // Halves of steps are where roundings differ.
            const double z = random.OneIn(3) ? std::round(random.Normal()) + 0.5
                                             : random.Normal();
            a.At(j, t) =
                static_cast<float>(z * a.steps[t] * (j < 20 ? size : 1.0));
          }
        }
        b.z = a.z;
        b.steps = a.steps;
        b.job.z = b.z.data();
        b.job.steps = b.steps.data();
        const uint64_t raw = KltQuantise(a.job);
        ASSERT_EQ(raw, KltQuantiseScalar(b.job));
        for (uint32_t t = 0; t < tokens; ++t) {
          if (raw >> t & 1) continue;
          ASSERT_TRUE(std::equal(a.q.begin() + t * a.job.q_stride,
                                 a.q.begin() + (t + 1) * a.job.q_stride,
                                 b.q.begin() + t * b.job.q_stride));
        }
      }
    }
  });
}

void ExpectRawTokens(uint64_t (*quantise)(const KltQuantiseJob&)) {
  Quantising work(100, 40);
  for (uint32_t j = 0; j < 96; ++j) {
    for (uint32_t t = 0; t < 64; ++t) work.At(j, t) = t < 40 ? 1 : kNan;
  }
  const float large[] = {32767.4f, 32767.5f, -32767.4f, -32767.5f,
                         1e30f,    kInf,     -kInf,     kNan};
  const bool is_raw[] = {false, true, false, true, true, true, true, true};
  uint64_t wanted = 0;
  for (uint32_t k = 0; k < 8; ++k) {
    work.At(99, 3 + 4 * k) = large[k];
    wanted |= uint64_t{is_raw[k]} << (3 + 4 * k);
  }
  // 96 ones and 3 x 32767 leave 32674.
  for (uint32_t t : {36u, 37u}) {
    for (uint32_t j = 96; j < 99; ++j) work.At(j, t) = j % 2 ? 32767 : -32767;
    work.At(99, t) = static_cast<float>(t == 36 ? 32674 : -32675);
  }
  wanted |= uint64_t{1} << 37;
  EXPECT_EQ(quantise(work.job), wanted);
  EXPECT_EQ(work.q[36 * work.job.q_stride + 99], 32674);
}

TEST(KltTransformTest, SaysWhichTokensDoNotFit) {
  ExpectRawTokens(KltQuantiseScalar);
  ForEachTarget([] { ExpectRawTokens(KltQuantise); });
}

TEST(KltTransformTest, CoarserIsTheNearestThird) {
  std::vector<int16_t> q;
  for (int32_t value = -32767; value <= 32767; ++value) {
    q.push_back(static_cast<int16_t>(value));
  }
  std::vector<int16_t> wanted(q.size());
  KltCoarserScalar(q.data(), q.size(), wanted.data());
  for (size_t k = 0; k < q.size(); ++k) {
    ASSERT_EQ(wanted[k], std::lround(q[k] / 3.0));
  }
  ForEachTarget([&] {
    std::vector<int16_t> coarser(q.size());
    KltCoarser(q.data(), q.size(), coarser.data());
    EXPECT_EQ(coarser, wanted);
    coarser = q;
    KltCoarser(coarser.data(), 77, coarser.data());
    EXPECT_TRUE(
        std::equal(wanted.begin(), wanted.begin() + 77, coarser.begin()));
    EXPECT_EQ(coarser[77], q[77]);
  });
}

TEST(KltTransformTest, WhatIsEncodedComesBack) {
  ForEachTarget([] {
    // Two channels turned by 45 degrees, each with its own scale.
    const float mu[] = {3, -2};
    const float r = std::sqrt(0.5f) / 100;
    const float dec[] = {r * 2, r / 2};
    const float enc[] = {r / 2, r * 2};
    const int8_t hi[] = {100, 100, 100, -100};
    const KltTransform transform({.n = 2,
                                  .lead = 0,
                                  .mu = mu,
                                  .dec = dec,
                                  .enc = enc,
                                  .hi = hi,
                                  .lo = nullptr});
    const float x[] = {3.75f, -1.5f};
    std::vector<float> z(uint64_t{32} * kKltTokens), back(32);
    std::vector<int16_t> q(32);
    const float step = 1.0f / 1024;
    const uint32_t used = 32;
    KltScratch scratch;
    KltForward({.transform = &transform,
                .tokens = 1,
                .x = x,
                .x_stride = 2,
                .z = z.data()},
               &scratch);
    EXPECT_EQ(KltQuantise({.n = 2,
                           .tokens = 1,
                           .z = z.data(),
                           .steps = &step,
                           .q = q.data(),
                           .q_stride = 32}),
              0u);
    ASSERT_TRUE(KltInverse({.transform = &transform,
                            .tokens = 1,
                            .q = q.data(),
                            .q_stride = 32,
                            .used = &used,
                            .steps = &step,
                            .x = back.data(),
                            .x_stride = 32},
                           &scratch));
    EXPECT_NEAR(back[0], x[0], 2 * step);
    EXPECT_NEAR(back[1], x[1], step);
  });
}

}  // namespace
}  // namespace reprise
