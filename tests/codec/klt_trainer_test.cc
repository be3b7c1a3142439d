// Training profiles of `klt` from values alone, on made-up values whose
// structure is known.
#include "codec/klt_trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "codec/klt_basis.h"
#include "codec/klt_eigen.h"
#include "codec/klt_products_simd.h"
#include "codec/klt_table_fit.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

constexpr uint32_t kRank = 6;

// Values of one token: `kRank` numbers spread over all channels, a mean, and
// hardly any noise. Keys are not rotated, so that the structure stays.
ModelSpec PlainTiny() {
  ModelSpec spec = TinyModel(DType::kF32);
  spec.rope = {};
  return spec;
}

class KltTrainerTest : public testing::Test {
 protected:
  void Start(const ModelSpec& spec, uint64_t memory_bytes = 1u << 30) {
    spec_ = spec;
    auto made = KltTrainer::Make(spec_, {}, memory_bytes);
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    trainer_ = *std::move(made);
  }

  void AddTokens(uint64_t count, uint64_t seed, double noise = 1e-3) {
    Random random(seed);
    const LayerGroup all = LayerGroupsOf(spec_)[0];
    const auto slices = *SlicePlanes(spec_, all, HeadRange::All());
    const uint32_t channels = 32;
    std::vector<float> values(slices.size() * kSegmentTokens * channels);
    for (uint64_t first = 0; first < count; first += kSegmentTokens) {
      for (uint32_t t = 0; t < kSegmentTokens; ++t) {
        double factors[kRank];
        for (uint32_t k = 0; k < kRank; ++k) {
          factors[k] = random.Normal() * (kRank - k);
        }
        for (size_t s = 0; s < slices.size(); ++s) {
          for (uint32_t c = 0; c < channels; ++c) {
            double value = 5.0 + noise * random.Normal();
            for (uint32_t k = 0; k < kRank; ++k) {
              value +=
                  factors[k] * std::sin(0.7 * (k + 1) * (s * channels + c) + k);
            }
            values[(s * kSegmentTokens + t) * channels + c] =
                static_cast<float>(value);
          }
        }
      }
      std::vector<ConstPlaneRows> rows;
      for (size_t s = 0; s < slices.size(); ++s) {
        rows.push_back({reinterpret_cast<const uint8_t*>(
                            &values[s * kSegmentTokens * channels]),
                        channels * sizeof(float)});
      }
      ASSERT_TRUE(
          trainer_
              ->Add(static_cast<uint32_t>(first), kSegmentTokens, slices, rows)
              .ok());
    }
  }

  Bytes Fit() {
    auto fitted = trainer_->Fit(nullptr);
    EXPECT_TRUE(fitted.ok()) << fitted.status().ToString();
    return fitted.ok() ? *std::move(fitted) : Bytes();
  }

  ModelSpec spec_;
  std::unique_ptr<ProfileTrainer> trainer_;
};

TEST_F(KltTrainerTest, FindsTheSubspaceOfTheValues) {
  Start(PlainTiny());
  AddTokens(1152, 1);
  const auto parts = DecodeKltProfile(Fit());
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->kind, KltProfileKind::kStatistics);
  EXPECT_EQ(parts->weights, spec_.weights_hash);
  EXPECT_EQ(parts->sensitivity_exponent, 0.0f);
  ASSERT_EQ(parts->groups.size(), 1u);
  const KltGroupParts& group = parts->groups[0];
  ASSERT_EQ(group.n, 128u);
  // Row 0 has all that there is; the others are noise, and never coded.
  EXPECT_GT(group.levels[0], kKltLevelOfStep);
  for (uint32_t r = 1; r < group.rows(); ++r) {
    EXPECT_LT(group.levels[r], parts->lo1) << r;
  }
  // A new token comes back from its first coefficients alone.
  const std::vector<float> forward = KltForwardMatrix(group);
  const uint64_t stride = KltRowFloats(group.n);
  std::vector<double> x(group.n), back(group.n);
  double energy = 0, error = 0;
  for (uint32_t i = 0; i < group.n; ++i) x[i] = std::sin(0.7 * 3 * i + 2);
  for (uint32_t j = 0; j < kRank; ++j) {
    double z = 0;
    for (uint32_t i = 0; i < group.n; ++i) z += forward[i * stride + j] * x[i];
    for (uint32_t i = 0; i < group.n; ++i) {
      const uint64_t at = uint64_t{j} * group.n + i;
      back[i] += z * (group.hi[at] + group.lo[at] / 256.0) * group.dec[i];
    }
  }
  for (uint32_t i = 0; i < group.n; ++i) {
    energy += x[i] * x[i];
    error += (x[i] - back[i]) * (x[i] - back[i]);
  }
  EXPECT_LT(error, 1e-4 * energy);
}

// What the tables say that a frame takes.
double BitsPerToken(const KltProfileParts& parts) {
  double bits = 0;
  for (const KltGroupParts& group : parts.groups) {
    for (const uint8_t level : group.levels) {
      const int index = level - 10 - static_cast<int>(parts.lo0);
      if (index < 0) continue;
      const auto& table = parts.magnitudes[std::min<size_t>(
          static_cast<size_t>(index), parts.magnitudes.size() - 1)];
      for (const uint16_t f : table) {
        const double p = f / 4096.0;
        if (f > 0) bits -= 32 * p * std::log2(p);
      }
    }
  }
  return bits;
}

TEST_F(KltTrainerTest, StructureTakesFewerBitsThanNoise) {
  Start(PlainTiny());
  AddTokens(1152, 1);
  const double structured = BitsPerToken(*DecodeKltProfile(Fit()));
  Start(PlainTiny());
  AddTokens(1152, 1, /*noise=*/3.0);
  const double noisy = BitsPerToken(*DecodeKltProfile(Fit()));
  EXPECT_GT(structured, 0);
  EXPECT_LT(2 * structured, noisy);
}

TEST_F(KltTrainerTest, SameTokensGiveTheSameBytes) {
  Start(TinyModel());
  EXPECT_EQ(trainer_->min_tokens(), 1024u);
  Start(PlainTiny());
  AddTokens(1152, 3, 0.5);
  const Bytes first = Fit();
  Start(PlainTiny());
  AddTokens(1152, 3, 0.5);
  EXPECT_EQ(first, Fit());
  Start(PlainTiny());
  AddTokens(1152, 4, 0.5);
  EXPECT_NE(first, Fit());
}

// Like no other tokens, and broken ones: both are passed over.
TEST_F(KltTrainerTest, PassesOverTokensThatAreNoExamples) {
  Start(PlainTiny());
  const LayerGroup all = LayerGroupsOf(spec_)[0];
  const auto slices = *SlicePlanes(spec_, all, HeadRange::All());
  std::vector<float> values(32 * kSegmentTokens, 1.0f);
  values[5 * 32] = INFINITY;
  values[6 * 32] = NAN;
  values[7 * 32] = 1e30f;
  const std::vector<ConstPlaneRows> rows(
      slices.size(),
      {reinterpret_cast<const uint8_t*>(values.data()), 32 * sizeof(float)});
  ASSERT_TRUE(trainer_->Add(0, kSegmentTokens, slices, rows).ok());
  const auto fitted = trainer_->Fit(nullptr);
  // The first four and three that are broken.
  EXPECT_NE(fitted.status().message().find("has 57 tokens"), std::string::npos)
      << fitted.status().ToString();
}

TEST_F(KltTrainerTest, SaysHowMuchIsMissing) {
  Start(PlainTiny());
  AddTokens(640, 1);
  const auto fitted = trainer_->Fit(nullptr);
  EXPECT_EQ(fitted.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(fitted.status().message().find(
                "has 636 tokens (the first 4 of a session do not count), 1024 "
                "are needed: 388 are missing, and 4096 are good"),
            std::string::npos)
      << fitted.status().ToString();
}

TEST_F(KltTrainerTest, KeepsToItsMemory) {
  const auto made = KltTrainer::Make(SmolModel(), {}, 64u << 20);
  EXPECT_EQ(made.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(made.status().message().find(
                " bytes, 67108864 are allowed: a smaller layers= takes less"),
            std::string::npos)
      << made.status().ToString();
  EXPECT_TRUE(KltTrainer::Make(SmolModel(), {}, 2048ull << 20).ok());
}

TEST_F(KltTrainerTest, StopsWhenToldTo) {
  Start(PlainTiny());
  AddTokens(1152, 1);
  double last = 0;
  const auto fitted = trainer_->Fit([&](double done) {
    last = done;
    return false;
  });
  EXPECT_EQ(fitted.status().code(), StatusCode::kUnavailable);
  EXPECT_GT(last, 0);
}

TEST(KltLevelTest, IsThreeTimesTheLogarithm) {
  for (double sigma = 1e-4; sigma < 1e4; sigma *= 1.01) {
    const double exact = kKltLevelOfStep + 3 * std::log2(sigma / 0.37);
    EXPECT_NEAR(KltLevelOf(sigma * sigma, 0.37), exact, 0.5 + 1e-9);
  }
  EXPECT_EQ(KltLevelOf(0, 1), 0);
  EXPECT_EQ(KltLevelOf(1e300, 1e-12), 255);
}

TEST(KltProductsTest, VectorsEqualTheScalarLoop) {
  Random random(5);
  std::vector<float> a(70 * 40), b(70 * 80);
  for (float& x : a) x = static_cast<float>(random.Normal());
  for (float& x : b) x = static_cast<float>(random.Normal());
  std::vector<float> fast(8 * 64), slow(8 * 64);
  KltProductsJob job{.a = a.data(),
                     .a_stride = 40,
                     .b = b.data(),
                     .b_stride = 80,
                     .c = fast.data(),
                     .c_stride = 64,
                     .depth = 70,
                     .rows = 8,
                     .columns = 64};
  KltProducts(job);
  job.c = slow.data();
  KltProductsScalar(job);
  EXPECT_EQ(fast, slow);
}

TEST(KltEigenTest, FindsFallingValuesAndTheirVectors) {
  constexpr uint32_t n = 40;
  Random random(6);
  std::vector<double> given(n * n);
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t j = i; j < n; ++j) {
      given[i * n + j] = given[j * n + i] = random.Normal();
    }
  }
  std::vector<double> vectors = given, values;
  ASSERT_TRUE(KltEigen(n, &vectors, &values));
  for (uint32_t k = 0; k < n; ++k) {
    EXPECT_LE(values[k], values[k > 0 ? k - 1 : 0]);
    for (uint32_t i = 0; i < n; ++i) {
      double product = 0;
      for (uint32_t j = 0; j < n; ++j) {
        product += given[i * n + j] * vectors[k * n + j];
      }
      EXPECT_NEAR(product, values[k] * vectors[k * n + i], 1e-10);
    }
  }
  // The last bits too are the same on every machine of a kind.
#if defined(__x86_64__)
  const Sha256Digest digest =
      Sha256({reinterpret_cast<const uint8_t*>(vectors.data()),
              vectors.size() * sizeof(double)});
  EXPECT_EQ(digest.ShortHex(), "dae2dea433ea");
#endif
}

}  // namespace
}  // namespace reprise
