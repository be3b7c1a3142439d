#include "codec/exact_profile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "codec/exact_cluster.h"
#include "codec/exact_codec.h"
#include "codec/exact_profile_format.h"
#include "codec/exact_rope.h"
#include "tests/support/codec_frames.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

ModelSpec RotatedModel(DType dtype, RopePairing pairing) {
  ModelSpec spec = PlainModel("rotated", 2, 2, 32, dtype);
  spec.rope = {.pairing = pairing, .rotary_dims = 32, .theta = 10000};
  return spec;
}

// Keys that have a mean before they are rotated, as real ones have.
void Rotate(const ModelSpec& spec, uint32_t first_token, uint32_t tokens,
            const std::vector<PlaneSlice>& slices, KvRows* rows) {
  Random random(first_token + 1);
  const bool halves = spec.rope.pairing == RopePairing::kHalves;
  for (size_t s = 0; s < slices.size(); s += 2) {
    for (uint32_t t = 0; t < tokens; ++t) {
      for (uint32_t c = 0; c < slices[s].channels(); c += 32) {
        for (uint32_t j = 0; j < 16; ++j) {
          const double angle =
              (first_token + t) * std::pow(10000.0, -(j / 16.0));
          const double x = 4 + random.Normal();
          const double y = -1 + random.Normal();
          uint8_t* row = rows->Row(s, t);
          const uint32_t a = c + (halves ? j : 2 * j);
          const uint32_t b = c + (halves ? j + 16 : 2 * j + 1);
          StoreElement(spec.layers[0].planes[0].dtype,
                       x * std::cos(angle) - y * std::sin(angle), row + 2 * a);
          StoreElement(spec.layers[0].planes[0].dtype,
                       x * std::sin(angle) + y * std::cos(angle), row + 2 * b);
        }
      }
    }
  }
}

KvRows RowsOf(const ModelSpec& spec, uint32_t first_token, uint32_t tokens,
              const std::vector<PlaneSlice>& slices) {
  KvRows rows(slices, tokens);
  rows.Fill(KvKind::kTypical, 11, first_token);
  if (spec.rope.pairing != RopePairing::kNone) {
    Rotate(spec, first_token, tokens, slices, &rows);
  }
  return rows;
}

Bytes FitOn(const ModelSpec& spec, uint32_t segments) {
  const auto slices = *SlicePlanes(
      spec, {0, static_cast<uint32_t>(spec.layers.size())}, HeadRange::All());
  ExactProfileFitter fitter(spec);
  for (uint32_t s = 0; s < segments; ++s) {
    const KvRows rows = RowsOf(spec, s * 64, 64, slices);
    fitter.Add(s * 64, 64, slices, rows.Const());
  }
  Result<Bytes> profile = fitter.Fit();
  EXPECT_TRUE(profile.ok()) << profile.status().ToString();
  return profile.ok() ? *std::move(profile) : Bytes();
}

void Reseal(Bytes* profile) {
  StoreLe<uint64_t>(
      profile->data() + 40,
      Checksum(ByteView(*profile).first(40), ByteView(*profile).subspan(48)));
}

TEST(ExactProfileTest, TheSameRowsGiveTheSameBytes) {
  const ModelSpec spec = RotatedModel(DType::kF16, RopePairing::kAdjacent);
  EXPECT_EQ(FitOn(spec, 2), FitOn(spec, 2));
}

TEST(ExactProfileTest, ParseGivesBackWhatWasEncoded) {
  const Bytes bytes =
      FitOn(RotatedModel(DType::kBf16, RopePairing::kHalves), 4);
  const auto profile = ExactProfile::Parse(bytes);
  ASSERT_TRUE(profile.ok()) << profile.status().ToString();
  EXPECT_EQ(EncodeExactProfile((*profile)->parts()), bytes);
  EXPECT_EQ((*profile)->id().bytes, Sha256(bytes).bytes);
  const ExactPlane* key = (*profile)->FindPlane(1, 0);
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(key->angles, kExactAngles);
  EXPECT_EQ((*profile)->FindPlane(2, 0), nullptr);
}

TEST(ExactProfileTest, RoundTripsAtPositionsThatItNeverSaw) {
  const ExactCodec codec;
  for (const DType dtype : {DType::kF16, DType::kBf16}) {
    for (const RopePairing pairing :
         {RopePairing::kAdjacent, RopePairing::kHalves}) {
      const ModelSpec spec = RotatedModel(dtype, pairing);
      const auto profile = *codec.ParseProfile(FitOn(spec, 4));
      const auto slices = *SlicePlanes(spec, {0, 2}, HeadRange::All());
      for (const uint32_t first : {0u, 640u, 1u << 20, (4u << 20) - 64}) {
        const FramePlace place{.layers = {0, 2}, .first_token = first};
        const KvRows rows = RowsOf(spec, first, 64, slices);
        const Result<Bytes> frame = EncodeFrame(
            codec, profile.get(), InfoOf(spec, place), slices, rows);
        ASSERT_TRUE(frame.ok());
        KvRows out(slices, 64);
        ASSERT_EQ(DecodeFrame(profile.get(), spec, *frame, 64, &out).ToString(),
                  "OK");
        EXPECT_EQ(out.Packed(), rows.Packed());
        const Bytes without =
            *EncodeFrame(codec, nullptr, InfoOf(spec, place), slices, rows);
        EXPECT_LT(frame->size(), without.size());
      }
    }
  }
}

TEST(ExactProfileTest, RefusesAModelOfAnotherShape) {
  const ExactCodec codec;
  const auto profile = *codec.ParseProfile(FitOn(TinyModel(), 1));
  const ModelSpec other = PlainModel("other", 2, 2, 32, DType::kF16);
  const auto slices = *SlicePlanes(other, {0, 2}, HeadRange::All());
  KvRows rows(slices, 64);
  rows.Fill(KvKind::kTypical, 1, 0);
  const Result<Bytes> frame = EncodeFrame(
      codec, profile.get(), InfoOf(other, {.layers = {0, 2}}), slices, rows);
  EXPECT_EQ(frame.status().ToString(),
            "FailedPrecondition: exact profile: layer 0 plane 0 is f16 2 x 16, "
            "the model's is f16 2 x 32");
}

TEST(ExactProfileTest, TooFewTokensAreAnErrorWithBothNumbers) {
  const ModelSpec spec = TinyModel();
  const auto slices = *SlicePlanes(spec, {0, 2}, HeadRange::All());
  ExactProfileFitter fitter(spec);
  const KvRows rows = RowsOf(spec, 0, 63, slices);
  fitter.Add(0, 63, slices, rows.Const());
  EXPECT_EQ(fitter.Fit().status().ToString(),
            "ResourceExhausted: exact profile: 63 tokens of each plane, at "
            "least 64 are wanted");
  fitter.Add(63, 1, slices, rows.Const());
  EXPECT_TRUE(fitter.Fit().ok());
}

TEST(ExactProfileTest, AnyFlippedOrMissingByteIsRefused) {
  Bytes bytes = FitOn(TinyModel(), 1);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 0x10;
    EXPECT_EQ(ExactProfile::Parse(bytes).status().code(), StatusCode::kDataLoss)
        << i;
    bytes[i] ^= 0x10;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(ExactProfile::Parse(ByteView(bytes).first(size)).status().code(),
              StatusCode::kDataLoss);
  }
}

TEST(ExactProfileTest, WrongContentsUnderARightChecksumAreRefused) {
  const ModelSpec spec = RotatedModel(DType::kF16, RopePairing::kAdjacent);
  const Bytes good = FitOn(spec, 1);
  ASSERT_TRUE(ExactProfile::Parse(good).ok());
  const size_t sets = 48 + 16 * 4;
  const auto refused = [&](size_t at, uint8_t value) {
    Bytes bad = good;
    bad[at] = value;
    Reseal(&bad);
    return ExactProfile::Parse(bad).status().code() == StatusCode::kDataLoss;
  };
  EXPECT_TRUE(refused(0, 0));                   // magic
  EXPECT_TRUE(refused(10, 3));                  // pairing
  EXPECT_TRUE(refused(10, 0));                  // none, but rotary dims
  EXPECT_TRUE(refused(12, 31));                 // odd
  EXPECT_TRUE(refused(16, 0));                  // sets
  EXPECT_TRUE(refused(20, 0));                  // planes
  EXPECT_TRUE(refused(20, 5));                  // one more than there are
  EXPECT_TRUE(refused(24, 1));                  // size
  EXPECT_TRUE(refused(32, 1));                  // reserved
  EXPECT_TRUE(refused(sets, 9));                // tables
  EXPECT_TRUE(refused(sets + 1, 1));            // reserved
  EXPECT_TRUE(refused(sets + 3, 5));            // a frequency over 1023
  EXPECT_TRUE(refused(good.size() - 1, 0xff));  // offset of a channel
}

TEST(ExactProfileTest, AnyBytesParseOrAreRefused) {
  const Bytes good = FitOn(TinyModel(), 1);
  Random random(1);
  for (int i = 0; i < 3000; ++i) {
    Bytes bad = good;
    for (uint64_t n = 1 + random.Below(4); n > 0; --n) {
      bad[random.Below(bad.size())] = static_cast<uint8_t>(random.U64());
    }
    Reseal(&bad);
    const auto profile = ExactProfile::Parse(bad);
    if (profile.ok()) {
      EXPECT_EQ(EncodeExactProfile((*profile)->parts()), bad);
    }
  }
}

TEST(ExactRopeTest, StepsAreThoseOfTheFormula) {
  const RopeSpec rope{
      .pairing = RopePairing::kHalves, .rotary_dims = 64, .theta = 1e5};
  const std::vector<uint32_t> steps = ExactAngleSteps(rope);
  ASSERT_EQ(steps.size(), 32u);
  for (uint32_t j = 0; j < 32; ++j) {
    const double turns = std::pow(1e5, -2.0 * j / 64) / (2 * M_PI);
    EXPECT_NEAR(steps[j], turns * 4294967296.0, 2) << j;
  }
}

TEST(ExactRopeTest, ScalingSlowsPairs) {
  RopeSpec rope{
      .pairing = RopePairing::kAdjacent, .rotary_dims = 8, .theta = 10000};
  const std::vector<uint32_t> plain = ExactAngleSteps(rope);
  rope.scaling = RopeScaling::kFactors;
  rope.factors = {1, 1, 2, 8};
  const std::vector<uint32_t> factors = ExactAngleSteps(rope);
  EXPECT_EQ(factors[1], plain[1]);
  EXPECT_NEAR(factors[3], plain[3] / 8.0, 1);
  rope.scaling = RopeScaling::kYarn;
  rope.scale = 0.25;
  rope.original_context = 4096;
  rope.factors = {1, 1, 32, 1};
  const std::vector<uint32_t> yarn = ExactAngleSteps(rope);
  EXPECT_EQ(yarn[0], plain[0]);
  EXPECT_NEAR(yarn[3], plain[3] / 4.0, 1);
}

TEST(ExactRopeTest, TurnsAreCosineAndSine) {
  for (uint32_t i = 0; i < 64; ++i) {
    const ExactTurn turn = ExactTurnOf(i << 26);
    EXPECT_NEAR(turn.cosine, std::cos(i / 64.0 * 2 * M_PI), 1e-3);
    EXPECT_NEAR(turn.sine, std::sin(i / 64.0 * 2 * M_PI), 1e-3);
  }
}

TEST(ExactRopeTest, FiniteHalvesComeBack) {
  for (uint32_t bits = 0; bits < 1u << 16; ++bits) {
    if ((bits & 0x7c00) == 0x7c00) continue;
    EXPECT_EQ(ExactFromFloat(DType::kF16, ExactToFloat(DType::kF16, bits)),
              bits);
  }
}

TEST(ExactClusterTest, FindsShapesAndOffsets) {
  Random random(4);
  std::vector<ExactHistogram> histograms;
  ExactHistogramBuilder builder(1024);
  for (int i = 0; i < 200; ++i) {
    const double spread = i % 2 ? 2 : 7;
    const double centre = 100 + static_cast<double>(random.Below(500));
    for (int n = 0; n < 500; ++n) {
      builder.Add(static_cast<uint32_t>(centre + spread * random.Normal()));
    }
    histograms.push_back(builder.Take());
  }
  const ExactClusters clusters(histograms, 2, {.key_mask = 1023, .unit = 1});
  const uint32_t wide = clusters.Assign(histograms[0]).table;
  for (size_t i = 0; i < histograms.size(); ++i) {
    const ExactAssignment a = clusters.Assign(histograms[i]);
    EXPECT_EQ(a.table == wide, i % 2 == 0) << i;
    // log2(spread x sqrt(2 pi e)) bits, and little more.
    EXPECT_LT(a.cost / 65536.0 / 500, (i % 2 ? 3.05 : 4.86) + 0.3);
  }
}

}  // namespace
}  // namespace reprise
