#include "codec/tsc_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "base/hash.h"
#include "base/limits.h"
#include "codec/message.h"
#include "codec/profile_trainer.h"
#include "codec/tsc_layout.h"
#include "tests/support/codec_frames.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/tsc_bounds.h"

namespace reprise {
namespace {

std::shared_ptr<const CodecOptions> Options(std::string_view text) {
  auto options = TscCodec().ParseOptions(text);
  EXPECT_TRUE(options.ok()) << options.status().ToString();
  return *options;
}

class TscCodecTest : public testing::Test {
 protected:
  TscCodecTest() { Use(PlainModel("tsc", 2, 3, 64, DType::kF16)); }

  void Use(const ModelSpec& spec) {
    spec_ = spec;
    group_ = LayerGroupsOf(spec_)[0];
    slices_ = *SlicePlanes(spec_, group_, HeadRange::All());
  }
  KvRows Typical(uint32_t first_token) const {
    KvRows rows(slices_, 64);
    rows.Fill(KvKind::kTypical, 11, first_token);
    return rows;
  }
  // Sets the value of all channels of one token of the first plane.
  void SetRow(double value, uint32_t token, KvRows* rows) const {
    const DType dtype = slices_[0].spec->dtype;
    for (uint32_t c = 0; c < slices_[0].channels(); ++c) {
      StoreElement(dtype, value, rows->Row(0, token) + c * DTypeBytes(dtype));
    }
  }
  Bytes Encode(const KvRows& rows, std::string_view options = "",
               TokenMask kept = kAllTokens,
               const CodecProfile* profile = nullptr) const {
    Result<Bytes> frame =
        EncodeFrame(codec_, profile, InfoOf(spec_, {.layers = group_}), slices_,
                    rows, Options(options).get(), kept);
    EXPECT_TRUE(frame.ok()) << frame.status().ToString();
    return frame.ok() ? *frame : Bytes();
  }
  KvRows Decode(const Bytes& frame) const {
    KvRows out(slices_, 64);
    EXPECT_EQ(DecodeFrame(nullptr, spec_, frame, 64, &out).ToString(), "OK");
    return out;
  }
  static TscStats StatsOf(const Bytes& frame) {
    FrameView view;
    EXPECT_TRUE(ParseFrame(frame, &view).ok());
    auto stats = TscFrameStats(view);
    EXPECT_TRUE(stats.ok()) << stats.status().ToString();
    return *stats;
  }
  // Of the first plane.
  static TscHeader HeaderOf(const Bytes& frame) {
    FrameView view;
    EXPECT_TRUE(ParseFrame(frame, &view).ok());
    TscHeader header;
    EXPECT_TRUE(
        LoadTscHeader(view.Section(view.sections[0]).data(), &header).ok());
    return header;
  }
  double LargestError(const KvRows& rows, const KvRows& out) const {
    double largest = 0;
    for (size_t i = 0; i < slices_.size(); ++i) {
      const DType dtype = slices_[i].spec->dtype;
      for (uint32_t t = 0; t < 64; ++t) {
        for (uint64_t at = 0; at < slices_[i].token_bytes();
             at += DTypeBytes(dtype)) {
          const double a = ElementValue(dtype, rows.RowView(i, t).data() + at);
          const double b = ElementValue(dtype, out.RowView(i, t).data() + at);
          largest = std::max(largest, std::fabs(a - b));
        }
      }
    }
    return largest;
  }
  Bytes Train(uint32_t segments) const {
    auto trainer = MakeProfileTrainer(CodecId::kTsc, spec_, {});
    EXPECT_TRUE(trainer.ok()) << trainer.status().ToString();
    for (uint32_t s = 0; s < segments; ++s) {
      const KvRows rows = Typical(s * kSegmentTokens);
      EXPECT_TRUE(
          (*trainer)
              ->Add(s * kSegmentTokens, kSegmentTokens, slices_, rows.Const())
              .ok());
    }
    Result<Bytes> profile = (*trainer)->Fit(nullptr);
    EXPECT_TRUE(profile.ok()) << profile.status().ToString();
    return profile.ok() ? *profile : Bytes();
  }

  TscCodec codec_;
  ModelSpec spec_;
  LayerGroup group_;
  std::vector<PlaneSlice> slices_;
};

TEST_F(TscCodecTest, OptionsSayTheTierAndAreChecked) {
  EXPECT_EQ(codec_.tier(nullptr), Tier::kCoarse);
  EXPECT_EQ(codec_.tier(Options("").get()), Tier::kCoarse);
  EXPECT_EQ(codec_.tier(Options("bits=8,kappa=8").get()), Tier::kNear);
  for (const char* text : {"bits=5", "kappa=3", "kappa=128", "page=head",
                           "max_delta_error=-1", "speed=9"}) {
    EXPECT_TRUE(
        codec_.ParseOptions(text).status().Is(StatusCode::kInvalidArgument))
        << text;
  }
}

// The research series' own bug: a bound that was never calibrated made a
// keyframe of every token, and the codec a copy. Calibrated on one part of a
// text, the bound lets nearly all tokens of another be deltas.
TEST_F(TscCodecTest, CalibrationCuresFallbacks) {
  const Bytes bytes = Train(16);
  auto profile = codec_.ParseProfile(bytes);
  ASSERT_TRUE(profile.ok());
  TscStats before;
  TscStats after;
  uint64_t raw = 0;
  uint64_t bytes_before = 0;
  uint64_t bytes_after = 0;
  for (uint32_t first = 4096; first < 4096 + 8 * 64; first += 64) {
    const KvRows rows = Typical(first);
    const Bytes uncalibrated = Encode(rows, "max_delta_error=0.001");
    const Bytes calibrated = Encode(rows, "", kAllTokens, profile->get());
    raw += RawBytesOf(slices_, 64);
    bytes_before += uncalibrated.size();
    bytes_after += calibrated.size();
    before += StatsOf(uncalibrated);
    after += StatsOf(calibrated);
  }
  EXPECT_GT(before.fallback_share(), 0.99);
  EXPECT_GE(bytes_before, raw);
  EXPECT_LT(after.fallback_share(), 0.01);
  EXPECT_LT(static_cast<double>(bytes_after), 0.3 * static_cast<double>(raw));
}

TEST_F(TscCodecTest, NoValueIsOffByMoreThanTheBound) {
  const KvRows rows = Typical(0);
  for (const char* page : {"token", "segment", "layer"}) {
    for (const double bound : {0.5, 0.3, 0.1}) {
      const Bytes frame =
          Encode(rows, "page=" + std::string(page) +
                           ",max_delta_error=" + std::to_string(bound));
      const TscStats stats = StatsOf(frame);
      EXPECT_EQ(stats.rows, 64 * slices_.size());
      EXPECT_EQ(stats.rows, stats.deltas + stats.keyframes + stats.fallbacks);
      // Half an f16 step of the values, which are below 16.
      EXPECT_LE(LargestError(rows, Decode(frame)), bound * 1.001 + 0x1p-8);
    }
  }
  EXPECT_EQ(StatsOf(Encode(rows)).fallbacks, 0u);
  EXPECT_EQ(StatsOf(Encode(rows, "max_delta_error=0")).deltas, 0u);
}

TEST_F(TscCodecTest, MoreBitsAndFinerPagesErrLess) {
  const KvRows rows = Typical(0);
  const auto error_of = [&](std::string_view options) {
    return LargestError(rows, Decode(Encode(rows, options)));
  };
  EXPECT_LT(error_of("bits=8") * 8, error_of(""));
  EXPECT_LE(error_of(""), error_of("page=layer"));
  EXPECT_LE(error_of(""), error_of("page=segment"));
  EXPECT_EQ(error_of("kappa=1"), 0);
}

TEST_F(TscCodecTest, AFallbackIsTheReferenceOfWhatFollows) {
  KvRows rows = Typical(0);
  for (uint32_t t = 0; t < 64; ++t) SetRow(t < 40 ? 1 : 9, t, &rows);
  const Bytes frame = Encode(rows, "max_delta_error=0.5");
  const TscHeader header = HeaderOf(frame);
  EXPECT_EQ(header.reference, TokenMask{1} | TokenMask{1} << 40);
  EXPECT_EQ(header.raw, header.reference);
  EXPECT_EQ(header.fallbacks(), 1u);
  FrameView view;
  ASSERT_TRUE(ParseFrame(frame, &view).ok());
  EXPECT_EQ(view.sections[0].words, 1u);
  EXPECT_TRUE(BytesEqual(Decode(frame).RowView(0, 63), rows.RowView(0, 63)));
}

TEST_F(TscCodecTest, TheNextKeptTokenStandsInForADroppedKeyframe) {
  const KvRows rows = Typical(0);
  const TokenMask dropped = TokenMask{0b111} | TokenMask{1} << 32;
  const TscHeader header = HeaderOf(Encode(rows, "kappa=32", ~dropped));
  EXPECT_EQ(header.reference, TokenMask{1} << 3 | TokenMask{1} << 33);
  EXPECT_EQ(header.kept, ~dropped);
  EXPECT_EQ(header.fallbacks(), 0u);
  const uint64_t all = Encode(rows).size();
  const uint64_t half = Encode(rows, "", 0x5555555555555555).size();
  EXPECT_LT(half, all * 6 / 10);
  EXPECT_EQ(HeaderOf(Encode(rows, "", 0)).raw, 0u);
}

TEST_F(TscCodecTest, RowsThatAreNotFiniteAreRawAndNoReference) {
  KvRows rows = Typical(0);
  StoreLe<uint16_t>(rows.Row(0, 0) + 100, 0x7e01);  // a NaN in the keyframe
  StoreLe<uint16_t>(rows.Row(0, 9), 0xfc00);        // an infinity in a delta
  const Bytes frame = Encode(rows);
  const TscHeader header = HeaderOf(frame);
  EXPECT_EQ(header.raw, TokenMask{0b11} | TokenMask{1} << 9);
  EXPECT_EQ(header.reference, TokenMask{2});
  EXPECT_EQ(header.fallbacks(), 0u);
  EXPECT_EQ(StatsOf(frame).raw, 2u);
  const KvRows out = Decode(frame);
  for (const uint32_t token : {0u, 1u, 9u}) {
    EXPECT_TRUE(BytesEqual(out.RowView(0, token), rows.RowView(0, token)));
  }
}

TEST_F(TscCodecTest, DeltasThatNoScaleHoldsFallBack) {
  KvRows rows = Typical(0);
  SetRow(65504, 5, &rows);
  SetRow(-65504, 6, &rows);
  const Bytes frame = Encode(rows);
  // Nothing leans on values so large, so token 7 falls back as well.
  EXPECT_EQ(HeaderOf(frame).reference, TokenMask{0b11100001});
  const KvRows out = Decode(frame);
  for (const uint32_t token : {5u, 6u, 7u}) {
    EXPECT_TRUE(BytesEqual(out.RowView(0, token), rows.RowView(0, token)));
  }
}

TEST_F(TscCodecTest, DenormalsComeBackAndZerosLoseTheirSign) {
  KvRows rows(slices_, 64);
  rows.Fill(KvKind::kZero, 1, 0);
  StoreLe<uint16_t>(rows.Row(0, 1), 0x0001);  // the least denormal
  StoreLe<uint16_t>(rows.Row(0, 1) + 2, 0x8007);
  StoreLe<uint16_t>(rows.Row(0, 2), 0x8000);  // -0
  const KvRows out = Decode(Encode(rows));
  EXPECT_EQ(LoadLe<uint16_t>(out.RowView(0, 1).data()), 0x0001);
  EXPECT_EQ(LoadLe<uint16_t>(out.RowView(0, 1).data() + 2), 0x8007);
  EXPECT_EQ(LoadLe<uint16_t>(out.RowView(0, 2).data()), 0x0000);
}

TEST_F(TscCodecTest, PlanesWithoutFloatsAreRaw) {
  Use(MixedModel());
  const KvRows rows = Typical(0);
  const Bytes frame = Encode(rows);
  EXPECT_EQ(StatsOf(frame).raw, 64 * slices_.size() / 2);
  const KvRows out = Decode(frame);
  for (size_t i = 0; i < slices_.size(); ++i) {
    if (!TscIsRawOnly(slices_[i].spec->dtype)) continue;
    EXPECT_TRUE(BytesEqual(out.RowView(i, 63), rows.RowView(i, 63)));
  }
}

struct Damage {
  std::string status;
  std::function<void(uint8_t* entry, uint8_t* section)> apply;
};

TEST_F(TscCodecTest, NamesWhatIsWrongWithAResealedFrame) {
  const Bytes good = Encode(Typical(0), "", ~(TokenMask{1} << 63));
  FrameView view;
  ASSERT_TRUE(ParseFrame(good, &view).ok());
  const FrameSection section = view.sections[1];
  const TscLayout layout =
      LayOutTsc(HeaderOf(good), TscShapeOf(slices_[1], section.mode));
  const std::vector<Damage> damages = {
      {"number of bits is 5", [](uint8_t* e, uint8_t*) { e[3] = 5; }},
      {"number of fallbacks is 3, wanted is 0",
       [](uint8_t* e, uint8_t*) { e[12] = 3; }},
      {"wanted are layer 0 plane 1", [](uint8_t* e, uint8_t*) { e[2] = 0; }},
      {"channel count is 191", [](uint8_t* e, uint8_t*) { e[8] = 191; }},
      {"first channel is 1",
       [](uint8_t* e, uint8_t*) {
         e[4] = 1;
         e[8] = 191;
       }},
      {"kappa is 3", [](uint8_t*, uint8_t* s) { s[24] = 3; }},
      {"page shape is 3", [](uint8_t*, uint8_t* s) { s[25] = 3; }},
      {"reserved bits are 1", [](uint8_t*, uint8_t* s) { s[28] = 1; }},
      {"reserved bits are 1", [](uint8_t*, uint8_t* s) { s[26] = 1; }},
      {"1 raw rows of 2 are not kept",
       [](uint8_t*, uint8_t* s) { s[15] = 0x80; }},
      {"1 references of 2 are not raw",
       [](uint8_t*, uint8_t* s) { s[16] = 3; }},
      {"token 1 is a delta, the first reference is 64",
       [](uint8_t*, uint8_t* s) { s[16] = 0; }},
      {"size is", [](uint8_t*, uint8_t* s) { s[8] = 3; }},
      {"number of tokens kept otherwise is 2",
       [](uint8_t*, uint8_t* s) { s[7] = 0xbf; }},
      {"largest scale is 31744, wanted is 31743",
       [&](uint8_t*, uint8_t* s) {
         StoreLe<uint16_t>(s + layout.scales + 2, 0x7c00);
       }},
      {"a reference is not finite",
       [](uint8_t*, uint8_t* s) { StoreLe<uint16_t>(s + 32, 0x7c01); }},
      {"largest scale is 32768, wanted is 31743",  // -0
       [&](uint8_t*, uint8_t* s) {
         StoreLe<uint16_t>(s + layout.scales, 0x8000);
       }},
  };
  for (const Damage& damage : damages) {
    Bytes frame = good;
    damage.apply(frame.data() + 192 + 32, frame.data() + section.offset);
    ResealFrame(frame);
    KvRows out(slices_, 64);
    TokenMask kept = kAllTokens;
    const Status status = DecodeFrame(nullptr, spec_, frame, 64, &out, &kept);
    EXPECT_NE(status.ToString().find(damage.status), std::string::npos)
        << status.ToString() << ", wanted: " << damage.status;
  }
}

TEST_F(TscCodecTest, RefusesSectionsOfOtherSizes) {
  const Bytes good = Encode(Typical(0));
  FrameView view;
  ASSERT_TRUE(ParseFrame(good, &view).ok());
  const uint64_t size = view.sections[1].bytes;
  for (const uint64_t other : {uint64_t{0}, uint64_t{31}, size - 1, size + 1}) {
    KvRows out(slices_, 64);
    const Status status =
        DecodeFrame(nullptr, spec_, ResizeSection(view, 1, other), 64, &out);
    EXPECT_TRUE(status.Is(StatusCode::kDataLoss)) << status.ToString();
    EXPECT_NE(status.ToString().find(CatMessage("size is ", other)),
              std::string::npos)
        << status.ToString();
    EXPECT_TRUE(out.GuardsAreWhole(0));
  }
}

TEST_F(TscCodecTest, RefusesTokensPastATail) {
  const FrameInfo info = InfoOf(spec_, {.layers = group_, .token_count = 5});
  KvRows rows(slices_, 5);
  rows.Fill(KvKind::kTypical, 11, 0);
  Result<Bytes> frame = EncodeFrame(codec_, nullptr, info, slices_, rows);
  ASSERT_TRUE(frame.ok()) << frame.status().ToString();
  FrameView view;
  ASSERT_TRUE(ParseFrame(*frame, &view).ok());
  (*frame)[view.sections[0].offset] = 0x3f;
  ResealFrame(*frame);
  KvRows out(slices_, 5);
  EXPECT_EQ(DecodeFrame(nullptr, spec_, *frame, 5, &out).ToString(),
            "DataLoss: tsc: layer 0 plane 0: number of tokens past the "
            "frame's is 1, wanted is 0");
}

// Their elements are no numbers: were they read as such, it would be past the
// end of the section.
TEST_F(TscCodecTest, RefusesDeltasAndReferencesOfPlanesWithoutFloats) {
  Use(MixedModel());
  const Bytes good = Encode(Typical(0));
  FrameView view;
  ASSERT_TRUE(ParseFrame(good, &view).ok());
  const size_t last = slices_.size() - 1;
  ASSERT_TRUE(TscIsRawOnly(slices_[last].spec->dtype));
  const uint32_t header = view.sections[last].offset;
  const auto status_of = [&](Bytes frame) {
    ResealFrame(frame);
    KvRows out(slices_, 64);
    const Status status = DecodeFrame(nullptr, spec_, frame, 64, &out);
    EXPECT_TRUE(status.Is(StatusCode::kDataLoss));
    EXPECT_TRUE(out.GuardsAreWhole(0));
    return status.ToString();
  };
  Bytes reference = good;
  reference[header + 23] = 0x80;  // the last token
  EXPECT_NE(status_of(reference).find("number of references of a plane "
                                      "without is 1, wanted is 0"),
            std::string::npos);
  Bytes delta = good;
  delta[header + 15] = 0x7f;
  delta[header + 16] = 1;
  EXPECT_NE(
      status_of(delta).find("number of deltas of a plane without is 1, wanted "
                            "is 0"),
      std::string::npos);
}

TEST_F(TscCodecTest, RefusesWhatIsNotItsOwn) {
  const KvRows rows = Typical(0);
  auto profile = codec_.ParseProfile(Train(8));
  ASSERT_TRUE(profile.ok());
  const FrameInfo info = InfoOf(spec_, {.layers = group_});
  Use(PlainModel("tsc", 2, 3, 32, DType::kF16));
  const KvRows other = Typical(0);
  EXPECT_TRUE(EncodeFrame(codec_, profile->get(), info, slices_, other)
                  .status()
                  .Is(StatusCode::kFailedPrecondition));
  FrameView raw;
  raw.info.codec = CodecId::kRaw;
  EXPECT_TRUE(TscFrameStats(raw).status().Is(StatusCode::kInvalidArgument));
}

TEST_F(TscCodecTest, TrainingIsDeterministicAndRefusesTooLittle) {
  EXPECT_EQ(Train(8), Train(8));
  auto few = MakeProfileTrainer(CodecId::kTsc, spec_, {});
  ASSERT_TRUE(few.ok());
  const KvRows rows = Typical(0);
  ASSERT_TRUE((*few)->Add(0, 64, slices_, rows.Const()).ok());
  EXPECT_EQ((*few)->Fit(nullptr).status().ToString(),
            "FailedPrecondition: tsc: calibration has 64 tokens, at least 512 "
            "are wanted");
  EXPECT_TRUE(
      MakeProfileTrainer(CodecId::kTsc, spec_, {.max_memory_bytes = 1000})
          .status()
          .Is(StatusCode::kResourceExhausted));
  auto stopped = MakeProfileTrainer(CodecId::kTsc, spec_, {});
  ASSERT_TRUE(stopped.ok());
  for (uint32_t t = 0; t < 512; t += 64) {
    ASSERT_TRUE((*stopped)->Add(t, 64, slices_, rows.Const()).ok());
  }
  EXPECT_TRUE((*stopped)
                  ->Fit([](double) { return false; })
                  .status()
                  .Is(StatusCode::kUnavailable));
}

TEST_F(TscCodecTest, ADamagedProfileIsRefused) {
  Bytes bytes = Train(8);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(codec_.ParseProfile(ByteView(bytes).first(size)).ok());
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 0x10;
    EXPECT_FALSE(codec_.ParseProfile(bytes).ok()) << i;
    bytes[i] ^= 0x10;
  }
  EXPECT_TRUE(codec_.ParseProfile(bytes).ok());
}

TEST_F(TscCodecTest, AProfileWithFieldsOutOfRangeIsRefused) {
  const Bytes good = Train(8);
  const auto parse = [&](Bytes bytes) {
    StoreLe(bytes.data() + 24,
            Checksum(ByteView(bytes).first(24), ByteView(bytes).subspan(32)));
    return codec_.ParseProfile(bytes).status();
  };
  ASSERT_TRUE(parse(good).ok());
  const struct {
    size_t at;
    uint32_t value;
  } changes[] = {{0, 0},                              // magic
                 {8, 0x00000001},                     // kappa 0
                 {8, 0x00030001},                     // 3
                 {8, 0x00800001},                     // 128
                 {12, 3},                             // planes
                 {12, 0xffffffff},                    //
                 {20, 1},                             // reserved
                 {32, 0x03000400},                    // layer 1024
                 {32, 0x03100000},                    // plane 16
                 {32, 0x00000000},                    // dtype
                 {32, 0x04000000},                    // f8
                 {32, 0x03010000},                    // order of planes
                 {36, 0x00400000},                    // no heads
                 {36, 0x00400401},                    // 1025
                 {36, 0x00000003},                    // dim 0
                 {36, 0x10010003},                    // 4097
                 {40, 0x7f800000},                    // the largest delta
                 {40, 0xbf800000}, {40, 0x80000000},  // -0
                 {44, 1}};                            // reserved
  for (const auto& change : changes) {
    Bytes bytes = good;
    StoreLe(bytes.data() + change.at, change.value);
    EXPECT_TRUE(parse(bytes).Is(StatusCode::kDataLoss))
        << change.at << " " << change.value;
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_TRUE(parse(longer).Is(StatusCode::kDataLoss));
  Bytes newer = good;
  newer[8] = 2;
  EXPECT_TRUE(parse(newer).Is(StatusCode::kUnimplemented));
}

}  // namespace
}  // namespace reprise
