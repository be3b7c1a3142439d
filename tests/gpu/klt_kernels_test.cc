// The kernels of `klt` at the limits of its format: q as large as they may be
// and larger, sums at their caps, the widest group, tails, and positions whose
// angles a device has no table of. gpu_conformance_test.cc has the rest.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "codec/klt_codec.h"
#include "gpu/decode_plan.h"
#include "gpu/gpu_codec.h"
#include "gpu/klt_entropy_kernel.h"
#include "tests/support/codec_frames.h"
#include "tests/support/gpu_sink.h"
#include "tests/support/klt_cases.h"
#include "tests/support/klt_limits.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"

namespace reprise {
namespace {

using Coefficients = std::vector<std::vector<int16_t>>;  // [token][channel]

constexpr auto kNone = static_cast<KltDamage>(0);

class KltKernelsTest : public testing::Test {
 protected:
  void Use(const ModelSpec& spec, const KltProfileParts& parts,
           const FramePlace& place, uint64_t max_tokens = 1024) {
    spec_ = spec;
    place_ = place;
    place_.layers = LayerGroupsOf(spec_)[0];
    slices_ = *SlicePlanes(spec_, place_.layers, place_.heads);
    ASSERT_EQ(CheckKltProfile(parts).ToString(), "OK");
    profile_ = *FindCodec(CodecId::kKlt)->ParseProfile(EncodeKltProfile(parts));
    auto uploaded =
        FindGpuCodec(CodecId::kKlt)->Upload(profile_, max_tokens, TestDevice());
    ASSERT_TRUE(uploaded.ok()) << uploaded.status().ToString();
    gpu_profile_ = *uploaded;
    auto plan = DecodePlan::Make(TestDevice(), {});
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    plan_ = *std::move(plan);
  }
  void UsePlain(const KltProfileParts& parts, size_t tokens) {
    Use(KltPlainChannels(parts.planes[0].dim), parts,
        {.token_count = static_cast<uint16_t>(tokens)});
  }

  // Plans and runs; what the device says of the frames.
  KltDamage Decode(std::span<const Bytes> frames, std::span<const GpuRows> rows,
                   uint32_t token_count) {
    std::vector<FrameView> parsed(frames.size());
    std::vector<const FrameView*> views;
    std::vector<DeviceBuffer> memory;
    std::vector<const uint8_t*> device_frames;
    for (size_t k = 0; k < frames.size(); ++k) {
      EXPECT_TRUE(ParseFrame(frames[k], &parsed[k]).ok());
      views.push_back(&parsed[k]);
      memory.push_back(*DeviceBuffer::Upload(TestDevice(), frames[k]));
      device_frames.push_back(memory[k].data());
    }
    plan_->Clear();
    const Result<uint32_t> unit = FindGpuCodec(CodecId::kKlt)
                                      ->Plan({.frames = views,
                                              .device_frames = device_frames,
                                              .slices = slices_,
                                              .rows = rows,
                                              .token_count = token_count,
                                              .profile = gpu_profile_.get()},
                                             plan_.get());
    EXPECT_TRUE(unit.ok()) << unit.status().ToString();
    if (!unit.ok()) return KltDamage::kStream;
    EXPECT_TRUE(plan_->Launch(nullptr).ok());
    EXPECT_TRUE(plan_->Synchronize().ok());
    return static_cast<KltDamage>(plan_->damage(*unit));
  }

  // The first tokens, as the CPU has them; planes named by `skipped` are
  // neither wanted nor written.
  void ExpectCpuBits(std::span<const Bytes> frames, uint32_t token_count,
                     uint64_t skipped = 0) {
    KvRows wanted(slices_, place_.token_count);
    ASSERT_EQ(DecodeFrames(profile_.get(), spec_, frames, token_count, &wanted)
                  .ToString(),
              "OK");
    GpuSink sink(TestDevice(), slices_, {.token_count = token_count});
    std::vector<GpuRows> rows(sink.rows().begin(), sink.rows().end());
    for (size_t i = 0; i < rows.size(); ++i) {
      if ((skipped >> i & 1) != 0) rows[i].base = nullptr;
    }
    ASSERT_EQ(Decode(frames, rows, token_count), kNone);
    ASSERT_TRUE(sink.Fetch().ok());
    for (size_t i = 0; i < rows.size(); ++i) {
      for (uint32_t t = 0; t < token_count; ++t) {
        if (rows[i].base == nullptr) {
          for (const uint8_t byte : sink.Row(i, t)) ASSERT_EQ(byte, 0x5a);
          continue;
        }
        ASSERT_TRUE(BytesEqual(sink.Row(i, t), wanted.RowView(i, t)))
            << "slice " << i << " token " << t;
      }
    }
    EXPECT_TRUE(sink.GuardsAreWhole(token_count));
  }

  // A frame that the CPU refuses, and that the device must.
  void ExpectDamage(const Bytes& frame, KltDamage damage) {
    KvRows out(slices_, place_.token_count);
    ASSERT_TRUE(
        DecodeFrames(profile_.get(), spec_, {{frame}}, place_.token_count, &out)
            .Is(StatusCode::kDataLoss));
    GpuSink sink(TestDevice(), slices_, {.token_count = place_.token_count});
    EXPECT_EQ(Decode({{frame}}, sink.rows(), place_.token_count), damage);
    ASSERT_TRUE(sink.Fetch().ok());
    EXPECT_TRUE(sink.GuardsAreWhole(place_.token_count));
  }

  Bytes FrameOf(const Coefficients& q) const {
    return KltFrameOf(spec_, *profile_, q);
  }

  ModelSpec spec_;
  FramePlace place_;
  std::vector<PlaneSlice> slices_;
  std::shared_ptr<const CodecProfile> profile_;
  std::shared_ptr<const GpuProfile> gpu_profile_;
  std::unique_ptr<DecodePlan> plan_;
};

TEST_F(KltKernelsTest, SumsAtTheCapDecodeAndThoseAboveAreDamage) {
  UsePlain(KltIdentityParts(40), 20);
  Coefficients q(20, std::vector<int16_t>(40));
  for (const uint32_t i : {0u, 1u, 2u, 39u}) q[17][i] = 32767;
  q[17][3] = -3;
  ExpectCpuBits({{FrameOf(q)}}, 20);
  q[17][3] = -4;
  const Bytes above = FrameOf(q);
  ExpectDamage(above, KltDamage::kMagnitudes);
  // Who doesn't want that token need not add up.
  ExpectCpuBits({{above}}, 17);
}

TEST_F(KltKernelsTest, MagnitudesAboveTheLimitAreDamageWantedOrNot) {
  UsePlain(KltIdentityParts(40), 3);
  Coefficients q(3, std::vector<int16_t>(40));
  q[2][7] = -32767;
  ExpectCpuBits({{FrameOf(q)}}, 3);
  q[2][7] = -32768;  // a magnitude of 32768, and negative
  const Bytes large = FrameOf(q);
  ExpectDamage(large, KltDamage::kStream);
  GpuSink sink(TestDevice(), slices_, {.token_count = 1});
  EXPECT_EQ(Decode({{large}}, sink.rows(), 1), KltDamage::kStream);
}

// All that a limb may be, at the places where the next one starts.
TEST_F(KltKernelsTest, LimbsOfAllSizesAddUp) {
  KltProfileParts parts = KltIdentityParts(72);
  KltGroupParts& group = parts.groups[0];
  Random random(4);
  for (int8_t& entry : group.hi) {
    entry = static_cast<int8_t>(static_cast<int>(random.Below(255)) - 127);
  }
  group.lead = 64;
  group.lo.resize(uint64_t{64} * 72);
  for (int8_t& entry : group.lo) {
    entry = static_cast<int8_t>(static_cast<int>(random.Below(255)) - 127);
  }
  UsePlain(parts, 63);
  const int edges[] = {127, 128,   129,   255,   256,
                       257, 32639, 32640, 32766, 32767};
  Coefficients q(63, std::vector<int16_t>(72));
  for (uint32_t t = 0; t < 63; ++t) {
    int left = 131071;
    for (int tries = 0; tries < 6; ++tries) {
      const int edge = edges[random.Below(std::size(edges))];
      if (edge > left) continue;
      int16_t& to = q[t][random.Below(72)];
      if (to != 0) continue;
      to = static_cast<int16_t>(random.OneIn(2) ? -edge : edge);
      left -= edge;
    }
  }
  ExpectCpuBits({{FrameOf(q)}}, 63);
}

TEST_F(KltKernelsTest, TheLargestSumsAreExact) {
  const uint32_t n = 128;
  KltProfileParts parts = KltIdentityParts(n);
  KltGroupParts& group = parts.groups[0];
  group.lead = n;
  group.hi.assign(uint64_t{n} * n, 127);
  group.lo.assign(uint64_t{n} * n, -127);
  for (uint32_t i = 0; i < n; ++i) group.hi[uint64_t{i} * n + 5] = -127;
  UsePlain(parts, 2);
  Coefficients q(2, std::vector<int16_t>(n, 1024));  // sums to 131072
  q[0][77] = 1023;
  q[1][77] = 1023;
  for (int16_t& of : q[1]) of = static_cast<int16_t>(-of);
  ExpectCpuBits({{FrameOf(q)}}, 2);
}

TEST_F(KltKernelsTest, TheWidestGroup) {
  const uint32_t n = 4096;
  KltProfileParts parts = KltIdentityParts(n);
  KltGroupParts& group = parts.groups[0];
  Random random(8);
  for (int8_t& entry : group.hi) {
    entry = static_cast<int8_t>(static_cast<int>(random.Below(255)) - 127);
  }
  group.lead = 512;
  group.lo.resize(uint64_t{group.lead} * n);
  for (int8_t& entry : group.lo) {
    entry = static_cast<int8_t>(static_cast<int>(random.Below(255)) - 127);
  }
  UsePlain(parts, 33);
  Coefficients q(33, std::vector<int16_t>(n));
  for (std::vector<int16_t>& token : q) {
    for (uint32_t j = 0; j < n; ++j) {
      if (!random.OneIn(1 + j / 8)) continue;
      token[j] =
          static_cast<int16_t>(static_cast<int>(random.Below(401)) - 200);
    }
    token[n - 1] = 1;
  }
  ExpectCpuBits({{FrameOf(q)}}, 33);
}

// Frames of all stages, as an encoder makes them.
class KltTailsTest : public KltKernelsTest {
 protected:
  std::vector<Bytes> Encode(KvKind kind, std::string_view options) {
    KvRows rows(slices_, place_.token_count);
    rows.Fill(kind, 7, place_.first_token);
    const Codec& klt = *FindCodec(CodecId::kKlt);
    const auto parsed = klt.ParseOptions(options);
    EXPECT_TRUE(parsed.ok());
    auto frames = EncodeFrames(klt, profile_.get(), InfoOf(spec_, place_),
                               slices_, rows, parsed->get());
    EXPECT_TRUE(frames.ok()) << frames.status().ToString();
    return frames.ok() ? *std::move(frames) : std::vector<Bytes>();
  }
};

TEST_F(KltTailsTest, OfEveryLengthAndAnyShareOfIt) {
  const ModelSpec spec = PlainModel("tails", 2, 3, 40, DType::kF16);
  const KltProfileParts parts = MakeKltParts(spec, {.layers = 2});
  for (const uint16_t tokens : {2, 15, 16, 17, 31, 32, 33, 48, 63}) {
    Use(spec, parts, {.token_count = tokens});
    if (HasFatalFailure()) return;
    const std::vector<Bytes> frames =
        Encode(tokens % 3 == 0 ? KvKind::kSpecials : KvKind::kTypical,
               "stages=4,shift=1");
    for (const uint32_t some : {1u, tokens / 2u, uint32_t{tokens}}) {
      SCOPED_TRACE(std::to_string(some) + " of " + std::to_string(tokens));
      ExpectCpuBits(frames, some);
      ExpectCpuBits(std::span(frames).first(2), some);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(KltTailsTest, PlanesThatNobodyWantsAreLeftAlone) {
  const ModelSpec spec = PlainModel("skipped", 4, 2, 24, DType::kBf16);
  // Two groups of two layers: of one all is wanted, of the other some or none.
  Use(spec, MakeKltParts(spec, {.layers = 2}), {.token_count = 21});
  if (HasFatalFailure()) return;
  const std::vector<Bytes> frames = Encode(KvKind::kSpecials, "tier=near");
  for (const uint64_t skipped : {0x01u, 0x0eu, 0x0fu, 0xf0u, 0xffu}) {
    SCOPED_TRACE(skipped);
    ExpectCpuBits(frames, 21, skipped);
  }
}

TEST_F(KltTailsTest, AnglesThatTheDeviceHasNoTableOfComeWithTheBatch) {
  ModelSpec spec = PlainModel("far", 2, 2, 48, DType::kF32);
  spec.rope.rotary_dims = 20;
  for (const auto pairing : {RopePairing::kAdjacent, RopePairing::kHalves}) {
    const KltProfileParts parts = MakeKltParts(spec, {.pairing = pairing});
    for (const uint32_t first : {64u, 128u, 1u << 20}) {
      SCOPED_TRACE(first);
      // The table ends inside of the first place.
      Use(spec, parts, {.first_token = first}, 100);
      if (HasFatalFailure()) return;
      ExpectCpuBits(Encode(KvKind::kTypical, "tier=coarse"), 64);
      if (HasFatalFailure()) return;
    }
  }
}

// Rows of 2 bytes in front of rows of 4: raw ones stand at odd places.
TEST_F(KltTailsTest, RawTokensOfPlanesOfSeveralTypes) {
  ModelSpec spec = PlainModel("types", 2, 1, 3, DType::kBf16);
  for (LayerSpec& layer : spec.layers) layer.planes[1].dtype = DType::kF32;
  Use(spec, MakeKltParts(spec, {.layers = 2, .raw_first = 3}),
      {.token_count = 30});
  if (HasFatalFailure()) return;
  ExpectCpuBits(Encode(KvKind::kTypical, "tier=near"), 30);
}

}  // namespace
}  // namespace reprise
