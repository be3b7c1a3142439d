#include "codec/exact_codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codec/exact_own_tables.h"
#include "codec/frame.h"
#include "tests/support/codec_frames.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

// Encodes rows of `spec`'s first layer group, decodes them and compares.
// Returns the frame.
Bytes RoundTrip(const ModelSpec& spec, const FramePlace& place,
                const KvRows& rows, const std::vector<PlaneSlice>& slices) {
  const ExactCodec codec;
  const Result<Bytes> frame =
      EncodeFrame(codec, nullptr, InfoOf(spec, place), slices, rows);
  EXPECT_TRUE(frame.ok()) << frame.status().ToString();
  if (!frame.ok()) return {};
  KvRows out(slices, place.token_count, 3);
  const Status status =
      DecodeFrame(nullptr, spec, *frame, place.token_count, &out);
  EXPECT_EQ(status.ToString(), "OK");
  EXPECT_EQ(out.Packed(), rows.Packed());
  EXPECT_TRUE(out.GuardsAreWhole(place.token_count));
  return *frame;
}

TEST(ExactCodecTest, GivesBackEveryBitOfEachModelAndKind) {
  for (const NamedModel& model : AllTestModels()) {
    const LayerGroup group = LayerGroupsOf(model.spec)[0];
    const auto slices = *SlicePlanes(model.spec, group, HeadRange::All());
    for (const KvKind kind : kAllKvKinds) {
      for (const uint16_t tokens : {64, 63, 17, 1}) {
        SCOPED_TRACE(model.name + " " + std::string(KvKindName(kind)) + " " +
                     std::to_string(tokens));
        KvRows rows(slices, tokens, 5);
        rows.Fill(kind, 7, 128);
        RoundTrip(model.spec,
                  {.layers = group, .first_token = 128, .token_count = tokens},
                  rows, slices);
      }
    }
  }
}

// A model whose one plane has each value of its type once in 64 tokens, or
// all 256 of them four times.
void ExpectEachValueComesBack(DType dtype) {
  const bool wide = DTypeBytes(dtype) == 2;
  ModelSpec spec = PlainModel("each", 1, 1, wide ? 1024 : 16, dtype);
  const auto slices = *SlicePlanes(spec, {0, 1}, HeadRange::All());
  KvRows rows(slices, 64);
  for (uint32_t t = 0; t < 64; ++t) {
    for (size_t s = 0; s < slices.size(); ++s) {
      for (uint32_t c = 0; c < slices[s].channels(); ++c) {
        const uint32_t value = t * slices[s].channels() + c;
        std::memcpy(rows.Row(s, t) + c * DTypeBytes(dtype), &value,
                    DTypeBytes(dtype));
      }
    }
  }
  RoundTrip(spec, {.layers = {0, 1}}, rows, slices);
}

TEST(ExactCodecTest, GivesBackEachValueOfSmallTypes) {
  for (const DType dtype : {DType::kF16, DType::kBf16, DType::kF8E4M3,
                            DType::kF8E5M2, DType::kOpaque}) {
    SCOPED_TRACE(DTypeName(dtype));
    ExpectEachValueComesBack(dtype);
  }
}

TEST(ExactCodecTest, GivesBackRandomFloats) {
  const ModelSpec spec = PlainModel("floats", 1, 2, 100, DType::kF32);
  const auto slices = *SlicePlanes(spec, {0, 1}, HeadRange::All());
  Random random(9);
  for (int i = 0; i < 4; ++i) {
    KvRows rows(slices, 64);
    for (uint32_t t = 0; t < 64; ++t) {
      for (size_t s = 0; s < slices.size(); ++s) {
        random.Fill({rows.Row(s, t), slices[s].token_bytes()});
      }
    }
    RoundTrip(spec, {.layers = {0, 1}}, rows, slices);
  }
}

TEST(ExactCodecTest, ShortensTypicalValuesOfEachType) {
  for (const DType dtype :
       {DType::kF32, DType::kBf16, DType::kF16, DType::kF8E4M3}) {
    SCOPED_TRACE(DTypeName(dtype));
    const ModelSpec spec = PlainModel("typical", 1, 8, 64, dtype);
    const auto slices = *SlicePlanes(spec, {0, 1}, HeadRange::All());
    KvRows rows(slices, 64);
    rows.Fill(KvKind::kTypical, 3, 0);
    const Bytes frame = RoundTrip(spec, {.layers = {0, 1}}, rows, slices);
    EXPECT_LT(frame.size(), rows.Packed().size() * 95 / 100);
  }
}

TEST(ExactCodecTest, StoresRawWhatDoesNotShrinkAndConstantsAsOneValue) {
  const ModelSpec spec = PlainModel("modes", 1, 4, 128, DType::kF16);
  const auto slices = *SlicePlanes(spec, {0, 1}, HeadRange::All());
  KvRows rows(slices, 64);
  rows.Fill(KvKind::kAnyBits, 3, 0);
  Bytes frame = RoundTrip(spec, {.layers = {0, 1}}, rows, slices);
  EXPECT_LE(frame.size(), rows.Packed().size() + 192 + 5 * 32 + 2 * 136 + 64);
  FrameView view;
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  ASSERT_EQ(view.sections.size(), 5u);
  EXPECT_EQ(view.sections[0].mode, 3);
  for (size_t i = 1; i < 5; ++i) EXPECT_EQ(view.sections[i].mode, 0);

  rows.Fill(KvKind::kZero, 3, 0);
  frame = RoundTrip(spec, {.layers = {0, 1}}, rows, slices);
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  for (size_t i = 1; i < 5; ++i) {
    EXPECT_EQ(view.sections[i].mode, 1);
    EXPECT_EQ(view.sections[i].bytes, 2u);
  }
}

TEST(ExactCodecTest, DecodesFirstTokensAndSkipsNullPlanes) {
  const ModelSpec spec = SmolModel();
  const auto slices = *SlicePlanes(spec, {0, 6}, HeadRange::All());
  KvRows rows(slices, 64);
  rows.Fill(KvKind::kTypical, 3, 64);
  const FramePlace place{.layers = {0, 6}, .first_token = 64};
  const ExactCodec codec;
  const Bytes frame =
      *EncodeFrame(codec, nullptr, InfoOf(spec, place), slices, rows);
  FrameView view;
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  CodecScratch scratch;
  for (const uint32_t tokens : {0u, 1u, 33u, 64u}) {
    KvRows out(slices, 64, 2);
    std::vector<PlaneRows> targets = out.Mutable();
    for (size_t i = 0; i < targets.size(); i += 2) targets[i].data = nullptr;
    ASSERT_TRUE(
        codec
            .Decode(view,
                    {.slices = slices, .rows = targets, .token_count = tokens},
                    &scratch)
            .ok());
    EXPECT_TRUE(out.GuardsAreWhole(tokens) || tokens > 0);
    for (size_t i = 1; i < slices.size(); i += 2) {
      for (uint32_t t = 0; t < tokens; ++t) {
        ASSERT_TRUE(BytesEqual(out.RowView(i, t), rows.RowView(i, t)));
      }
    }
  }
}

TEST(ExactCodecTest, RangesOfHeadsRoundTrip) {
  const ModelSpec spec = GqaModel();
  for (const uint16_t first : {0, 3, 7}) {
    const HeadRange heads{first, 1, 8};
    const auto slices = *SlicePlanes(spec, {1, 1}, heads);
    KvRows rows(slices, 64);
    rows.Fill(KvKind::kTypical, 3, 0);
    RoundTrip(spec, {.layers = {1, 1}, .heads = heads}, rows, slices);
  }
}

TEST(ExactCodecTest, DamageUnderRightChecksumsNeverCrashes) {
  const ModelSpec spec = TinyModel();
  const auto slices = *SlicePlanes(spec, {0, 2}, HeadRange::All());
  KvRows rows(slices, 64);
  rows.Fill(KvKind::kTypical, 3, 0);
  const ExactCodec codec;
  const Bytes frame = *EncodeFrame(
      codec, nullptr, InfoOf(spec, {.layers = {0, 2}}), slices, rows);
  Random random(5);
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    Bytes bad = frame;
    const int flips = 1 + static_cast<int>(random.Below(3));
    for (int f = 0; f < flips; ++f) {
      bad[random.Below(bad.size())] ^= 1 << random.Below(8);
    }
    ResealFrame(bad);
    KvRows out(slices, 64, 1);
    refused += !DecodeFrame(nullptr, spec, bad, 64, &out).ok();
    ASSERT_TRUE(out.GuardsAreWhole(64));
  }
  EXPECT_GT(refused, 400);
}

TEST(ExactCodecTest, RefusesAProfileThatIsMissing) {
  const ModelSpec spec = TinyModel();
  const auto slices = *SlicePlanes(spec, {0, 2}, HeadRange::All());
  KvRows rows(slices, 64);
  rows.Fill(KvKind::kTypical, 3, 0);
  FrameView view;
  const ExactCodec codec;
  const Bytes frame = *EncodeFrame(
      codec, nullptr, InfoOf(spec, {.layers = {0, 2}}), slices, rows);
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  view.info.profile.bytes[0] = 1;
  CodecScratch scratch;
  const Status status = codec.Decode(
      view, {.slices = slices, .rows = rows.Mutable(), .token_count = 64},
      &scratch);
  EXPECT_EQ(status.ToString(),
            "FailedPrecondition: exact: the frame was made with profile "
            "010000000000, given is none");
}

TEST(ExactOwnTablesTest, RefusesWhatBreaksARule) {
  ExactOwnTables tables;
  tables.count = 1;
  tables.kinds[0] = {{2, 6, 5}, 1};
  tables.frequencies[0] = {};
  tables.frequencies[0][0] = 1000;
  tables.frequencies[0][kExactEscape] = 24;
  Bytes good(kExactOwnTableBytes);
  StoreExactOwnTables(tables, good.data());
  ExactOwnTables out;
  EXPECT_EQ(LoadExactOwnTables(good, &out).ToString(), "OK");
  const auto refused = [&](size_t at, uint8_t value) {
    Bytes bad = good;
    bad[at] = value;
    return LoadExactOwnTables(bad, &out).code();
  };
  EXPECT_EQ(refused(0, 3), StatusCode::kDataLoss);   // element size
  EXPECT_EQ(refused(1, 2), StatusCode::kDataLoss);   // 14 bits of key
  EXPECT_EQ(refused(1, 16), StatusCode::kDataLoss);  // none
  EXPECT_EQ(refused(2, 16), StatusCode::kDataLoss);  // sign
  EXPECT_EQ(refused(3, 5), StatusCode::kDataLoss);   // unit
  EXPECT_EQ(refused(7, 1), StatusCode::kDataLoss);   // reserved
  EXPECT_EQ(refused(8, 1), StatusCode::kDataLoss);   // sum
  EXPECT_EQ(LoadExactOwnTables({}, &out).code(), StatusCode::kDataLoss);
  EXPECT_EQ(LoadExactOwnTables(ByteView(good).first(135), &out).code(),
            StatusCode::kDataLoss);
}

}  // namespace
}  // namespace reprise
