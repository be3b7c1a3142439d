// The kernels of `klt` that encode, at the limits of its format and of their
// room: the CPU's frames, byte for byte. gpu_encode_test.cc has the rest.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/klt_codec.h"
#include "codec/klt_transform_simd.h"
#include "gpu/encode_plan.h"
#include "gpu/gpu_codec.h"
#include "tests/support/codec_frames.h"
#include "tests/support/gpu_sink.h"
#include "tests/support/klt_cases.h"
#include "tests/support/klt_limits.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

const Codec& Klt() { return *FindCodec(CodecId::kKlt); }
const GpuCodec& GpuKlt() { return *FindGpuCodec(CodecId::kKlt); }

class KltEncodeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!KltForwardIsFused()) {
      GTEST_SKIP() << "this machine's own encoder rounds otherwise";
    }
    auto plan = EncodePlan::Make(TestDevice(), {});
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    plan_ = *std::move(plan);
  }

  void Use(const ModelSpec& spec, const KltProfileParts& parts,
           const FramePlace& place, uint64_t max_tokens = 1024) {
    spec_ = spec;
    place_ = place;
    place_.layers = LayerGroupsOf(spec_)[0];
    slices_ = *SlicePlanes(spec_, place_.layers, place_.heads);
    ASSERT_EQ(CheckKltProfile(parts).ToString(), "OK");
    profile_ = *Klt().ParseProfile(EncodeKltProfile(parts));
    auto uploaded = GpuKlt().Upload(profile_, max_tokens, TestDevice());
    ASSERT_TRUE(uploaded.ok()) << uploaded.status().ToString();
    gpu_profile_ = *uploaded;
    rows_ = std::make_unique<KvRows>(slices_, place_.token_count);
  }
  // One plane of n f32 channels; with three stages q are the values.
  void UsePlain(const KltProfileParts& parts, size_t tokens) {
    Use(KltPlainChannels(parts.planes[0].dim), parts,
        {.token_count = static_cast<uint16_t>(tokens)});
    for (uint32_t t = 0; t < tokens; ++t) {
      for (uint32_t i = 0; i < parts.planes[0].dim; ++i) Set(t, i, 0);
    }
  }
  void Set(uint32_t token, uint32_t channel, float value) {
    StoreLe(rows_->Row(0, token) + 4 * channel, value);
  }

  GpuEncodeRequest RequestOf(const GpuSink& sink) const {
    return {.info = InfoOf(spec_, place_),
            .slices = slices_,
            .rows = sink.rows(),
            .profile = gpu_profile_.get(),
            .options = options_.get()};
  }
  void Choose(std::string_view options) {
    options_ = *Klt().ParseOptions(options);
  }

  // Both encoders' frames are the same; answers them.
  std::vector<Bytes> ExpectCpuFrames() {
    auto frames = EncodeFrames(Klt(), profile_.get(), InfoOf(spec_, place_),
                               slices_, *rows_, options_.get());
    EXPECT_TRUE(frames.ok()) << frames.status().ToString();
    if (!frames.ok()) return {};
    GpuSink sink(TestDevice(), slices_, {.token_count = place_.token_count});
    EXPECT_TRUE(sink.Put(*rows_).ok());
    plan_->Clear();
    const Result<uint32_t> unit =
        GpuKlt().PlanEncode(RequestOf(sink), plan_.get());
    EXPECT_TRUE(unit.ok()) << unit.status().ToString();
    if (!unit.ok()) return {};
    EXPECT_TRUE(plan_->Launch(nullptr).ok());
    EXPECT_TRUE(plan_->Synchronize().ok());
    std::vector<FrameBuilder> builders(frames->size());
    std::vector<FrameBuilder*> pointers;
    for (FrameBuilder& builder : builders) pointers.push_back(&builder);
    const Status built =
        GpuKlt().BuildFrames(RequestOf(sink), *plan_, *unit, pointers);
    EXPECT_TRUE(built.ok()) << built.ToString();
    for (size_t k = 0; built.ok() && k < builders.size(); ++k) {
      const Result<ByteView> made = builders[k].Finish();
      EXPECT_TRUE(made.ok() && BytesEqual(*made, (*frames)[k]))
          << "stage " << k;
    }
    return *std::move(frames);
  }

  // Which tokens the frames have raw.
  static TokenMask RawOf(const std::vector<Bytes>& frames) {
    FrameView frame;
    if (frames.empty() || !ParseFrame(frames[0], &frame).ok()) return ~0ull;
    for (const FrameSection& section : frame.sections) {
      if (section.mode == 2) {
        return LoadLe<TokenMask>(frame.Section(section).data());
      }
    }
    return 0;
  }
  static uint32_t WordsOf(const Bytes& frame) {
    FrameView view;
    return ParseFrame(frame, &view).ok() ? view.sections[0].words : 0;
  }

  ModelSpec spec_;
  FramePlace place_;
  std::vector<PlaneSlice> slices_;
  std::shared_ptr<const CodecOptions> options_;
  std::shared_ptr<const CodecProfile> profile_;
  std::shared_ptr<const GpuProfile> gpu_profile_;
  std::unique_ptr<KvRows> rows_;
  std::unique_ptr<EncodePlan> plan_;
};

TEST_F(KltEncodeTest, WhatIsTooLargeIsRaw) {
  UsePlain(KltIdentityParts(40), 12);
  Set(0, 3, 32767);
  Set(1, 3, 32767.4f);
  Set(2, 3, -32767.5f);
  Set(3, 3, 1e30f);
  // Sums of 131071 and 131072, in one row and over two.
  for (const uint32_t token : {4u, 5u}) {
    for (uint32_t i = 0; i < 4; ++i) Set(token, i, i % 2 == 0 ? 32767 : -32767);
    Set(token, 4, token == 4 ? 3 : 4);
  }
  for (const uint32_t token : {6u, 7u}) {
    for (uint32_t i = 30; i < 34; ++i) Set(token, i, 32767);
    Set(token, 39, token == 6 ? -3 : -4);
  }
  EXPECT_EQ(RawOf(ExpectCpuFrames()), 0b1010'1100u);
}

TEST_F(KltEncodeTest, HalvesAreRoundedAwayFromZero) {
  UsePlain(KltIdentityParts(33), 64);
  Random random(2);
  for (uint32_t t = 0; t < 64; ++t) {
    for (uint32_t i = 0; i < 33; ++i) {
      const auto half = static_cast<float>(static_cast<int>(random.Below(401)));
      Set(t, i, (half - 200) / 2);
    }
  }
  Set(5, 32, -0.0f);
  Set(6, 32, -0.49999997f);
  for (const char* options : {"tier=near", "tier=archive", "stages=4,shift=-7",
                              "tier=coarse,shift=32", "tier=near,shift=-32"}) {
    SCOPED_TRACE(options);
    Choose(options);
    ExpectCpuFrames();
  }
}

TEST_F(KltEncodeTest, NumbersThatAreNoneAreRawInAllGroups) {
  const ModelSpec spec = PlainModel("groups", 4, 2, 24, DType::kF32);
  Use(spec, MakeKltParts(spec, {.layers = 2, .raw_first = 0}),
      {.token_count = 64});
  rows_->Fill(KvKind::kTypical, 3, 0);
  const auto set = [&](size_t slice, uint32_t token, float value) {
    StoreLe(rows_->Row(slice, token) + 4 * 17, value);
  };
  set(0, 31, std::numeric_limits<float>::infinity());
  set(3, 32, std::numeric_limits<float>::quiet_NaN());
  set(7, 63, -std::numeric_limits<float>::infinity());
  set(5, 0, 3e38f);  // finite, but no coefficient is
  EXPECT_EQ(RawOf(ExpectCpuFrames()), 0x8000'0001'8000'0001u);
}

// Escapes of all magnitudes, by size and because there is no frequency; and
// symbols of one slot in 4,096, which give away the most words.
TEST_F(KltEncodeTest, TheMostWordsHaveRoom) {
  const uint32_t n = 96;
  KltProfileParts parts = KltIdentityParts(n);
  parts.magnitudes.resize(2);
  for (KltMagnitudeTable& table : parts.magnitudes) {
    table.fill(0);
    table[2] = kKltSlots - 3;
    table[1] = 1;
    table[62] = 1;
    table[kKltEscape] = 1;
  }
  parts.refining.resize(1);
  parts.refining[0] = {{{1, 0}, {1, 1}, {1, 1}}};
  ASSERT_EQ(CheckKltProfile(parts).ToString(), "OK");
  UsePlain(parts, 64);
  const uint64_t most_symbols = 64 * n;
  const struct {
    const char* options;
    std::function<float(uint32_t)> value;
    uint64_t least_words;
  } cases[] = {
      // Ninths; all escaped, of a frequency of one slot in 4,096 each.
      {"tier=archive", [](uint32_t) { return 9.0f * 63; },
       most_symbols * 7 / 4},
      {"tier=archive", [](uint32_t i) { return 9.0f * i; }, 0},
      {"tier=archive", [](uint32_t) { return 9.0f; }, most_symbols * 3 / 4},
      {"stages=4", [](uint32_t i) { return i % 3 == 0 ? 85.3f : -42.7f; }, 0},
      {"tier=near", [](uint32_t i) { return i % 2 == 0 ? 10.f : -14.f; }, 0},
      {"tier=near", [](uint32_t) { return 0.f; }, 0},
  };
  for (const auto& of : cases) {
    SCOPED_TRACE(of.options);
    Choose(of.options);
    for (uint32_t t = 0; t < 64; ++t) {
      for (uint32_t i = 0; i < n; ++i) Set(t, i, of.value(i));
    }
    const std::vector<Bytes> frames = ExpectCpuFrames();
    ASSERT_FALSE(frames.empty());
    EXPECT_EQ(RawOf(frames), 0u);
    EXPECT_GE(WordsOf(frames[0]), of.least_words);
  }
}

// Levels that fall: rows that each stage is the first to code, and rows that
// none does, all with values that these can't hold.
TEST_F(KltEncodeTest, RowsHoldWhatTheirFirstStageCan) {
  const uint32_t n = 32 * 9 + 5;
  KltProfileParts parts = KltIdentityParts(n);
  parts.lo0 = 120;
  parts.lo1 = 122;
  KltGroupParts& group = parts.groups[0];
  for (uint32_t r = 0; r < group.rows(); ++r) {
    group.levels[r] = static_cast<uint8_t>(140 - 4 * r);
  }
  UsePlain(parts, 40);
  Random random(5);
  for (uint32_t t = 0; t < 40; ++t) {
    for (uint32_t i = 0; i < n; ++i) {
      const auto value = static_cast<int>(random.Below(241)) - 120;
      Set(t, i, static_cast<float>(value));
    }
  }
  for (const char* options :
       {"stages=4", "tier=near,shift=2", "tier=coarse,shift=-3", "tier=archive",
        "stages=4,shift=-20"}) {
    SCOPED_TRACE(options);
    Choose(options);
    EXPECT_EQ(RawOf(ExpectCpuFrames()), 0u);
  }
}

// The same numbers in another order have a norm of other last bits, which this
// regressor makes whole exponents of.
TEST_F(KltEncodeTest, ExponentsFollowTheLastBitsOfSums) {
  const uint32_t n = 173;
  KltProfileParts parts = KltIdentityParts(n);
  parts.sensitivity_exponent = 0.5f;
  Random random(3);
  std::vector<float> values(n);
  double squares = 0;
  for (float& value : values) {
    value = static_cast<float>(random.Normal());
    squares += double{value} * value;
  }
  KltRegressor& regressor = parts.groups[0].regressor;
  regressor.by_norm[0] = 0x1p22f;
  regressor.constant = static_cast<float>(-0x1p22 * std::log2(squares));
  regressor.by_position = 0;
  UsePlain(parts, 64);
  for (uint32_t t = 0; t < 64; ++t) {
    for (uint32_t i = n; i-- > 1;) {
      std::swap(values[i], values[random.Below(i + 1)]);
    }
    for (uint32_t i = 0; i < n; ++i) Set(t, i, values[i]);
  }
  ExpectCpuFrames();
}

// A matrix that has no inverse: its transpose is taken. It is the widest one
// that there may be, too.
TEST_F(KltEncodeTest, TheWidestGroupAndATranspose) {
  const uint32_t n = kKltMaxChannels;
  KltProfileParts parts = KltIdentityParts(n);
  KltGroupParts& group = parts.groups[0];
  Random random(8);
  for (uint64_t at = 0; at < group.hi.size(); ++at) {
    const auto entry = static_cast<int>(random.Below(255)) - 127;
    group.hi[at] = static_cast<int8_t>(at % n == 77 ? 0 : entry);
  }
  group.lead = 512;
  group.lo.resize(uint64_t{group.lead} * n);
  for (uint64_t at = 0; at < group.lo.size(); ++at) {
    const auto entry = static_cast<int>(random.Below(255)) - 127;
    group.lo[at] = static_cast<int8_t>(at % n == 77 ? 0 : entry);
  }
  group.enc.assign(n, 0x1p-9f);
  UsePlain(parts, 3);
  for (uint32_t t = 0; t < 3; ++t) {
    for (uint32_t i = 0; i < n; ++i) {
      Set(t, i, static_cast<float>(random.Normal()) * (t == 2 ? 100.f : 1.f));
    }
  }
  // The sum of a token's magnitudes is too large for a strip's limit to tell.
  EXPECT_EQ(RawOf(ExpectCpuFrames()), 0b100u);
}

TEST_F(KltEncodeTest, TailsOfEveryLength) {
  ModelSpec spec = PlainModel("tails", 2, 3, 40, DType::kF16);
  for (LayerSpec& layer : spec.layers) layer.planes[1].dtype = DType::kF32;
  const KltProfileParts parts =
      MakeKltParts(spec, {.layers = 2, .raw_first = 3});
  Choose("stages=4,shift=1");
  for (uint16_t tokens = 1; tokens < 64; tokens += tokens < 36 ? 1 : 5) {
    SCOPED_TRACE(tokens);
    Use(spec, parts, {.token_count = tokens});
    if (HasFatalFailure()) return;
    rows_->Fill(tokens % 4 == 0 ? KvKind::kSpecials : KvKind::kTypical, tokens,
                0);
    // Tokens below the third are raw, if that is all there are as well.
    const TokenMask first = FirstTokens(std::min<uint32_t>(tokens, 3));
    EXPECT_EQ(RawOf(ExpectCpuFrames()) & first, first);
    if (HasFailure()) return;
  }
}

TEST_F(KltEncodeTest, AnglesThatTheDeviceHasNoTableOfComeWithTheBatch) {
  ModelSpec spec = PlainModel("far", 2, 2, 48, DType::kBf16);
  spec.rope.rotary_dims = 20;
  for (const auto pairing : {RopePairing::kAdjacent, RopePairing::kHalves}) {
    const KltProfileParts parts = MakeKltParts(spec, {.pairing = pairing});
    for (const uint32_t first : {64u, 128u, 1u << 20}) {
      SCOPED_TRACE(first);
      // The table ends inside of the first place.
      Use(spec, parts, {.first_token = first}, 100);
      if (HasFatalFailure()) return;
      rows_->Fill(KvKind::kTypical, 7, first);
      ExpectCpuFrames();
    }
  }
}

TEST_F(KltEncodeTest, RefusesWhatTheCpuRefuses) {
  UsePlain(KltIdentityParts(40), 12);
  GpuSink sink(TestDevice(), slices_, {.token_count = place_.token_count});
  const auto expect = [&](const GpuEncodeRequest& request, StatusCode code) {
    const Status status = GpuKlt().PlanEncode(request, plan_.get()).status();
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_TRUE(plan_->is_empty());
  };
  GpuEncodeRequest request = RequestOf(sink);
  request.kept = 0x7ff;
  expect(request, StatusCode::kUnimplemented);
  request = RequestOf(sink);
  request.info.stage = 1;
  expect(request, StatusCode::kInvalidArgument);
  request = RequestOf(sink);
  const auto others = *FindCodec(CodecId::kTsc)->ParseOptions("");
  request.options = others.get();
  expect(request, StatusCode::kInvalidArgument);
  request = RequestOf(sink);
  request.profile = nullptr;
  expect(request, StatusCode::kFailedPrecondition);
}

TEST_F(KltEncodeTest, TrustsNothingThatADeviceLeaves) {
  UsePlain(KltIdentityParts(40), 12);
  GpuSink sink(TestDevice(), slices_, {.token_count = place_.token_count});
  ASSERT_TRUE(sink.Put(*rows_).ok());
  const GpuEncodeRequest request = RequestOf(sink);
  const Result<uint32_t> unit = GpuKlt().PlanEncode(request, plan_.get());
  ASSERT_TRUE(unit.ok()) << unit.status().ToString();
  ASSERT_TRUE(plan_->Launch(nullptr).ok());
  ASSERT_TRUE(plan_->Synchronize().ok());
  std::vector<FrameBuilder> builders(3);
  FrameBuilder* const pointers[] = {&builders[0], &builders[1], &builders[2]};
  const auto build = [&](size_t count) {
    return GpuKlt()
        .BuildFrames(request, *plan_, *unit, std::span(pointers).first(count))
        .code();
  };
  EXPECT_EQ(build(3), StatusCode::kOk);
  EXPECT_EQ(build(2), StatusCode::kInvalidArgument);
  // Words, signs, and tokens that there are none of; then of another stage.
  const std::span<const GpuOutput> outputs = plan_->Outputs(*unit);
  ASSERT_EQ(outputs.size(), 4u);
  const auto expect_refused = [&](uint32_t stage, uint32_t at, uint8_t byte) {
    uint8_t* const to = outputs[stage].data + at;
    const uint8_t before = *to;
    *to = byte;
    EXPECT_EQ(build(3), StatusCode::kUnavailable) << stage << " " << at;
    *to = before;
  };
  for (uint32_t stage = 0; stage < 3; ++stage) {
    expect_refused(stage, 11, 0xff);
    expect_refused(stage, 15, 0xff);
    expect_refused(stage, 1, 0x10);
    expect_refused(stage, 7, 1);
  }
  expect_refused(2, 0, 1);
  EXPECT_EQ(build(3), StatusCode::kOk);
}

}  // namespace
}  // namespace reprise
