// What every codec's encoding kernels promise, for each record of CodecCases()
// that has some: the CPU encoder's frames, byte for byte, from rows in any
// layout, which stay as they are.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gpu/device.h"
#include "gpu/encode_plan.h"
#include "gpu/gpu_codec.h"
#include "gpu/host_device.h"
#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/gpu_sink.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

const std::shared_ptr<Device>& TestDevice() {
  static const std::shared_ptr<Device> device = [] {
    if (DeviceCount() > 0) {
      Result<std::shared_ptr<Device>> real = OpenDevice(0);
      if (real.ok()) return *real;
    }
    return MakeHostDevice();
  }();
  return device;
}

class GpuEncodeTest : public testing::TestWithParam<CodecCase> {
 protected:
  void SetUp() override {
    if (FindGpuCodec(GetParam().id) == nullptr) {
      GTEST_SKIP() << "no kernels for " << CodecIdName(GetParam().id);
    }
    auto options = OptionsOf(GetParam());
    ASSERT_TRUE(options.ok()) << options.status().ToString();
    options_ = *std::move(options);
    EncodePlanLimits limits;
    limits.scratch_bytes = 8 << 20;
    auto plan = EncodePlan::Make(TestDevice(), limits);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    plan_ = *std::move(plan);
    Use(TinyModel(), 64);
    KvRows rows(slices_, 64);
    GpuSink source(TestDevice(), slices_, {.token_count = 64});
    if (Plan(source, kAllTokens).status().code() ==
        StatusCode::kUnimplemented) {
      GTEST_SKIP() << CodecIdName(GetParam().id) << " encodes on the host";
    }
  }

  // Sets a model up, with the case's profile on both sides.
  void Use(const ModelSpec& spec, uint16_t token_count) {
    if (ModelIdOf(spec) != ModelIdOf(spec_)) {
      auto profile = ProfileOf(GetParam(), spec);
      ASSERT_TRUE(profile.ok()) << profile.status().ToString();
      spec_ = spec;
      profile_ = *profile;
      gpu_profile_ = nullptr;
      if (profile_ != nullptr) {
        auto uploaded = FindGpuCodec(GetParam().id)
                            ->Upload(profile_, 1 << 14, TestDevice());
        ASSERT_TRUE(uploaded.ok()) << uploaded.status().ToString();
        gpu_profile_ = *uploaded;
      }
    }
    place_ = {.layers = LayerGroupsOf(spec_)[0],
              .first_token = 64,
              .token_count = token_count};
    auto slices = SlicePlanes(spec_, place_.layers, place_.heads);
    ASSERT_TRUE(slices.ok()) << slices.status().ToString();
    slices_ = *std::move(slices);
  }

  GpuEncodeRequest RequestFor(const GpuSink& source, TokenMask kept) const {
    return {.info = InfoOf(spec_, place_),
            .slices = slices_,
            .rows = source.rows(),
            .profile = gpu_profile_.get(),
            .options = options_.get(),
            .kept = kept};
  }
  Result<uint32_t> Plan(const GpuSink& source, TokenMask kept) {
    plan_->Clear();
    return FindGpuCodec(GetParam().id)
        ->PlanEncode(RequestFor(source, kept), plan_.get());
  }

  void ExpectCpuFrames(KvKind kind, GpuLayout layout, TokenMask kept) {
    KvRows rows(slices_, place_.token_count);
    rows.Fill(kind, 7, place_.first_token);
    const Codec& codec = *CodecOf(GetParam());
    const FrameInfo info = InfoOf(spec_, place_);
    std::vector<Bytes> wanted;
    if (kept == kAllTokens) {
      auto frames = EncodeFrames(codec, profile_.get(), info, slices_, rows,
                                 options_.get());
      ASSERT_TRUE(frames.ok()) << frames.status().ToString();
      wanted = *std::move(frames);
    } else {
      auto frame = EncodeFrame(codec, profile_.get(), info, slices_, rows,
                               options_.get(), kept);
      ASSERT_TRUE(frame.ok()) << frame.status().ToString();
      wanted.push_back(*std::move(frame));
    }

    GpuSink source(TestDevice(), slices_,
                   {.layout = layout, .token_count = place_.token_count});
    ASSERT_TRUE(source.status().ok()) << source.status().ToString();
    ASSERT_TRUE(source.Put(rows).ok());
    const Result<uint32_t> unit = Plan(source, kept);
    ASSERT_TRUE(unit.ok()) << unit.status().ToString();
    ASSERT_TRUE(plan_->Launch(nullptr).ok());
    const Status done = plan_->Synchronize();
    ASSERT_TRUE(done.ok()) << done.ToString();
    ASSERT_EQ(plan_->damage(*unit), 0u);
    std::vector<FrameBuilder> builders(wanted.size());
    std::vector<FrameBuilder*> pointers;
    for (FrameBuilder& builder : builders) pointers.push_back(&builder);
    const Status built =
        FindGpuCodec(GetParam().id)
            ->BuildFrames(RequestFor(source, kept), *plan_, *unit, pointers);
    ASSERT_TRUE(built.ok()) << built.ToString();
    for (size_t k = 0; k < wanted.size(); ++k) {
      const Result<ByteView> frame = builders[k].Finish();
      ASSERT_TRUE(frame.ok()) << frame.status().ToString();
      ASSERT_TRUE(BytesEqual(*frame, wanted[k])) << "stage " << k;
    }
    ASSERT_TRUE(source.Fetch().ok());
    ASSERT_TRUE(source.GuardsAreWhole(place_.token_count));
  }

  std::shared_ptr<const CodecOptions> options_;
  std::unique_ptr<EncodePlan> plan_;
  ModelSpec spec_;
  FramePlace place_;
  std::shared_ptr<const CodecProfile> profile_;
  std::shared_ptr<const GpuProfile> gpu_profile_;
  std::vector<PlaneSlice> slices_;
};

TEST_P(GpuEncodeTest, MakesTheCpusFramesForEveryModelLayoutAndKind) {
  uint32_t turn = 0;
  for (const NamedModel& model : AllTestModels()) {
    for (const uint16_t tokens : {uint16_t{64}, uint16_t{17}, uint16_t{1}}) {
      Use(model.spec, tokens);
      if (HasFatalFailure()) return;
      for (const KvKind kind :
           {KvKind::kTypical, KvKind::kSpecials, KvKind::kConstant}) {
        const GpuLayout layout =
            kAllGpuLayouts[turn++ % std::size(kAllGpuLayouts)];
        SCOPED_TRACE(model.name + ", " + std::string(KvKindName(kind)) + ", " +
                     std::to_string(tokens) + " tokens, " +
                     std::string(GpuLayoutName(layout)));
        ExpectCpuFrames(kind, layout, kAllTokens);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(GpuEncodeTest, MakesTheCpusFramesForOddShapes) {
  for (const DType dtype : {DType::kBf16, DType::kF16, DType::kF32}) {
    for (const uint32_t dim : {1u, 2u, 31u, 33u, 80u, 128u, 129u}) {
      SCOPED_TRACE(std::string(DTypeName(dtype)) + ", " + std::to_string(dim));
      Use(PlainModel("odd", 2, 3, dim, dtype), 11);
      if (HasFatalFailure()) return;
      ExpectCpuFrames(KvKind::kTypical, GpuLayout::kPagedNhd, kAllTokens);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(GpuEncodeTest, MakesTheCpusFramesOfTheTokensThatAreKept) {
  if (!CodecOf(GetParam())->can_drop_tokens()) return;
  Use(SmolModel(), 64);
  for (const TokenMask kept :
       {TokenMask{0xf0ff'00f0'1234'fff2}, TokenMask{0}, TokenMask{1} << 63}) {
    SCOPED_TRACE(kept);
    ExpectCpuFrames(KvKind::kTypical, GpuLayout::kPagedHnd, kept);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, GpuEncodeTest,
                         testing::ValuesIn(CodecCases()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace reprise
