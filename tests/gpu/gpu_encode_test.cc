// What every codec that encodes on a device promises, for each record of
// CodecCases() and StagedCodecCases(): the CPU encoder's frames, byte for byte,
// from any layout. Runs on the host executor, and on a real device where there
// is one.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "codec/codec.h"
#include "codec/klt_transform_simd.h"
#include "gpu/encode_plan.h"
#include "gpu/gpu_codec.h"
#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/gpu_sink.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

std::vector<CodecCase> AllCases() {
  std::vector<CodecCase> cases = CodecCases();
  for (const CodecCase& staged : StagedCodecCases()) cases.push_back(staged);
  return cases;
}

// Rows on the device, and the frames that the CPU makes of the same rows.
struct Source {
  FrameInfo info;
  TokenMask kept = kAllTokens;
  std::unique_ptr<GpuSink> rows;
  std::vector<Bytes> frames;
};

class GpuEncodeTest : public testing::TestWithParam<CodecCase> {
 protected:
  void SetUp() override {
    gpu_codec_ = FindGpuCodec(GetParam().id);
    if (gpu_codec_ == nullptr) {
      GTEST_SKIP() << "no kernels for " << CodecIdName(GetParam().id);
    }
    if (GetParam().id == CodecId::kKlt && !KltForwardIsFused()) {
      GTEST_SKIP() << "this machine's own encoder rounds otherwise";
    }
    auto options = OptionsOf(GetParam());
    ASSERT_TRUE(options.ok()) << options.status().ToString();
    options_ = *std::move(options);
    MakePlan({});
    Use(TinyModel());
    const Source source = MakeSource(KvKind::kTypical, {});
    if (Plan(source).status().code() == StatusCode::kUnimplemented) {
      GTEST_SKIP() << GetParam().name << " is encoded on the host";
    }
    plan_->Clear();
  }

  void MakePlan(EncodePlanLimits limits) {
    auto plan = EncodePlan::Make(TestDevice(), limits);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    plan_ = *std::move(plan);
  }

  // Sets a model up, with the case's profile on both sides.
  void Use(const ModelSpec& spec, HeadRange heads = HeadRange::All()) {
    heads_ = heads;
    if (ModelIdOf(spec) != ModelIdOf(spec_)) {
      auto profile = ProfileOf(GetParam(), spec);
      ASSERT_TRUE(profile.ok()) << profile.status().ToString();
      spec_ = spec;
      profile_ = *profile;
      gpu_profile_ = nullptr;
      if (profile_ != nullptr) {
        auto uploaded = gpu_codec_->Upload(profile_, 1 << 14, TestDevice());
        ASSERT_TRUE(uploaded.ok()) << uploaded.status().ToString();
        gpu_profile_ = *uploaded;
      }
    }
    auto slices = SlicePlanes(spec_, LayerGroupsOf(spec_)[0], heads_);
    ASSERT_TRUE(slices.ok()) << slices.status().ToString();
    slices_ = *std::move(slices);
  }

  struct Shape {
    GpuLayout layout = GpuLayout::kTokenMajor;
    uint16_t tokens = 64;
    uint64_t seed = 7;
    TokenMask kept = kAllTokens;
  };
  Result<std::vector<Bytes>> Encode(const FrameInfo& info, const KvRows& rows,
                                    TokenMask kept) const {
    const Codec& codec = *CodecOf(GetParam());
    if (kept == kAllTokens) {
      return EncodeFrames(codec, profile_.get(), info, slices_, rows,
                          options_.get());
    }
    auto frame = EncodeFrame(codec, profile_.get(), info, slices_, rows,
                             options_.get(), kept);
    if (!frame.ok()) return frame.status();
    return std::vector<Bytes>{*std::move(frame)};
  }
  Source MakeSource(KvKind kind, const Shape& shape) {
    const FramePlace place{.layers = LayerGroupsOf(spec_)[0],
                           .heads = heads_,
                           .first_token = 128,
                           .token_count = shape.tokens};
    KvRows rows(slices_, shape.tokens);
    rows.Fill(kind, shape.seed, place.first_token);
    Source source{.info = InfoOf(spec_, place), .kept = shape.kept};
    auto frames = Encode(source.info, rows, shape.kept);
    EXPECT_TRUE(frames.ok()) << frames.status().ToString();
    if (frames.ok()) source.frames = *std::move(frames);
    source.rows = std::make_unique<GpuSink>(
        TestDevice(), slices_,
        GpuSink::Shape{.layout = shape.layout, .token_count = shape.tokens});
    EXPECT_TRUE(source.rows->status().ok());
    EXPECT_TRUE(source.rows->Put(rows).ok());
    return source;
  }

  GpuEncodeRequest RequestOf(const Source& source) const {
    return {.info = source.info,
            .slices = slices_,
            .rows = source.rows->rows(),
            .profile = gpu_profile_.get(),
            .options = options_.get(),
            .kept = source.kept};
  }
  Result<uint32_t> Plan(const Source& source) {
    return gpu_codec_->PlanEncode(RequestOf(source), plan_.get());
  }
  void Run(uint32_t max_blocks = 0) {
    ASSERT_TRUE(plan_->Launch(nullptr, max_blocks).ok());
    const Status done = plan_->Synchronize();
    ASSERT_TRUE(done.ok()) << done.ToString();
  }

  void ExpectCpuFrames(const Source& source, uint32_t unit) {
    std::vector<FrameBuilder> builders(source.frames.size());
    std::vector<FrameBuilder*> pointers;
    for (FrameBuilder& builder : builders) pointers.push_back(&builder);
    const Status built =
        gpu_codec_->BuildFrames(RequestOf(source), *plan_, unit, pointers);
    ASSERT_TRUE(built.ok()) << built.ToString();
    for (size_t k = 0; k < builders.size(); ++k) {
      const Result<ByteView> frame = builders[k].Finish();
      ASSERT_TRUE(frame.ok()) << frame.status().ToString();
      ASSERT_EQ(frame->size(), source.frames[k].size()) << "stage " << k;
      ASSERT_TRUE(BytesEqual(*frame, source.frames[k])) << "stage " << k;
    }
  }

  void ExpectCpuFrames(KvKind kind, const Shape& shape) {
    SCOPED_TRACE(std::string(KvKindName(kind)) + ", " +
                 std::string(GpuLayoutName(shape.layout)) + ", " +
                 std::to_string(shape.tokens) + " tokens");
    const Source source = MakeSource(kind, shape);
    if (HasFailure()) return;
    plan_->Clear();
    const Result<uint32_t> unit = Plan(source);
    ASSERT_TRUE(unit.ok()) << unit.status().ToString();
    Run();
    if (HasFatalFailure()) return;
    ExpectCpuFrames(source, *unit);
    ASSERT_TRUE(source.rows->Fetch().ok());
    EXPECT_TRUE(source.rows->GuardsAreWhole(shape.tokens));
  }

  const GpuCodec* gpu_codec_ = nullptr;
  std::shared_ptr<const CodecOptions> options_;
  std::unique_ptr<EncodePlan> plan_;
  ModelSpec spec_;
  HeadRange heads_;
  std::shared_ptr<const CodecProfile> profile_;
  std::shared_ptr<const GpuProfile> gpu_profile_;
  std::vector<PlaneSlice> slices_;
};

TEST_P(GpuEncodeTest, GivesTheCpusFramesForEveryModelAndKindOfValues) {
  uint32_t turn = 0;
  for (const NamedModel& model : AllTestModels()) {
    SCOPED_TRACE(model.name);
    Use(model.spec);
    for (const KvKind kind : kAllKvKinds) {
      for (const uint16_t tokens : {uint16_t{64}, uint16_t{17}, uint16_t{1}}) {
        const GpuLayout layout =
            kAllGpuLayouts[turn++ % std::size(kAllGpuLayouts)];
        ExpectCpuFrames(kind, {.layout = layout, .tokens = tokens});
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(GpuEncodeTest, GivesTheCpusFramesFromEveryLayout) {
  Use(MixedModel());
  for (const GpuLayout layout : kAllGpuLayouts) {
    ExpectCpuFrames(KvKind::kSpecials, {.layout = layout, .tokens = 33});
    if (HasFailure()) return;
  }
}

TEST_P(GpuEncodeTest, GivesTheCpusFramesForOddShapes) {
  for (const uint32_t heads : {1u, 3u}) {
    for (const uint32_t dim : {1u, 2u, 31u, 33u, 80u, 128u, 129u}) {
      for (const DType dtype : {DType::kBf16, DType::kF32, DType::kF8E4M3}) {
        SCOPED_TRACE(std::to_string(heads) + " x " + std::to_string(dim));
        Use(PlainModel("odd", 2, heads, dim, dtype));
        ExpectCpuFrames(KvKind::kTypical,
                        {.layout = GpuLayout::kPagedHnd, .tokens = 5});
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(GpuEncodeTest, GivesTheCpusFramesForAPartOfTheHeads) {
  if (GetParam().needs_all_heads) GTEST_SKIP() << "it takes all heads only";
  Use(GqaModel(), {.first = 2, .count = 1, .total = 4});
  ExpectCpuFrames(KvKind::kTypical, {.layout = GpuLayout::kPagedNhd});
}

TEST_P(GpuEncodeTest, GivesTheCpusFramesOfTheTokensThatAreKept) {
  if (!CodecOf(GetParam())->can_drop_tokens()) {
    GTEST_SKIP() << "it keeps all tokens";
  }
  Use(SmolModel());
  for (const TokenMask kept :
       {TokenMask{0xf0ff'00f0'1234'fff2}, TokenMask{0}, TokenMask{1} << 63}) {
    SCOPED_TRACE(kept);
    ExpectCpuFrames(KvKind::kTypical,
                    {.layout = GpuLayout::kPagedHnd, .kept = kept});
    if (HasFailure()) return;
  }
}

TEST_P(GpuEncodeTest, ABatchOfManyFramesIsOneLaunchAKernel) {
  Use(TinyModel());
  std::vector<Source> sources;
  for (uint64_t i = 0; i < 20; ++i) {
    sources.push_back(MakeSource(
        KvKind::kTypical,
        {.tokens = static_cast<uint16_t>(i % 2 == 0 ? 64 : 1 + i), .seed = i}));
    const Result<uint32_t> unit = Plan(sources.back());
    ASSERT_TRUE(unit.ok()) << unit.status().ToString();
    ASSERT_EQ(*unit, i);
  }
  Run(3);
  for (uint32_t i = 0; i < sources.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectCpuFrames(sources[i], i);
    if (HasFailure()) return;
  }
}

TEST_P(GpuEncodeTest, WhatHasNoRoomLeavesThePlanAsItWas) {
  EncodePlanLimits limits;
  limits.output_bytes = 256 << 10;
  MakePlan(limits);
  Use(TinyModel());
  const Source source = MakeSource(KvKind::kTypical, {});
  uint32_t units = 0;
  Status status;
  while (status.ok()) {
    const Result<uint32_t> unit = Plan(source);
    status = unit.status();
    units += status.ok();
    ASSERT_LT(units, 1000u);
  }
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.ToString();
  ASSERT_GT(units, 0u);
  Run();
  for (uint32_t i = 0; i < units; ++i) ExpectCpuFrames(source, i);
}

TEST_P(GpuEncodeTest, RefusesRowsThatAreNotTheSlices) {
  Use(TinyModel());
  const Source source = MakeSource(KvKind::kTypical, {});
  const std::vector<GpuRows> whole(source.rows->rows().begin(),
                                   source.rows->rows().end());
  const auto expect_refused = [&](std::span<const GpuRows> rows) {
    GpuEncodeRequest request = RequestOf(source);
    request.rows = rows;
    EXPECT_EQ(gpu_codec_->PlanEncode(request, plan_.get()).status().code(),
              StatusCode::kInvalidArgument);
    EXPECT_TRUE(plan_->is_empty());
  };
  expect_refused(std::span(whole).first(whole.size() - 1));
  for (void (*spoil)(GpuRows*) : {
           +[](GpuRows* rows) { rows->base = nullptr; },
           +[](GpuRows* rows) { rows->token_count = 63; },
           +[](GpuRows* rows) { rows->head_first = 1; },
           +[](GpuRows* rows) { rows->head_count -= 1; },
           +[](GpuRows* rows) { rows->dim += 1; },
           +[](GpuRows* rows) { rows->element_bytes = 4; },
       }) {
    std::vector<GpuRows> rows = whole;
    spoil(&rows.back());
    expect_refused(rows);
  }
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, GpuEncodeTest,
                         testing::ValuesIn(AllCases()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace reprise
