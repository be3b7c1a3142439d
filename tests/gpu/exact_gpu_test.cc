// What is of `exact` alone on a device: that it sees the damage which the CPU
// decoder sees, and how its tasks are put together. gpu_conformance_test.cc and
// gpu_encode_test.cc have the rest.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "codec/exact_own_tables.h"
#include "codec/exact_split.h"
#include "gpu/decode_plan.h"
#include "gpu/gpu_codec.h"
#include "tests/support/codec_cases.h"
#include "tests/support/codec_frames.h"
#include "tests/support/gpu_sink.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

class ExactGpuTest : public testing::TestWithParam<bool> {
 protected:
  // A frame with or without a profile, of the first layers of a model.
  void Encode(const ModelSpec& spec, KvKind kind = KvKind::kTypical) {
    spec_ = spec;
    for (const CodecCase& codec_case : CodecCases()) {
      if (codec_case.id != CodecId::kExact) continue;
      if ((codec_case.fit != nullptr) != GetParam()) continue;
      auto profile = ProfileOf(codec_case, spec);
      ASSERT_TRUE(profile.ok()) << profile.status().ToString();
      profile_ = *profile;
    }
    ASSERT_EQ(profile_ != nullptr, GetParam());
    const FramePlace place{.layers = LayerGroupsOf(spec)[0], .first_token = 64};
    auto slices = SlicePlanes(spec_, place.layers, place.heads);
    ASSERT_TRUE(slices.ok()) << slices.status().ToString();
    slices_ = *std::move(slices);
    KvRows rows(slices_, 64);
    rows.Fill(kind, 7, 64);
    auto frame = EncodeFrame(*FindCodec(CodecId::kExact), profile_.get(),
                             InfoOf(spec_, place), slices_, rows);
    ASSERT_TRUE(frame.ok()) << frame.status().ToString();
    frame_ = *std::move(frame);
    ASSERT_TRUE(ParseFrame(frame_, &view_).ok());
    if (profile_ != nullptr) {
      auto uploaded = FindGpuCodec(CodecId::kExact)
                          ->Upload(profile_, 1 << 14, TestDevice());
      ASSERT_TRUE(uploaded.ok()) << uploaded.status().ToString();
      gpu_profile_ = *uploaded;
    }
    auto plan = DecodePlan::Make(TestDevice(), {});
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    plan_ = *std::move(plan);
  }

  // The damage that the device sees when the frame that was parsed has these
  // bytes there; UINT32_MAX when something else went wrong.
  uint32_t DamageOf(const Bytes& bytes, GpuSink* sink) {
    auto device_frame = DeviceBuffer::Upload(TestDevice(), bytes);
    EXPECT_TRUE(device_frame.ok()) << device_frame.status().ToString();
    if (!device_frame.ok()) return UINT32_MAX;
    const FrameView* const views[] = {&view_};
    const uint8_t* const device_frames[] = {device_frame->data()};
    plan_->Clear();
    const Result<uint32_t> unit =
        FindGpuCodec(CodecId::kExact)
            ->Plan({.frames = views,
                    .device_frames = device_frames,
                    .slices = slices_,
                    .rows = sink->rows(),
                    .token_count = sink->rows()[0].token_count,
                    .profile = gpu_profile_.get()},
                   plan_.get());
    EXPECT_TRUE(unit.ok()) << unit.status().ToString();
    if (!unit.ok()) return UINT32_MAX;
    EXPECT_TRUE(plan_->Launch(nullptr).ok());
    EXPECT_TRUE(plan_->Synchronize().ok());
    return plan_->damage(*unit);
  }

  // The states and words of a section of mode kExactRans.
  MutableByteView CodedOf(const FrameSection& section, Bytes* bytes) const {
    const uint64_t head =
        profile_ != nullptr ? 0 : ExactOwnStreamBytes(section.channel_count);
    const uint64_t states = std::min(section.channel_count, kExactLanes);
    return MutableByteView(*bytes).subspan(section.offset + head,
                                           4 * states + 2 * section.words);
  }

  // Flips bits of states and words, one at a time: how often the CPU and the
  // device both saw it.
  void FlipBits(int rounds, uint32_t* damaged) {
    Random random(11);
    for (int round = 0; round < rounds; ++round) {
      SCOPED_TRACE(round);
      const FrameSection& section =
          view_.sections[random.Below(view_.sections.size())];
      if (section.mode != kExactRans) continue;
      Bytes bytes = frame_;
      const MutableByteView coded = CodedOf(section, &bytes);
      coded[random.Below(coded.size())] ^=
          static_cast<uint8_t>(1u << random.Below(8));
      ResealFrame(bytes);
      for (const uint32_t tokens : {64u, 9u}) {
        ExpectSameVerdict(bytes, tokens, damaged);
        if (HasFatalFailure()) return;
      }
    }
  }

  void ExpectSameVerdict(const Bytes& bytes, uint32_t tokens,
                         uint32_t* damaged) {
    KvRows wanted(slices_, 64);
    const Status on_cpu =
        DecodeFrame(profile_.get(), spec_, bytes, tokens, &wanted);
    GpuSink sink(TestDevice(), slices_, {.token_count = tokens});
    const uint32_t damage = DamageOf(bytes, &sink);
    ASSERT_EQ(damage != 0, !on_cpu.ok()) << on_cpu.ToString();
    *damaged += damage != 0;
    if (damage != 0) return;
    ASSERT_TRUE(sink.Fetch().ok());
    for (size_t i = 0; i < slices_.size(); ++i) {
      for (uint32_t t = 0; t < tokens; ++t) {
        ASSERT_TRUE(BytesEqual(sink.Row(i, t), wanted.RowView(i, t)));
      }
    }
  }

  ModelSpec spec_;
  std::shared_ptr<const CodecProfile> profile_;
  std::shared_ptr<const GpuProfile> gpu_profile_;
  std::vector<PlaneSlice> slices_;
  Bytes frame_;
  FrameView view_;
  std::unique_ptr<DecodePlan> plan_;
};

TEST_P(ExactGpuTest, SeesTheDamageThatTheCpuSees) {
  uint32_t damaged = 0;
  for (const KvKind kind : {KvKind::kTypical, KvKind::kSpecials}) {
    SCOPED_TRACE(KvKindName(kind));
    Encode(TinyModel(), kind);
    if (HasFatalFailure()) return;
    FlipBits(200, &damaged);
    if (HasFatalFailure()) return;
  }
  // A flip beyond the first tokens is not seen by who wants only those.
  EXPECT_GT(damaged, 150u);
}

TEST_P(ExactGpuTest, SeesAStateThatIsTooLow) {
  Encode(TinyModel());
  if (HasFatalFailure()) return;
  for (const FrameSection& section : view_.sections) {
    if (section.mode != kExactRans) continue;
    Bytes bytes = frame_;
    StoreLe<uint32_t>(CodedOf(section, &bytes).data() + 4 * 5,
                      kExactLowState - 1);
    GpuSink sink(TestDevice(), slices_, {.token_count = 1});
    EXPECT_NE(DamageOf(bytes, &sink), 0u);
  }
}

// The parts of the frame that nobody wants cost nothing.
TEST_P(ExactGpuTest, AddsNoTasksForHeadsAndPlanesThatAreNotWanted) {
  Encode(GqaModel());
  if (HasFatalFailure()) return;
  // 8 heads of 128: four streams of 2 heads each, for keys and for values.
  GpuSink sink(TestDevice(), slices_,
               {.token_count = 64, .heads = {.skip = 3, .count = 2}});
  ASSERT_EQ(DamageOf(frame_, &sink), 0u);
  EXPECT_EQ(plan_->ListOf<ExactDecodeKernel>().size(), 2 * 2u);
  GpuSink all(TestDevice(), slices_, {.token_count = 64});
  ASSERT_EQ(DamageOf(frame_, &all), 0u);
  const auto& tasks = plan_->ListOf<ExactDecodeKernel>();
  EXPECT_EQ(tasks.size(), 2 * 4u);
  for (size_t i = 1; i < tasks.size(); ++i) {
    EXPECT_LE(tasks[i - 1].tables, tasks[i].tables);
  }
}

INSTANTIATE_TEST_SUITE_P(Profiles, ExactGpuTest, testing::Bool(),
                         [](const auto& tested) {
                           return tested.param ? "With" : "Without";
                         });

}  // namespace
}  // namespace reprise
