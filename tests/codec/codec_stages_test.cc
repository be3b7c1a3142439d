// What every codec promises that makes several frames of one encoding, for
// each record of StagedCodecCases().
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "codec/exact_simd.h"
#include "tests/support/allocation_count.h"
#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

class CodecStagesTest : public testing::TestWithParam<CodecCase> {
 protected:
  const Codec& codec() const { return *CodecOf(GetParam()); }
  uint32_t stages() const { return codec().stage_count(options_.get()); }

  void SetUp() override {
    auto options = OptionsOf(GetParam());
    ASSERT_TRUE(options.ok()) << options.status().ToString();
    options_ = *std::move(options);
  }

  bool Use(const ModelSpec& spec, FramePlace place) {
    if (ModelIdOf(spec) != ModelIdOf(spec_)) {
      auto profile = ProfileOf(GetParam(), spec);
      EXPECT_TRUE(profile.ok()) << profile.status().ToString();
      if (!profile.ok()) return false;
      spec_ = spec;
      profile_ = *profile;
    }
    place_ = place;
    place_.layers = LayerGroupsOf(spec_)[0];
    slices_ = *SlicePlanes(spec_, place_.layers, place_.heads);
    return true;
  }

  KvRows Rows(KvKind kind, uint64_t seed = 7) const {
    KvRows rows(slices_, place_.token_count);
    rows.Fill(kind, seed, place_.first_token);
    return rows;
  }

  std::vector<Bytes> Encode(const KvRows& rows) const {
    auto frames = EncodeFrames(codec(), profile_.get(), InfoOf(spec_, place_),
                               slices_, rows, options_.get());
    EXPECT_TRUE(frames.ok()) << frames.status().ToString();
    return frames.ok() ? *std::move(frames) : std::vector<Bytes>(stages());
  }

  Status Decode(std::span<const Bytes> frames, KvRows* rows) const {
    return DecodeFrames(profile_.get(), spec_, frames, place_.token_count,
                        rows);
  }

  // Each prefix is decoded, and what it gives is as the codec's page says.
  void ExpectPrefixes(KvKind kind) const {
    const KvRows rows = Rows(kind);
    const std::vector<Bytes> frames = Encode(rows);
    ASSERT_EQ(frames.size(), stages());
    for (size_t count = 1; count <= frames.size(); ++count) {
      KvRows out(slices_, place_.token_count);
      const Status status = Decode(std::span(frames).first(count), &out);
      ASSERT_EQ(status.ToString(), "OK") << count;
      EXPECT_TRUE(out.GuardsAreWhole(place_.token_count));
      FrameView view;
      ASSERT_TRUE(ParseFrame(frames[0], &view).ok());
      for (size_t i = 0; i < slices_.size(); ++i) {
        const CodedSlice coded{.frame = view,
                               .index = i,
                               .slice = slices_[i],
                               .rows = rows,
                               .decoded = out,
                               .token_count = place_.token_count};
        ASSERT_EQ(GetParam().problem(coded), "") << count << ", slice " << i;
      }
    }
  }

  std::shared_ptr<const CodecOptions> options_;
  ModelSpec spec_;
  FramePlace place_;
  std::vector<PlaneSlice> slices_;
  std::shared_ptr<const CodecProfile> profile_;
};

TEST_P(CodecStagesTest, EveryPrefixDecodes) {
  for (const NamedModel& model : AllTestModels()) {
    for (const uint16_t tokens : {uint16_t{64}, uint16_t{17}, uint16_t{1}}) {
      for (const KvKind kind : kAllKvKinds) {
        SCOPED_TRACE(model.name + ", " + std::string(KvKindName(kind)) + ", " +
                     std::to_string(tokens));
        ASSERT_TRUE(Use(model.spec, {.token_count = tokens}));
        ExpectPrefixes(kind);
      }
    }
  }
}

TEST_P(CodecStagesTest, EveryPrefixOfOddShapesDecodes) {
  for (const uint32_t heads : {1u, 3u, 7u}) {
    for (const uint32_t dim : {1u, 2u, 31u, 33u, 80u, 129u}) {
      SCOPED_TRACE(std::to_string(heads) + " x " + std::to_string(dim));
      const ModelSpec spec = PlainModel("odd", 2, heads, dim, DType::kF16);
      ASSERT_TRUE(Use(spec, {.first_token = 128, .token_count = 5}));
      ExpectPrefixes(KvKind::kTypical);
      ExpectPrefixes(KvKind::kSpecials);
    }
  }
}

TEST_P(CodecStagesTest, FramesNameThemselvesAndDifferInTheirStageAlone) {
  ASSERT_TRUE(Use(GqaModel(), {.first_token = 1024, .token_count = 63}));
  const std::vector<Bytes> frames = Encode(Rows(KvKind::kTypical));
  ASSERT_EQ(frames.size(), stages());
  for (size_t k = 0; k < frames.size(); ++k) {
    FrameView view;
    ASSERT_EQ(ParseFrame(frames[k], &view).ToString(), "OK");
    FrameInfo wanted = InfoOf(spec_, place_);
    wanted.codec = codec().id();
    wanted.stage = static_cast<uint8_t>(k);
    wanted.profile = profile_->id();
    wanted.raw_bytes = RawBytesOf(slices_, 63);
    EXPECT_EQ(view.info, wanted) << k;
  }
}

TEST_P(CodecStagesTest, TiersGetBetterByStage) {
  for (uint32_t k = 1; k < stages(); ++k) {
    EXPECT_LE(codec().stage_tier(k, options_.get()),
              codec().stage_tier(k - 1, options_.get()));
  }
  EXPECT_EQ(codec().stage_tier(stages() - 1, options_.get()),
            codec().tier(options_.get()));
}

TEST_P(CodecStagesTest, RefusesStagesThatAreMissingOrOutOfOrder) {
  ASSERT_TRUE(Use(TinyModel(), {}));
  const std::vector<Bytes> frames = Encode(Rows(KvKind::kTypical));
  std::vector<Bytes> wrong;
  KvRows out(slices_, 64);
  for (size_t missing = 0; missing + 1 < frames.size(); ++missing) {
    wrong = frames;
    wrong.erase(wrong.begin() + static_cast<ptrdiff_t>(missing));
    EXPECT_TRUE(Decode(wrong, &out).Is(StatusCode::kInvalidArgument));
  }
  wrong = frames;
  std::swap(wrong[0], wrong[1]);
  EXPECT_TRUE(Decode(wrong, &out).Is(StatusCode::kInvalidArgument));
  wrong = {frames[0], frames[0]};
  EXPECT_TRUE(Decode(wrong, &out).Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

TEST_P(CodecStagesTest, RefusesStagesOfTwoEncodings) {
  ASSERT_TRUE(Use(TinyModel(), {}));
  const std::vector<Bytes> frames = Encode(Rows(KvKind::kTypical));
  const std::vector<Bytes> others = Encode(Rows(KvKind::kTypical, 8));
  for (size_t other = 0; other < frames.size(); ++other) {
    std::vector<Bytes> mixed = frames;
    mixed[other] = others[other];
    KvRows out(slices_, 64);
    EXPECT_TRUE(Decode(mixed, &out).Is(StatusCode::kDataLoss)) << other;
    EXPECT_TRUE(out.GuardsAreWhole(0));
  }
}

TEST_P(CodecStagesTest, RefusesAStageOfAnotherFrame) {
  ASSERT_TRUE(Use(TinyModel(), {.token_count = 9}));
  const std::vector<Bytes> short_ones = Encode(Rows(KvKind::kTypical));
  ASSERT_TRUE(Use(TinyModel(), {}));
  std::vector<Bytes> frames = Encode(Rows(KvKind::kTypical));
  frames[1] = short_ones[1];
  KvRows out(slices_, 64);
  EXPECT_TRUE(Decode(frames, &out).Is(StatusCode::kDataLoss));
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

TEST_P(CodecStagesTest, NeverDecodesACutOrFlippedStage) {
  ASSERT_TRUE(Use(TinyModel(), {.token_count = 3}));
  const std::vector<Bytes> frames = Encode(Rows(KvKind::kTypical));
  KvRows out(slices_, 3);
  for (size_t k = 0; k < frames.size(); ++k) {
    std::vector<Bytes> changed = frames;
    for (size_t size = 0; size < frames[k].size(); ++size) {
      changed[k].assign(frames[k].begin(),
                        frames[k].begin() + static_cast<ptrdiff_t>(size));
      ASSERT_TRUE(Decode(changed, &out).Is(StatusCode::kDataLoss)) << size;
    }
    changed[k] = frames[k];
    for (uint8_t& byte : changed[k]) {
      for (const uint8_t mask : {0x01, 0x80, 0xff}) {
        byte ^= mask;
        ASSERT_TRUE(Decode(changed, &out).Is(StatusCode::kDataLoss));
        byte ^= mask;
      }
    }
  }
  EXPECT_TRUE(out.GuardsAreWhole(0));
}

// A byte of a section is changed and all checksums made right: what a wrong
// encoder writes. The streams check themselves, so hardly one passes.
TEST_P(CodecStagesTest, SurvivesWrongEncoders) {
  ASSERT_TRUE(Use(TinyModel(), {.token_count = 20}));
  const std::vector<Bytes> frames = Encode(Rows(KvKind::kSpecials));
  Random random(3);
  uint32_t refused = 0;
  constexpr uint32_t kTries = 2000;
  for (uint32_t i = 0; i < kTries; ++i) {
    std::vector<Bytes> changed = frames;
    const size_t k = random.Below(frames.size());
    FrameView view;
    ASSERT_TRUE(ParseFrame(frames[k], &view).ok());
    const FrameSection& section = view.sections[0];
    const uint64_t at = section.offset + random.Below(section.bytes);
    changed[k][at] ^= static_cast<uint8_t>(1 + random.Below(255));
    ResealFrame(changed[k]);
    // What the later stages lean on is given its new checksum too.
    for (size_t next = k + 1; next < frames.size(); ++next) {
      FrameView below;
      ASSERT_TRUE(ParseFrame(changed[next - 1], &below).ok());
      ASSERT_TRUE(ParseFrame(frames[next], &view).ok());
      StoreLe(changed[next].data() + view.sections[0].offset + 4,
              static_cast<uint32_t>(below.sections[0].checksum));
      ResealFrame(changed[next]);
    }
    KvRows out(slices_, 20);
    const Status status = Decode(changed, &out);
    EXPECT_TRUE(status.ok() || status.Is(StatusCode::kDataLoss))
        << status.ToString();
    EXPECT_TRUE(out.GuardsAreWhole(20));
    refused += !status.ok();
  }
  EXPECT_GT(refused, kTries * 9 / 10);
}

TEST_P(CodecStagesTest, AllocatesNothingOnceWarm) {
  ASSERT_TRUE(Use(MixedModel(), {}));
  const KvRows rows = Rows(KvKind::kTypical);
  KvRows out(slices_, 64);
  const std::vector<ConstPlaneRows> views = rows.Const();
  const std::vector<PlaneRows> targets = out.Mutable();
  const EncodeRequest encode{.info = InfoOf(spec_, place_),
                             .slices = slices_,
                             .rows = views,
                             .profile = profile_.get(),
                             .options = options_.get()};
  const DecodeRequest decode{.slices = slices_,
                             .rows = targets,
                             .token_count = 64,
                             .profile = profile_.get()};
  CodecScratch scratch;
  std::vector<FrameBuilder> builders(stages());
  std::vector<FrameView> frames(stages());
  std::vector<FrameBuilder*> builder_pointers;
  std::vector<const FrameView*> frame_pointers;
  for (uint32_t k = 0; k < stages(); ++k) {
    builder_pointers.push_back(&builders[k]);
    frame_pointers.push_back(&frames[k]);
  }
  for (const bool warm : {false, true}) {
    const uint64_t before = AllocationCount();
    ASSERT_TRUE(codec().EncodeStages(encode, &scratch, builder_pointers).ok());
    for (uint32_t k = 0; k < stages(); ++k) {
      const Result<ByteView> bytes = builders[k].Finish();
      ASSERT_TRUE(bytes.ok());
      ASSERT_TRUE(ParseFrame(*bytes, &frames[k]).ok());
    }
    ASSERT_TRUE(codec().DecodeStages(frame_pointers, decode, &scratch).ok());
    const uint64_t count = AllocationCount() - before;
    EXPECT_EQ(count == 0, warm) << count;
  }
}

TEST_P(CodecStagesTest, EveryInstructionSetReadsTheSame) {
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const KvKind kind : kAllKvKinds) {
      SCOPED_TRACE(std::string(DTypeName(dtype)) + ", " +
                   std::string(KvKindName(kind)));
      ASSERT_TRUE(Use(PlainModel("sets", 2, 3, 80, dtype), {}));
      const std::vector<Bytes> frames = Encode(Rows(kind));
      KvRows wanted(slices_, 64);
      ASSERT_EQ(Decode(frames, &wanted).ToString(), "OK");
      for (const int64_t target : ExactTargets()) {
        ChooseExactTarget(target);
        KvRows out(slices_, 64);
        const std::vector<Bytes> again = Encode(Rows(kind));
        const Status status = Decode(frames, &out);
        ChooseExactTarget(0);
        ASSERT_EQ(status.ToString(), "OK") << ExactTargetName(target);
        EXPECT_EQ(out.Packed(), wanted.Packed()) << ExactTargetName(target);
        EXPECT_EQ(Decode(again, &out).ToString(), "OK");
      }
    }
  }
}

TEST_P(CodecStagesTest, RefusesAnotherNumberOfBuilders) {
  ASSERT_TRUE(Use(TinyModel(), {}));
  const KvRows rows = Rows(KvKind::kTypical);
  const std::vector<ConstPlaneRows> views = rows.Const();
  const EncodeRequest request{.info = InfoOf(spec_, place_),
                              .slices = slices_,
                              .rows = views,
                              .profile = profile_.get(),
                              .options = options_.get()};
  CodecScratch scratch;
  FrameBuilder builder;
  EXPECT_TRUE(codec()
                  .Encode(request, &scratch, &builder)
                  .Is(StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(StagedCodecs, CodecStagesTest,
                         testing::ValuesIn(StagedCodecCases()),
                         [](const testing::TestParamInfo<CodecCase>& of) {
                           return of.param.name;
                         });

}  // namespace
}  // namespace reprise
