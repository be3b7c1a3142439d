#include "codec/vector_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codec/float_element.h"
#include "codec/float_rows.h"
#include "codec/vector_kernel.h"
#include "codec/vector_profile.h"
#include "tests/support/codec_frames.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/vector_cases.h"

namespace reprise {
namespace {

// A frame of both codecs with given options, and what it came from.
struct Coded {
  ModelSpec spec;
  std::shared_ptr<const CodecProfile> profile;
  std::shared_ptr<const CodecOptions> options;
  std::vector<PlaneSlice> slices;
  FramePlace place;
  Bytes frame;
  FrameView view;
  std::unique_ptr<KvRows> rows;
  std::unique_ptr<KvRows> decoded;
  VectorFrameStats stats;

  // The relative squared error of a token-head.
  double ErrorOf(size_t slice, uint32_t token, uint32_t head) const {
    const DType dtype = slices[slice].spec->dtype;
    const uint32_t dim = slices[slice].spec->dim;
    std::vector<float> x(dim);
    std::vector<float> y(dim);
    const uint64_t at = uint64_t{head} * dim * DTypeBytes(dtype);
    LoadFloatsScalar(dtype, rows->RowView(slice, token).data() + at, dim,
                     x.data());
    LoadFloatsScalar(dtype, decoded->RowView(slice, token).data() + at, dim,
                     y.data());
    return VectorRowError(x.data(), y.data(), dim).relative();
  }
  std::vector<double> Errors() const {
    std::vector<double> errors;
    for (size_t s = 0; s < slices.size(); ++s) {
      for (uint32_t t = 0; t < place.token_count; ++t) {
        for (uint32_t h = 0; h < slices[s].head_count; ++h) {
          errors.push_back(ErrorOf(s, t, h));
        }
      }
    }
    return errors;
  }
};

class VectorCodecTest : public testing::TestWithParam<CodecId> {
 protected:
  const Codec& codec() const { return *FindCodec(GetParam()); }

  void Encode(const std::string& shape, const std::string& choice,
              Coded* coded) {
    const Result<Bytes> profile = TrainVectors(GetParam(), shape, coded->spec);
    ASSERT_TRUE(profile.ok()) << profile.status().ToString();
    auto parsed = codec().ParseProfile(*profile);
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    coded->profile = *parsed;
    auto options = codec().ParseOptions(choice);
    ASSERT_TRUE(options.ok()) << options.status().ToString();
    coded->options = *options;
    coded->place.layers = LayerGroupsOf(coded->spec)[0];
    auto slices =
        SlicePlanes(coded->spec, coded->place.layers, coded->place.heads);
    ASSERT_TRUE(slices.ok());
    coded->slices = *std::move(slices);
    coded->rows =
        std::make_unique<KvRows>(coded->slices, coded->place.token_count);
    coded->rows->Fill(KvKind::kTypical, 7, coded->place.first_token);
    Code(coded);
  }

  void Code(Coded* coded) {
    auto frame = EncodeFrame(codec(), coded->profile.get(),
                             InfoOf(coded->spec, coded->place), coded->slices,
                             *coded->rows, coded->options.get());
    ASSERT_TRUE(frame.ok()) << frame.status().ToString();
    coded->frame = *std::move(frame);
    ASSERT_TRUE(ParseFrame(coded->frame, &coded->view).ok());
    coded->decoded =
        std::make_unique<KvRows>(coded->slices, coded->place.token_count);
    ASSERT_EQ(DecodeFrame(coded->profile.get(), coded->spec, coded->frame,
                          coded->place.token_count, coded->decoded.get())
                  .ToString(),
              "OK");
    coded->stats = StatsOfVectorFrame(coded->view, coded->slices);
  }
};

constexpr char kShape[] = "centroids=16";

TEST_P(VectorCodecTest, DecodesToCentroidTimesNormRounded) {
  Coded coded;
  coded.spec = PlainModel("odd", 2, 3, 21, DType::kBf16);
  coded.place.first_token = 64;
  Encode(kShape, "", &coded);
  const auto& profile = static_cast<const VectorProfile&>(*coded.profile);
  const uint32_t block = profile.parts().shape.block;
  for (size_t s = 0; s < coded.slices.size(); ++s) {
    const VectorPlane& plane =
        *profile.FindPlane(coded.slices[s].layer, coded.slices[s].plane);
    for (uint32_t h = 0; h < 3; ++h) {
      for (uint32_t b = 0; b * block < 21; ++b) {
        const auto book = profile.book(plane, h, b);
        const uint32_t width = std::min(block, 21 - b * block);
        // The block's bytes are those of one of its 16 centroids.
        const uint8_t* at = coded.decoded->Row(s, 5) + (h * 21 + b * block) * 2;
        bool found = false;
        for (uint32_t c = 0; c < 16 && !found; ++c) {
          Bytes wanted(width * 2);
          for (uint32_t j = 0; j < width; ++j) {
            const auto bits = LoadLe<uint16_t>(book.centroids +
                                               2 * (c * book.stored_width + j));
            StoreLe(&wanted[2 * j], F32ToBf16Saturated(F16ToF32(bits) *
                                                       profile.norm(plane, h)));
          }
          found = BytesEqual(wanted, ByteView(at, width * 2));
        }
        EXPECT_TRUE(found) << s << " " << h << " " << b;
      }
    }
  }
}

TEST_P(VectorCodecTest, CostsTheBitsThatThePageSays) {
  Coded coded;
  coded.spec = TinyModel();
  coded.place.first_token = 64;
  Encode(kShape, "", &coded);
  // 4 bits a block of 4 or 8 of 16 values; 64 tokens, 8 heads.
  const uint64_t row = GetParam() == CodecId::kPq ? 2 : 1;
  EXPECT_EQ(coded.frame.size(), 192 + 32 + 64 * 8 * row);
  EXPECT_EQ(coded.stats.raw_token_heads, 0u);
  EXPECT_EQ(coded.stats.token_heads, 64u * 8);
}

TEST_P(VectorCodecTest, KeepsTheFirstTokensOfASession) {
  for (const uint32_t sinks : {0u, 1u, 4u, 64u}) {
    Coded coded;
    coded.spec = TinyModel();
    Encode(std::string(kShape) + ",sinks=" + std::to_string(sinks), "", &coded);
    EXPECT_EQ(coded.stats.raw_token_heads, 8u * sinks);
    for (size_t s = 0; s < coded.slices.size(); ++s) {
      for (uint32_t t = 0; t < 64; ++t) {
        EXPECT_EQ(
            BytesEqual(coded.decoded->RowView(s, t), coded.rows->RowView(s, t)),
            t < sinks);
      }
    }
    coded.place.first_token = 64;
    Code(&coded);
    EXPECT_EQ(coded.stats.raw_token_heads, 0u);
  }
}

// Of each plane by itself: else all of it would go to the values.
TEST_P(VectorCodecTest, TheWorstShareOfEachPlaneFallsBack) {
  Coded all;
  all.spec = TinyModel();
  all.place.first_token = 64;
  Encode(kShape, "", &all);
  const std::vector<double> errors = all.Errors();
  const size_t planes = all.slices.size();
  const size_t each = errors.size() / planes;
  for (const double share : {0.0, 0.1, 0.5, 0.999, 1.0}) {
    Coded coded;
    coded.spec = all.spec;
    coded.place.first_token = 64;
    Encode(kShape, "worst=" + std::to_string(share), &coded);
    const auto wanted =
        static_cast<size_t>(share * static_cast<double>(each) + 0.5);
    EXPECT_EQ(coded.stats.raw_token_heads, wanted * planes);
    EXPECT_DOUBLE_EQ(coded.stats.raw_share(),
                     static_cast<double>(wanted) / static_cast<double>(each));
    const std::vector<double> left = coded.Errors();
    for (size_t p = 0; p < planes; ++p) {
      const auto begin = static_cast<ptrdiff_t>(p * each);
      const auto end = static_cast<ptrdiff_t>((p + 1) * each);
      std::vector<double> sorted(errors.begin() + begin, errors.begin() + end);
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      EXPECT_EQ(*std::max_element(left.begin() + begin, left.begin() + end),
                wanted < each ? sorted[wanted] : 0);
    }
  }
}

TEST_P(VectorCodecTest, SinksAreAPartOfTheWorstShare) {
  Coded coded;
  coded.spec = TinyModel();
  Encode("centroids=16,sinks=32", "worst=0.25", &coded);
  EXPECT_EQ(coded.stats.raw_share(), 0.5);
  coded.options = *codec().ParseOptions("worst=0.75");
  Code(&coded);
  EXPECT_EQ(coded.stats.raw_share(), 0.75);
}

TEST_P(VectorCodecTest, WhatIsAboveTheThresholdFallsBack) {
  Coded all;
  all.spec = TinyModel(DType::kF32);
  all.place.first_token = 64;
  Encode(kShape, "", &all);
  const std::vector<double> errors = all.Errors();
  for (const double threshold : {0.0, 0.02, 0.1, 10.0}) {
    Coded coded;
    coded.spec = all.spec;
    coded.place.first_token = 64;
    Encode(kShape, "threshold=" + std::to_string(threshold), &coded);
    const auto above =
        std::count_if(errors.begin(), errors.end(),
                      [&](double error) { return error > threshold; });
    EXPECT_EQ(coded.stats.raw_token_heads, static_cast<uint64_t>(above));
    for (const double error : coded.Errors()) EXPECT_LE(error, threshold);
  }
}

TEST_P(VectorCodecTest, ATokenHeadWithANanStaysAloneAsItIs) {
  for (const DType dtype : {DType::kF16, DType::kBf16, DType::kF32}) {
    Coded coded;
    coded.spec = TinyModel(dtype);
    coded.place.first_token = 64;
    Encode(kShape, "", &coded);
    const std::vector<uint32_t> specials = SpecialBits(dtype);
    uint32_t not_finite = 0;
    for (uint32_t t = 0; t < specials.size() && t < 64; ++t) {
      uint8_t* at = coded.rows->Row(1, t) + 20 * DTypeBytes(dtype);
      std::memcpy(at, &specials[t], DTypeBytes(dtype));
      not_finite += !std::isfinite(LoadElement(dtype, at));
    }
    Code(&coded);
    EXPECT_GT(not_finite, 2u);
    // The largest f32 overflows once divided by a small norm.
    EXPECT_GE(coded.stats.raw_token_heads, not_finite);
    EXPECT_LE(coded.stats.raw_token_heads, not_finite + 4);
    for (uint32_t t = 0; t < specials.size() && t < 64; ++t) {
      const uint8_t* at = coded.decoded->Row(1, t);
      const float y = LoadElement(dtype, at + 20 * DTypeBytes(dtype));
      const float x =
          LoadElement(dtype, coded.rows->Row(1, t) + 20 * DTypeBytes(dtype));
      EXPECT_EQ(std::isfinite(x), std::isfinite(y));
      if (std::isfinite(x)) continue;
      EXPECT_EQ(coded.ErrorOf(1, t, 0) > 0, true) << "head 0 is coded";
      EXPECT_TRUE(BytesEqual(
          coded.decoded->RowView(1, t).subspan(16 * DTypeBytes(dtype)),
          coded.rows->RowView(1, t).subspan(16 * DTypeBytes(dtype))));
    }
  }
}

TEST_P(VectorCodecTest, RefusesOptionsThatTheProfileContradicts) {
  Coded coded;
  coded.spec = TinyModel();
  Encode(kShape, kShape, &coded);
  const std::string block = GetParam() == CodecId::kPq ? "d" : "block";
  for (const std::string& text :
       {std::string("centroids=32"), block + "=2", std::string("sinks=2")}) {
    const auto options = codec().ParseOptions(text);
    ASSERT_TRUE(options.ok()) << options.status().ToString();
    const auto frame = EncodeFrame(codec(), coded.profile.get(),
                                   InfoOf(coded.spec, coded.place),
                                   coded.slices, *coded.rows, options->get());
    EXPECT_TRUE(frame.status().Is(StatusCode::kFailedPrecondition)) << text;
  }
}

TEST_P(VectorCodecTest, RefusesOptionsThatMakeNoSense) {
  for (const char* text :
       {"centroids=100", "centroids=512", "centroids=1", "sinks=65",
        "worst=1.5", "worst=-1", "threshold=-1", "worst=0.1,threshold=0.1",
        "d=17", "block=17", "d=0", "block=0", "nonsense=1"}) {
    EXPECT_TRUE(
        codec().ParseOptions(text).status().Is(StatusCode::kInvalidArgument))
        << text;
  }
}

TEST_P(VectorCodecTest, TheTierSaysWhatFellBack) {
  const auto tier = [&](const char* text) {
    return codec().tier(codec().ParseOptions(text)->get());
  };
  EXPECT_EQ(codec().tier(nullptr), Tier::kArchive);
  EXPECT_EQ(tier(""), Tier::kArchive);
  EXPECT_EQ(tier("worst=0.04"), Tier::kArchive);
  EXPECT_EQ(tier("worst=0.05"), Tier::kCoarse);
  EXPECT_EQ(tier("threshold=0.25"), Tier::kCoarse);
  EXPECT_EQ(tier("threshold=0.3"), Tier::kArchive);
}

// Masks that a wrong encoder might write.
TEST_P(VectorCodecTest, RefusesMasksThatDoNotFit) {
  Coded coded;
  coded.spec = TinyModel();
  coded.place = {.token_count = 13};
  Encode(kShape, "worst=0.5", &coded);
  ASSERT_GT(coded.stats.raw_token_heads, 0u);
  constexpr uint64_t kMasks = 192 + 32;
  for (uint32_t bit = 0; bit < 8 * 16; ++bit) {
    Bytes changed = coded.frame;
    changed[kMasks + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    ResealFrame(changed);
    KvRows out(coded.slices, 13);
    EXPECT_TRUE(DecodeFrame(coded.profile.get(), coded.spec, changed, 13, &out)
                    .Is(StatusCode::kDataLoss))
        << bit;
    EXPECT_TRUE(out.GuardsAreWhole(0));
  }
}

// The first section has the codes of all keys; those after it have the values,
// which are f8, as they are.
TEST_P(VectorCodecTest, RefusesEntriesThatDoNotFit) {
  Coded coded;
  coded.spec = MixedModel();
  coded.place.first_token = 64;
  Encode(kShape, "", &coded);
  ASSERT_EQ(coded.view.sections.size(), 6u);
  const auto status_of = [&](const Bytes& frame) {
    KvRows out(coded.slices, 64);
    const Status status =
        DecodeFrame(coded.profile.get(), coded.spec, frame, 64, &out);
    EXPECT_TRUE(out.GuardsAreWhole(0));
    return status;
  };
  const struct {
    size_t section;
    size_t at;
    uint8_t value;
  } changes[] = {{0, 2, 1},    // the plane of the values
                 {0, 3, 1},    // a mask that is not there
                 {0, 3, 2},    // mode
                 {0, 3, 3},    //
                 {0, 9, 1},    // channels
                 {0, 12, 1},   // raw token-heads
                 {1, 0, 2},    // another layer
                 {1, 3, 0},    // mode
                 {1, 9, 1},    // channels
                 {1, 12, 1}};  // words
  for (const auto& change : changes) {
    Bytes changed = coded.frame;
    changed[192 + 32 * change.section + change.at] = change.value;
    ResealFrame(changed);
    EXPECT_TRUE(status_of(changed).Is(StatusCode::kDataLoss))
        << change.section << " " << change.at;
  }
  for (const size_t section : {0u, 1u, 5u}) {
    const uint64_t size = coded.view.sections[section].bytes;
    for (const uint64_t other : {uint64_t{0}, size - 1, size + 1}) {
      EXPECT_TRUE(status_of(ResizeSection(coded.view, section, other))
                      .Is(StatusCode::kDataLoss))
          << section << " " << other;
    }
  }
}

// An encoder need not choose the mode without masks.
TEST_P(VectorCodecTest, TakesMasksWithoutBits) {
  Coded coded;
  coded.spec = TinyModel();
  coded.place = {.first_token = 64, .token_count = 13};
  Encode(kShape, "", &coded);
  const FrameSection section = coded.view.sections[0];
  ASSERT_EQ(section.mode, 0);
  const ByteView codes = coded.view.Section(section);
  FrameBuilder builder;
  builder.Start(coded.view.info, 1);
  constexpr uint64_t kMasks = 16;  // of 8 heads, 2 bytes each
  const MutableByteView room = builder.BeginSection(kMasks + codes.size());
  std::fill_n(room.begin(), kMasks, uint8_t{0});
  std::copy(codes.begin(), codes.end(), room.begin() + kMasks);
  FrameSection masked = section;
  masked.mode = 1;
  builder.EndSection(masked, room.size());
  const Result<ByteView> frame = builder.Finish();
  ASSERT_TRUE(frame.ok()) << frame.status().ToString();
  KvRows out(coded.slices, 13);
  ASSERT_EQ(
      DecodeFrame(coded.profile.get(), coded.spec, *frame, 13, &out).ToString(),
      "OK");
  EXPECT_EQ(out.Packed(), coded.decoded->Packed());
}

INSTANTIATE_TEST_SUITE_P(VqAndPq, VectorCodecTest,
                         testing::Values(CodecId::kVq, CodecId::kPq),
                         [](const auto& id) {
                           return std::string(CodecIdName(id.param));
                         });

}  // namespace
}  // namespace reprise
