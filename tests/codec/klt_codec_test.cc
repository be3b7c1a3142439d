// The codec `klt` against a decoder that was written from its page, at the
// edges of its limits, and with profiles that don't fit.
#include "codec/klt_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "tests/support/codec_frames.h"
#include "tests/support/klt_cases.h"
#include "tests/support/klt_limits.h"
#include "tests/support/klt_reference.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

const Codec& Klt() { return *FindCodec(CodecId::kKlt); }

// A model, a profile for it, and a place for frames of its first layer group.
struct Setting {
  Setting(const ModelSpec& of, const KltProfileParts& parts, FramePlace where)
      : spec(of), place(where) {
    place.layers = LayerGroupsOf(spec)[0];
    slices = *SlicePlanes(spec, place.layers, place.heads);
    Result<std::shared_ptr<const CodecProfile>> parsed =
        Klt().ParseProfile(EncodeKltProfile(parts));
    EXPECT_TRUE(parsed.ok()) << parsed.status().ToString();
    profile = *parsed;
  }

  Result<std::vector<Bytes>> Encode(const KvRows& rows,
                                    std::string_view options) const {
    REPRISE_ASSIGN_OR_RETURN(const auto parsed, Klt().ParseOptions(options));
    return EncodeFrames(Klt(), profile.get(), InfoOf(spec, place), slices, rows,
                        parsed.get());
  }
  Status Decode(std::span<const Bytes> frames, KvRows* rows) const {
    return DecodeFrames(profile.get(), spec, frames, place.token_count, rows);
  }
  KvRows Rows(KvKind kind) const {
    KvRows rows(slices, place.token_count);
    rows.Fill(kind, 7, place.first_token);
    return rows;
  }

  ModelSpec spec;
  FramePlace place;
  std::vector<PlaneSlice> slices;
  std::shared_ptr<const CodecProfile> profile;
};

void ExpectAgrees(const ModelSpec& spec, const KltMaking& making, KvKind kind,
                  std::string_view options, FramePlace place) {
  const KltProfileParts parts = MakeKltParts(spec, making);
  ASSERT_EQ(CheckKltProfile(parts).ToString(), "OK");
  const Setting setting(spec, parts, place);
  const auto frames = setting.Encode(setting.Rows(kind), options);
  ASSERT_TRUE(frames.ok()) << frames.status().ToString();
  for (size_t count = 1; count <= frames->size(); ++count) {
    const auto some = std::span(*frames).first(count);
    KvRows out(setting.slices, place.token_count);
    ASSERT_EQ(setting.Decode(some, &out).ToString(), "OK");
    const Result<KltDecoded> wanted = ReferenceKltDecode(parts, spec, some);
    ASSERT_TRUE(wanted.ok()) << wanted.status().ToString();
    ASSERT_TRUE(BytesEqual(out.Packed(), wanted->rows)) << count << " stages";
  }
}

TEST(KltCodecTest, DecodesAsThePageSays) {
  const FramePlace place{.first_token = 64, .token_count = 9};
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const uint32_t dim : {1u, 16u, 33u, 80u}) {
      for (const uint32_t lead_divisor : {0u, 1u, 3u}) {
        for (const auto pairing :
             {RopePairing::kAdjacent, RopePairing::kHalves}) {
          SCOPED_TRACE(std::to_string(dim) + ", lead 1 / " +
                       std::to_string(lead_divisor));
          const ModelSpec spec = PlainModel("klt", 4, 3, dim, dtype);
          const KltMaking making{.seed = dim,
                                 .layers = 1 + dim % 3,
                                 .lead_divisor = lead_divisor,
                                 .raw_first = 0,
                                 .pairing = pairing};
          ExpectAgrees(spec, making, KvKind::kTypical, "stages=4", place);
          ExpectAgrees(spec, making, KvKind::kSpecials, "shift=-20", place);
        }
      }
    }
  }
}

TEST(KltCodecTest, DecodesAsThePageSaysWhereHeadsTurnInPart) {
  ModelSpec spec = PlainModel("part", 3, 2, 48, DType::kF32);
  spec.rope.rotary_dims = 20;
  for (const auto pairing : {RopePairing::kAdjacent, RopePairing::kHalves}) {
    ExpectAgrees(spec, {.layers = 2, .pairing = pairing}, KvKind::kTypical,
                 "tier=near", {.first_token = 1u << 20, .token_count = 64});
  }
}

TEST(KltCodecTest, DecodesAsThePageSaysOfMixedModels) {
  ExpectAgrees(MixedModel(), {.layers = 2}, KvKind::kTypical, "tier=near",
               {.token_count = 5});
  ExpectAgrees(LatentModel(), {}, KvKind::kTypical, "tier=coarse",
               {.token_count = 3});
  ExpectAgrees(OpaqueModel(), {}, KvKind::kAnyBits, "tier=near",
               {.token_count = 64});
}

// The root of the mean square of what values lose, and how many tokens come
// back as they were.
struct Loss {
  double error = 0;
  uint64_t same = 0;
};
Loss LossOf(const Setting& setting, const KvRows& rows, const KvRows& out) {
  Loss loss;
  uint64_t count = 0;
  for (size_t i = 0; i < setting.slices.size(); ++i) {
    for (uint32_t t = 0; t < setting.place.token_count; ++t) {
      const ByteView before = rows.RowView(i, t);
      const ByteView after = out.RowView(i, t);
      loss.same += BytesEqual(before, after);
      for (uint64_t at = 0; at < before.size(); at += 4, ++count) {
        const double d = LoadLe<float>(before.data() + at) -
                         LoadLe<float>(after.data() + at);
        loss.error += d * d;
      }
    }
  }
  loss.error = std::sqrt(loss.error / static_cast<double>(count));
  return loss;
}

// With steps far below the values, what comes back is what was put in, up to
// what the limbs of the matrix and f32 leave.
TEST(KltCodecTest, FineStepsGiveTheValuesBack) {
  const ModelSpec spec = PlainModel("fine", 2, 2, 32, DType::kF32);
  const KltProfileParts parts =
      MakeKltParts(spec, {.layers = 2, .lead_divisor = 1, .raw_first = 0});
  const Setting setting(spec, parts, {.first_token = 640});
  const KvRows rows = setting.Rows(KvKind::kTypical);
  const auto frames = setting.Encode(rows, "stages=4,shift=3");
  ASSERT_TRUE(frames.ok()) << frames.status().ToString();
  double last = 1e9;
  for (size_t count = 1; count <= 4; ++count) {
    KvRows out(setting.slices, 64);
    ASSERT_TRUE(setting.Decode(std::span(*frames).first(count), &out).ok());
    const auto [error, same] = LossOf(setting, rows, out);
    EXPECT_EQ(same, 0u);
    EXPECT_LT(error, last / 2.5) << count;
    last = error;
  }
  EXPECT_LT(last, 5e-3);
}

// Of a matrix of 8 bits, which is not orthonormal: an encoder that multiplies
// by its transpose is wrong by a share of the values, however fine the step.
TEST(KltCodecTest, ErrorsFallWithTheStepThoughTheMatrixWasRounded) {
  const ModelSpec spec = PlainModel("leak", 2, 2, 32, DType::kF32);
  KltProfileParts parts =
      MakeKltParts(spec, {.layers = 2, .lead_divisor = 0, .raw_first = 0});
  parts.lo0 = 0;
  parts.lo1 = 0;
  parts.magnitudes.resize(1);
  parts.refining.resize(1);
  const Setting setting(spec, parts, {.first_token = 640});
  const KvRows rows = setting.Rows(KvKind::kTypical);
  double last = 1;
  for (const int shift : {-9, -3, 3}) {
    const auto frames =
        setting.Encode(rows, "stages=4,shift=" + std::to_string(shift));
    ASSERT_TRUE(frames.ok()) << frames.status().ToString();
    KvRows out(setting.slices, 64);
    ASSERT_TRUE(setting.Decode(*frames, &out).ok());
    const auto [error, same] = LossOf(setting, rows, out);
    EXPECT_EQ(same, 0u);
    // Steps are a quarter each time.
    EXPECT_LT(error, last / 3.5) << shift;
    last = error;
  }
}

TEST(KltCodecTest, EachStageIsTheRoundingOfTheNext) {
  const ModelSpec spec = PlainModel("prefix", 4, 3, 40, DType::kBf16);
  const KltProfileParts parts =
      MakeKltParts(spec, {.layers = 2, .raw_first = 2});
  const Setting setting(spec, parts, {.token_count = 50});
  const auto frames =
      setting.Encode(setting.Rows(KvKind::kTypical), "stages=4");
  ASSERT_TRUE(frames.ok());
  std::vector<KltDecoded> decoded;
  for (size_t count = 1; count <= 4; ++count) {
    auto one = ReferenceKltDecode(parts, spec, std::span(*frames).first(count));
    ASSERT_TRUE(one.ok()) << one.status().ToString();
    decoded.push_back(*std::move(one));
  }
  uint64_t nonzero = 0;
  for (size_t k = 0; k < 3; ++k) {
    for (size_t g = 0; g < decoded[k].q.size(); ++g) {
      for (size_t t = 0; t < 50; ++t) {
        const auto& coarse = decoded[k].q[g][t];
        const auto& fine = decoded[k + 1].q[g][t];
        ASSERT_EQ(coarse.size(), t < 2 ? 0 : parts.groups[g].n);
        for (size_t j = 0; j < coarse.size(); ++j) {
          ASSERT_EQ(coarse[j], std::lround(static_cast<double>(fine[j]) / 3));
          nonzero += coarse[j] != 0;
        }
      }
    }
  }
  EXPECT_GT(nonzero, 10000u);
}

// --- At the limits ---------------------------------------------------------

// Token 0 of these values, coded alone; `raw` is whether it was sent raw.
void ExpectComesBack(const std::vector<float>& values, bool raw) {
  const auto n = static_cast<uint32_t>(values.size());
  const Setting setting(KltPlainChannels(n), KltIdentityParts(n),
                        {.token_count = 1});
  KvRows rows(setting.slices, 1);
  std::memcpy(rows.Row(0, 0), values.data(), n * sizeof(float));
  const auto frames = setting.Encode(rows, "tier=near");
  ASSERT_TRUE(frames.ok()) << frames.status().ToString();
  FrameView view;
  ASSERT_TRUE(ParseFrame((*frames)[0], &view).ok());
  EXPECT_EQ(view.sections.size(), raw ? 2u : 1u);
  KvRows out(setting.slices, 1);
  ASSERT_EQ(setting.Decode(*frames, &out).ToString(), "OK");
  EXPECT_TRUE(BytesEqual(out.RowView(0, 0), rows.RowView(0, 0)));
}

TEST(KltCodecTest, SumsAtTheLimitDecodeAndThoseAboveAreSentRaw) {
  std::vector<float> values(40);
  for (const uint32_t i : {3u, 8u, 31u}) values[i] = 32767;
  values[33] = -32767;
  values[39] = 3;
  ExpectComesBack(values, false);
  values[39] = -3;
  ExpectComesBack(values, false);
  values[38] = 1;
  ExpectComesBack(values, true);
}

TEST(KltCodecTest, MagnitudesAtTheLimitDecodeAndThoseAboveAreSentRaw) {
  std::vector<float> values(5);
  values[2] = -32767;
  ExpectComesBack(values, false);
  values[2] = -32768;
  ExpectComesBack(values, true);
  values[2] = 3e38f;
  ExpectComesBack(values, true);
}

// A frame of one token.
Bytes FrameOf(const Setting& setting, const std::vector<int16_t>& q) {
  return KltFrameOf(setting.spec, *setting.profile, {&q, 1});
}

TEST(KltCodecTest, StreamsAboveALimitAreDamage) {
  const Setting setting(KltPlainChannels(40), KltIdentityParts(40),
                        {.token_count = 1});
  std::vector<int16_t> q(40);
  for (const uint32_t i : {0u, 1u, 2u, 39u}) q[i] = 32767;
  q[3] = -3;
  KvRows out(setting.slices, 1);
  const Bytes whole = FrameOf(setting, q);
  ASSERT_EQ(setting.Decode({{whole}}, &out).ToString(), "OK");
  EXPECT_EQ(LoadLe<float>(out.Row(0, 0)), 9 * 32767.0f);
  EXPECT_EQ(LoadLe<float>(out.Row(0, 0) + 12), -27.0f);
  q[3] = -4;
  const Bytes above = FrameOf(setting, q);
  const Status status = setting.Decode({{above}}, &out);
  EXPECT_TRUE(status.Is(StatusCode::kDataLoss)) << status.ToString();
  q.assign(40, 0);
  q[7] = -32768;  // a magnitude of 32768, and negative
  const Bytes large = FrameOf(setting, q);
  EXPECT_TRUE(setting.Decode({{large}}, &out).Is(StatusCode::kDataLoss));
}

// Sums of the largest limbs and the largest q, which i32 and f32 must hold.
TEST(KltCodecTest, TheLargestSumsAreExact) {
  const uint32_t n = 128;
  KltProfileParts parts = KltIdentityParts(n);
  KltGroupParts& group = parts.groups[0];
  group.lead = n;
  group.hi.assign(uint64_t{n} * n, 127);
  group.lo.assign(uint64_t{n} * n, -127);
  for (uint32_t i = 0; i < n; ++i) group.hi[uint64_t{i} * n + 5] = -127;
  const Setting setting(KltPlainChannels(n), parts, {.token_count = 1});
  std::vector<int16_t> q(n, 1024);  // sums to 131072
  q[77] = 1023;
  const Bytes frame = FrameOf(setting, q);
  KvRows out(setting.slices, 1);
  ASSERT_EQ(setting.Decode({{frame}}, &out).ToString(), "OK");
  const double high = 131071.0 * 127;
  for (const uint32_t c : {0u, 5u}) {
    const auto low = static_cast<float>(-high * 9 / 256);
    const double wanted = (c == 5 ? -high : high) * 9 + low;
    EXPECT_EQ(LoadLe<float>(out.Row(0, 0) + 4 * c), static_cast<float>(wanted));
  }
}

// --- What doesn't fit --------------------------------------------------------

void ExpectDoesNotFit(const ModelSpec& spec, const KltProfileParts& parts,
                      std::string_view field) {
  const Setting setting(spec, parts, {.token_count = 2});
  const auto frames = setting.Encode(setting.Rows(KvKind::kTypical), "");
  EXPECT_TRUE(frames.status().Is(StatusCode::kFailedPrecondition))
      << frames.status().ToString();
  EXPECT_NE(frames.status().message().find(field), std::string::npos)
      << frames.status().ToString();
}

TEST(KltCodecTest, NamesWhatDoesNotFit) {
  const ModelSpec spec = PlainModel("fits", 2, 2, 16, DType::kF16);
  const KltProfileParts parts = MakeKltParts(spec, {.layers = 2});
  ExpectDoesNotFit(PlainModel("fits", 2, 4, 16, DType::kF16), parts, "heads");
  ExpectDoesNotFit(PlainModel("fits", 2, 2, 18, DType::kF16), parts, "dim");
  ExpectDoesNotFit(PlainModel("fits", 2, 2, 16, DType::kF8E4M3), parts, "type");
  ExpectDoesNotFit(PlainModel("fits", 1, 2, 16, DType::kF16), parts, "layers");
  ModelSpec lacks = spec;
  lacks.layers[1].planes.pop_back();
  ExpectDoesNotFit(lacks, parts, "planes");
}

TEST(KltCodecTest, PlanesThatTheProfileLacksAreKeptAsTheyAre) {
  ModelSpec more = PlainModel("fits", 3, 2, 16, DType::kF16);
  const Setting setting(
      more, MakeKltParts(PlainModel("fits", 1, 2, 16, DType::kF16), {}),
      {.token_count = 11});
  const KvRows rows = setting.Rows(KvKind::kSpecials);
  const auto frames = setting.Encode(rows, "");
  ASSERT_TRUE(frames.ok());
  KvRows out(setting.slices, 11);
  ASSERT_TRUE(setting.Decode(*frames, &out).ok());
  for (size_t i = 2; i < setting.slices.size(); ++i) {
    for (uint32_t t = 0; t < 11; ++t) {
      EXPECT_TRUE(BytesEqual(out.RowView(i, t), rows.RowView(i, t)));
    }
  }
}

TEST(KltCodecTest, NeedsTheProfileThatTheFrameNames) {
  const ModelSpec spec = TinyModel();
  const Setting setting(spec, MakeKltParts(spec, {}), {});
  const Setting other(spec, MakeKltParts(spec, {.seed = 9}), {});
  const auto frames = setting.Encode(setting.Rows(KvKind::kTypical), "");
  ASSERT_TRUE(frames.ok());
  KvRows out(setting.slices, 64);
  EXPECT_TRUE(other.Decode(*frames, &out).Is(StatusCode::kFailedPrecondition));
  const Status none = DecodeFrames(nullptr, spec, *frames, 64, &out);
  EXPECT_TRUE(none.Is(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

TEST(KltCodecTest, OptionsChooseStagesAndTiers) {
  const auto stages = [](std::string_view text) {
    const auto options = Klt().ParseOptions(text);
    return options.ok() ? Klt().stage_count(options->get()) : 0;
  };
  EXPECT_EQ(Klt().stage_count(nullptr), 3u);
  EXPECT_EQ(stages(""), 3u);
  EXPECT_EQ(stages("tier=archive"), 1u);
  EXPECT_EQ(stages("tier=coarse,shift=-32"), 2u);
  EXPECT_EQ(stages("tier=near,shift=32"), 3u);
  EXPECT_EQ(stages("stages=4"), 4u);
  for (const std::string_view wrong :
       {"tier=exact", "stages=2", "stages=5", "tier=coarse,stages=3",
        "shift=33", "shift=-33", "shift=1.5", "bits=4"}) {
    EXPECT_TRUE(
        Klt().ParseOptions(wrong).status().Is(StatusCode::kInvalidArgument))
        << wrong;
  }
  EXPECT_EQ(Klt().stage_tier(0, nullptr), Tier::kArchive);
  EXPECT_EQ(Klt().stage_tier(1, nullptr), Tier::kCoarse);
  EXPECT_EQ(Klt().stage_tier(2, nullptr), Tier::kNear);
  EXPECT_EQ(Klt().stage_tier(3, nullptr), Tier::kNear);
}

}  // namespace
}  // namespace reprise
