// What every codec's kernels promise, for each record of CodecCases() and
// StagedCodecCases(): the CPU decoder's bits in any layout, and nothing outside
// of the rows, whatever the bytes on the device are. Runs on the host
// executor, and on a real device where there is one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/limits.h"
#include "codec/frame.h"
#include "gpu/decode_plan.h"
#include "gpu/device.h"
#include "gpu/gpu_codec.h"
#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/gpu_sink.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

std::vector<CodecCase> AllCases() {
  std::vector<CodecCase> cases = CodecCases();
  for (const CodecCase& staged : StagedCodecCases()) cases.push_back(staged);
  return cases;
}

class GpuConformanceTest : public testing::TestWithParam<CodecCase> {
 protected:
  void SetUp() override {
    if (FindGpuCodec(GetParam().id) == nullptr) {
      GTEST_SKIP() << "no kernels for " << CodecIdName(GetParam().id);
    }
    auto options = OptionsOf(GetParam());
    ASSERT_TRUE(options.ok()) << options.status().ToString();
    options_ = *std::move(options);
    DecodePlanLimits limits;
    limits.scratch_bytes = 8 << 20;
    auto plan = DecodePlan::Make(TestDevice(), limits);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    plan_ = *std::move(plan);
  }

  // Sets a model up, with the case's profile on both sides.
  void Use(const ModelSpec& spec, FramePlace place) {
    if (ModelIdOf(spec) != ModelIdOf(spec_)) {
      auto profile = ProfileOf(GetParam(), spec);
      ASSERT_TRUE(profile.ok()) << profile.status().ToString();
      spec_ = spec;
      profile_ = *profile;
      gpu_profile_ = nullptr;
      if (profile_ != nullptr && !GetParam().decodes_without_profile) {
        auto uploaded = FindGpuCodec(GetParam().id)
                            ->Upload(profile_, kMaxPosition, TestDevice());
        ASSERT_TRUE(uploaded.ok()) << uploaded.status().ToString();
        gpu_profile_ = *uploaded;
      }
    }
    place.layers = LayerGroupsOf(spec_)[0];
    place_ = place;
    auto slices = SlicePlanes(spec_, place.layers, place.heads);
    ASSERT_TRUE(slices.ok()) << slices.status().ToString();
    slices_ = *std::move(slices);
  }

  // The frames of all stages; views_ are theirs.
  void Encode(KvKind kind) {
    KvRows rows(slices_, place_.token_count);
    rows.Fill(kind, 7, place_.first_token);
    const Codec& codec = *CodecOf(GetParam());
    auto frames = EncodeFrames(codec, profile_.get(), InfoOf(spec_, place_),
                               slices_, rows, options_.get());
    ASSERT_TRUE(frames.ok()) << frames.status().ToString();
    frames_ = *std::move(frames);
    views_.assign(frames_.size(), {});
    for (size_t k = 0; k < frames_.size(); ++k) {
      ASSERT_TRUE(ParseFrame(frames_[k], &views_[k]).ok());
    }
  }

  // The first `stages` frames, on the device, with slack that says nothing.
  void UploadFrames(uint32_t stages) {
    uploaded_.clear();
    for (uint32_t k = 0; k < stages; ++k) {
      // No better aligned than a frame has to be.
      Bytes bytes(kFrameAlignment + frames_[k].size() + kGpuSlackBytes, 0xee);
      std::copy(frames_[k].begin(), frames_[k].end(),
                bytes.begin() + kFrameAlignment);
      auto buffer =
          DeviceBuffer::Make(TestDevice(), GpuMemory::kDevice, bytes.size());
      ASSERT_TRUE(buffer.ok()) << buffer.status().ToString();
      uploaded_.push_back(*std::move(buffer));
      Write(uploaded_[k].data(), bytes);
    }
  }
  uint8_t* DeviceFrame(uint32_t k) {
    return uploaded_[k].data() + kFrameAlignment;
  }
  void Write(uint8_t* to, ByteView bytes) {
    ASSERT_TRUE(TestDevice()
                    ->CopyToDevice(to, bytes.data(), bytes.size(), nullptr)
                    .ok());
    ASSERT_TRUE(TestDevice()->Drain(nullptr).ok());
  }

  Result<uint32_t> Plan(uint32_t stages, std::span<const GpuRows> rows,
                        uint32_t token_count, TokenMask* kept = nullptr) {
    std::vector<const FrameView*> views;
    std::vector<const uint8_t*> device_frames;
    for (uint32_t k = 0; k < stages; ++k) {
      views.push_back(&views_[k]);
      device_frames.push_back(DeviceFrame(k));
    }
    const GpuDecodeRequest request{.frames = views,
                                   .device_frames = device_frames,
                                   .slices = slices_,
                                   .rows = rows,
                                   .token_count = token_count,
                                   .profile = gpu_profile_.get(),
                                   .kept = kept};
    return FindGpuCodec(GetParam().id)->Plan(request, plan_.get());
  }

  // Decodes what is uploaded; the damage that kernels saw.
  uint32_t Decode(uint32_t stages, GpuSink* sink, uint32_t token_count) {
    plan_->Clear();
    const Result<uint32_t> unit = Plan(stages, sink->rows(), token_count);
    EXPECT_TRUE(unit.ok()) << unit.status().ToString();
    return unit.ok() ? Launch(*unit, sink) : UINT32_MAX;
  }
  // What is planned.
  uint32_t Launch(uint32_t unit, GpuSink* sink) {
    EXPECT_TRUE(plan_->Launch(nullptr).ok());
    const Status done = plan_->Synchronize();
    EXPECT_TRUE(done.ok()) << done.ToString();
    EXPECT_TRUE(sink->Fetch().ok());
    return plan_->damage(unit);
  }

  void ExpectSame(const GpuSink& sink, const KvRows& wanted,
                  uint32_t token_count) {
    for (size_t i = 0; i < slices_.size(); ++i) {
      const GpuRows& rows = sink.rows()[i];
      const uint64_t head = uint64_t{rows.dim} * rows.element_bytes;
      for (uint32_t t = 0; t < token_count; ++t) {
        const ByteView row = wanted.RowView(i, t).subspan(
            rows.head_first * head, rows.head_count * head);
        ASSERT_TRUE(BytesEqual(sink.Row(i, t), row))
            << "slice " << i << " token " << t;
      }
    }
  }

  // What the CPU makes of the first `stages` frames, in `shape`'s layout.
  void ExpectCpuBits(uint32_t stages, const GpuSink::Shape& shape) {
    KvRows wanted(slices_, place_.token_count);
    ASSERT_EQ(
        DecodeFrames(profile_.get(), spec_, std::span(frames_).first(stages),
                     shape.token_count, &wanted)
            .ToString(),
        "OK");
    GpuSink sink(TestDevice(), slices_, shape);
    ASSERT_TRUE(sink.status().ok()) << sink.status().ToString();
    ASSERT_EQ(Decode(stages, &sink, shape.token_count), 0u);
    ExpectSame(sink, wanted, shape.token_count);
    EXPECT_TRUE(sink.GuardsAreWhole(shape.token_count));
  }

  static constexpr uint64_t kMaxPosition = 1 << 14;

  std::shared_ptr<const CodecOptions> options_;
  std::unique_ptr<DecodePlan> plan_;
  ModelSpec spec_;
  FramePlace place_;
  std::shared_ptr<const CodecProfile> profile_;
  std::shared_ptr<const GpuProfile> gpu_profile_;
  std::vector<PlaneSlice> slices_;
  std::vector<Bytes> frames_;
  std::vector<FrameView> views_;
  std::vector<DeviceBuffer> uploaded_;
};

TEST_P(GpuConformanceTest, GivesTheCpusBitsForEveryModelLayoutAndStage) {
  for (const NamedModel& model : AllTestModels()) {
    uint32_t turn = 0;
    for (const uint16_t tokens : {uint16_t{64}, uint16_t{17}, uint16_t{1}}) {
      for (const KvKind kind :
           {KvKind::kTypical, KvKind::kSpecials, KvKind::kConstant}) {
        SCOPED_TRACE(model.name + ", " + std::string(KvKindName(kind)) + ", " +
                     std::to_string(tokens) + " tokens");
        Use(model.spec, {.first_token = 128, .token_count = tokens});
        Encode(kind);
        if (HasFatalFailure()) return;
        const auto stages = static_cast<uint32_t>(frames_.size());
        UploadFrames(stages);
        for (uint32_t k = 1; k <= stages; ++k) {
          const GpuLayout layout =
              kAllGpuLayouts[turn++ % std::size(kAllGpuLayouts)];
          SCOPED_TRACE(std::string(GpuLayoutName(layout)) + ", " +
                       std::to_string(k) + " stages");
          ExpectCpuBits(k, {.layout = layout, .token_count = tokens});
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(GpuConformanceTest, WritesOnlyTheHeadsAndTokensThatAreWanted) {
  for (const GpuLayout layout : kAllGpuLayouts) {
    SCOPED_TRACE(GpuLayoutName(layout));
    Use(SmolModel(), {.first_token = 64, .token_count = 64});
    Encode(KvKind::kTypical);
    if (HasFatalFailure()) return;
    const auto stages = static_cast<uint32_t>(frames_.size());
    UploadFrames(stages);
    ExpectCpuBits(stages, {.layout = layout,
                           .token_count = 33,
                           .heads = {.skip = 1, .count = 1}});
    if (HasFatalFailure()) return;
  }
}

TEST_P(GpuConformanceTest, GivesTheCpusBitsForOddShapes) {
  for (const uint32_t heads : {1u, 3u}) {
    for (const uint32_t dim : {1u, 2u, 31u, 33u, 80u, 129u}) {
      SCOPED_TRACE(std::to_string(heads) + " x " + std::to_string(dim));
      Use(PlainModel("odd", 2, heads, dim, DType::kBf16), {.token_count = 5});
      Encode(KvKind::kTypical);
      if (HasFatalFailure()) return;
      const auto stages = static_cast<uint32_t>(frames_.size());
      UploadFrames(stages);
      ExpectCpuBits(stages, {.layout = GpuLayout::kPagedHnd, .token_count = 5});
      if (HasFatalFailure()) return;
    }
  }
}

// With rows that can be moved many bytes at a time.
TEST_P(GpuConformanceTest, GivesTheCpusBitsForEveryFloat) {
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const uint32_t dim : {64u, 80u}) {
      SCOPED_TRACE(std::string(DTypeName(dtype)) + ", " + std::to_string(dim));
      Use(PlainModel("floats", 2, 3, dim, dtype), {.token_count = 64});
      Encode(KvKind::kTypical);
      if (HasFatalFailure()) return;
      const auto stages = static_cast<uint32_t>(frames_.size());
      UploadFrames(stages);
      ExpectCpuBits(stages,
                    {.layout = GpuLayout::kPagedNhd, .token_count = 64});
      if (HasFatalFailure()) return;
    }
  }
}

// Other bytes on the device than those that were checked: nothing outside of
// the rows is written, and nothing outside of the frame is read (ASan).
TEST_P(GpuConformanceTest, GoesNotAstrayWhateverTheBytesAre) {
  Use(TinyModel(), {.first_token = 64, .token_count = 64});
  Encode(KvKind::kTypical);
  if (HasFatalFailure()) return;
  const auto stages = static_cast<uint32_t>(frames_.size());
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    UploadFrames(stages);
    const size_t k = random.Below(stages);
    const FrameSection& section =
        views_[k].sections[random.Below(views_[k].sections.size())];
    if (section.bytes == 0) continue;
    Bytes bytes(views_[k].Section(section).begin(),
                views_[k].Section(section).end());
    if (random.OneIn(3)) {
      random.Fill(bytes);
    } else {
      bytes[random.Below(bytes.size())] ^=
          static_cast<uint8_t>(1 + random.Below(255));
    }
    Write(DeviceFrame(k) + section.offset, bytes);
    GpuSink sink(TestDevice(), slices_,
                 {.layout = GpuLayout::kPagedNhd, .token_count = 64});
    (void)Decode(stages, &sink, 64);
    ASSERT_TRUE(sink.GuardsAreWhole(64));
  }
}

// Frames that a wrong encoder could have made: what the CPU refuses is refused
// by the planner, in the same way, or seen by a kernel.
TEST_P(GpuConformanceTest, RefusesWhatTheCpuRefuses) {
  Use(TinyModel(), {.first_token = 64, .token_count = 64});
  Encode(KvKind::kTypical);
  if (HasFatalFailure()) return;
  const std::vector<Bytes> whole = frames_;
  const auto stages = static_cast<uint32_t>(frames_.size());
  Random random(9);
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    frames_ = whole;
    const size_t k = random.Below(stages);
    const FrameSection& section =
        views_[k].sections[random.Below(views_[k].sections.size())];
    if (section.bytes == 0) continue;
    // Its first bytes are headers more often than not.
    const uint64_t among = random.OneIn(2) ? section.bytes : 32;
    const uint64_t at = random.Below(std::min<uint64_t>(among, section.bytes));
    frames_[k][section.offset + at] ^=
        static_cast<uint8_t>(1 + random.Below(255));
    ResealFrame(frames_[k]);
    for (uint32_t s = 0; s < stages; ++s) {
      ASSERT_TRUE(ParseFrame(frames_[s], &views_[s]).ok());
    }
    KvRows wanted(slices_, 64);
    const Status cpu =
        DecodeFrames(profile_.get(), spec_, frames_, 64, &wanted);
    UploadFrames(stages);
    GpuSink sink(TestDevice(), slices_, {.token_count = 64});
    plan_->Clear();
    const Result<uint32_t> unit = Plan(stages, sink.rows(), 64);
    if (!unit.ok()) {
      ASSERT_EQ(unit.status().code(), cpu.code()) << unit.status().ToString();
      ASSERT_TRUE(plan_->is_empty());
      continue;
    }
    ASSERT_EQ(Launch(*unit, &sink) == 0, cpu.ok()) << cpu.ToString();
    if (cpu.ok()) ExpectSame(sink, wanted, 64);
    if (HasFatalFailure()) return;
  }
}

TEST_P(GpuConformanceTest, ZeroesAndTellsWhatAFrameLacks) {
  if (!CodecOf(GetParam())->can_drop_tokens()) return;
  constexpr TokenMask kKept = 0xf0ff'00f0'1234'fff2;
  for (const ModelSpec& spec : {SmolModel(), TinyModel()}) {
    Use(spec, {.first_token = 64, .token_count = 64});
    KvRows rows(slices_, 64);
    rows.Fill(KvKind::kTypical, 7, 64);
    auto frame =
        EncodeFrame(*CodecOf(GetParam()), profile_.get(), InfoOf(spec_, place_),
                    slices_, rows, options_.get(), kKept);
    ASSERT_TRUE(frame.ok()) << frame.status().ToString();
    frames_ = {*std::move(frame)};
    views_.assign(1, {});
    ASSERT_TRUE(ParseFrame(frames_[0], &views_[0]).ok());
    UploadFrames(1);
    KvRows wanted(slices_, 64);
    TokenMask wanted_kept = kAllTokens;
    ASSERT_TRUE(DecodeFrame(profile_.get(), spec_, frames_[0], 60, &wanted,
                            &wanted_kept)
                    .ok());
    GpuSink sink(TestDevice(), slices_,
                 {.layout = GpuLayout::kPagedNhd, .token_count = 60});
    plan_->Clear();
    EXPECT_EQ(Plan(1, sink.rows(), 60).status().code(),
              StatusCode::kFailedPrecondition);
    EXPECT_TRUE(plan_->is_empty());
    TokenMask kept = kAllTokens;
    const Result<uint32_t> unit = Plan(1, sink.rows(), 60, &kept);
    ASSERT_TRUE(unit.ok()) << unit.status().ToString();
    EXPECT_EQ(kept, wanted_kept);
    EXPECT_EQ(kept, kKept);
    EXPECT_EQ(Launch(*unit, &sink), 0u);
    ExpectSame(sink, wanted, 60);
    EXPECT_TRUE(sink.GuardsAreWhole(60));
  }
}

TEST_P(GpuConformanceTest, ABatchOfManyFramesIsOneLaunchAKernel) {
  Use(TinyModel(), {.token_count = 64});
  Encode(KvKind::kTypical);
  if (HasFatalFailure()) return;
  const auto stages = static_cast<uint32_t>(frames_.size());
  UploadFrames(stages);
  KvRows wanted(slices_, 64);
  ASSERT_TRUE(DecodeFrames(profile_.get(), spec_, frames_, 64, &wanted).ok());
  std::vector<std::unique_ptr<GpuSink>> sinks;
  plan_->Clear();
  for (int i = 0; i < 20; ++i) {
    sinks.push_back(std::make_unique<GpuSink>(
        TestDevice(), slices_, GpuSink::Shape{.token_count = 64}));
    ASSERT_TRUE(Plan(stages, sinks.back()->rows(), 64).ok());
  }
  ASSERT_TRUE(plan_->Launch(nullptr, 3).ok());
  ASSERT_TRUE(plan_->Synchronize().ok());
  for (uint32_t i = 0; i < sinks.size(); ++i) {
    EXPECT_EQ(plan_->damage(i), 0u);
    ASSERT_TRUE(sinks[i]->Fetch().ok());
    ExpectSame(*sinks[i], wanted, 64);
  }
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, GpuConformanceTest,
                         testing::ValuesIn(AllCases()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace reprise
