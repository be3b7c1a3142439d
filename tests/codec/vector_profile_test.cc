#include "codec/vector_profile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "codec/exact_simd.h"
#include "codec/profile_trainer.h"
#include "codec/vector_kmeans.h"
#include "tests/support/kv_values.h"
#include "tests/support/model_specs.h"
#include "tests/support/random.h"
#include "tests/support/vector_cases.h"

namespace reprise {
namespace {

constexpr CodecId kBoth[] = {CodecId::kVq, CodecId::kPq};

void Reseal(Bytes* profile) {
  StoreLe<uint64_t>(profile->data() + 24, profile->size());
  StoreLe<uint64_t>(
      profile->data() + 40,
      Checksum(ByteView(*profile).first(40), ByteView(*profile).subspan(48)));
}

Bytes Train(CodecId codec, const ModelSpec& spec,
            std::string_view options = "centroids=16") {
  Result<Bytes> profile = TrainVectors(codec, options, spec);
  EXPECT_TRUE(profile.ok()) << profile.status().ToString();
  return profile.ok() ? *std::move(profile) : Bytes();
}

TEST(VectorProfileTest, ComesBackAsItWasWritten) {
  for (const CodecId codec : kBoth) {
    const Bytes bytes = Train(codec, MixedModel());
    const auto profile = VectorProfile::Parse(codec, bytes);
    ASSERT_TRUE(profile.ok()) << profile.status().ToString();
    EXPECT_EQ(EncodeVectorProfile((*profile)->parts()), bytes);
    EXPECT_EQ((*profile)->id().bytes, Sha256(bytes).bytes);
    // Keys are bf16, values f8: only keys are in it.
    EXPECT_EQ((*profile)->parts().planes.size(), MixedModel().layers.size());
    EXPECT_EQ((*profile)->FindPlane(0, 1), nullptr);
    EXPECT_EQ((*profile)->FindPlane(1, 0)->heads, 2u);
  }
}

TEST(VectorProfileTest, RefusesCutAndFlippedBytes) {
  for (const CodecId codec : kBoth) {
    Bytes bytes = Train(codec, TinyModel());
    for (size_t size = 0; size < bytes.size(); ++size) {
      ASSERT_TRUE(VectorProfile::Parse(codec, ByteView(bytes).first(size))
                      .status()
                      .Is(StatusCode::kDataLoss))
          << size;
    }
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] ^= 0x10;
      EXPECT_TRUE(
          VectorProfile::Parse(codec, bytes).status().Is(StatusCode::kDataLoss))
          << i;
      bytes[i] ^= 0x10;
    }
  }
}

TEST(VectorProfileTest, RefusesFieldsOutOfRange) {
  const Bytes good = Train(CodecId::kVq, TinyModel());
  const size_t norms = 48 + 4 * 16;
  const struct {
    size_t at;
    uint32_t value;
  } changes[] = {{12, 0x00100000},  // block 0
                 {12, 0x00100011},  // block 17
                 {12, 0x00104108},  // sinks 65
                 {12, 0x000f0108},  // 15 centroids
                 {12, 0x02000108},  // 512
                 {16, 0},           // codebooks
                 {16, 17},
                 {20, 16385},       // planes
                 {32, 1},           // reserved
                 {48, 0x03000400},  // layer 1024
                 {48, 0x06000000},  // dtype opaque
                 {48, 0x03100000},  // plane 16
                 {52, 0},           // heads
                 {56, 0},           // dim
                 {52, 1025},        //
                 {56, 4097},        // dim
                 {60, 2},           // codebook
                 {48, 0x03010000},  // order of planes
                 {norms, 0},        // a norm of 0
                 {norms, 0x7f800000},
                 {norms, 0xbf800000},
                 {norms + 8 * 4, 0x7c00}};  // an infinite centroid
  for (const auto& change : changes) {
    Bytes bytes = good;
    StoreLe(bytes.data() + change.at, change.value);
    Reseal(&bytes);
    EXPECT_TRUE(VectorProfile::Parse(CodecId::kVq, bytes)
                    .status()
                    .Is(StatusCode::kDataLoss))
        << change.at << " " << change.value;
  }
  EXPECT_TRUE(VectorProfile::Parse(CodecId::kPq, good)
                  .status()
                  .Is(StatusCode::kInvalidArgument));
  Bytes longer = good;
  longer.push_back(0);
  Reseal(&longer);
  EXPECT_TRUE(VectorProfile::Parse(CodecId::kVq, longer)
                  .status()
                  .Is(StatusCode::kDataLoss));
  Bytes newer = good;
  newer[8] = 2;
  Reseal(&newer);
  EXPECT_TRUE(VectorProfile::Parse(CodecId::kVq, newer)
                  .status()
                  .Is(StatusCode::kUnimplemented));
}

TEST(VectorProfileTest, RefusesSharedCodebooksOfPq) {
  const Bytes good = Train(CodecId::kPq, TinyModel());
  for (const size_t at : {16u, 60u}) {  // their number, a plane's
    Bytes bytes = good;
    bytes[at] = 1;
    Reseal(&bytes);
    EXPECT_TRUE(VectorProfile::Parse(CodecId::kPq, bytes)
                    .status()
                    .Is(StatusCode::kDataLoss))
        << at;
  }
}

// A few bytes must not ask for gigabytes of tables.
TEST(VectorProfileTest, RefusesTablesOutOfProportion) {
  VectorProfileParts parts;
  parts.shape = {.block = 16, .centroids = 256, .sinks = 0};
  parts.book_count = 1;
  for (uint16_t layer = 0; layer < 64; ++layer) {
    parts.planes.push_back(
        {.layer = layer, .dtype = DType::kF32, .heads = 1024, .dim = 16});
  }
  const VectorProfileSizes sizes = LayOutVectorProfile(&parts);
  parts.norms.assign(sizes.norms, 1.0f);
  parts.centroids.assign(sizes.centroids, 0);
  EXPECT_TRUE(VectorProfile::Parse(CodecId::kVq, EncodeVectorProfile(parts))
                  .status()
                  .Is(StatusCode::kDataLoss));
}

TEST(VectorProfileTest, FitsTheShapesItWasTrainedOnOnly) {
  const auto profile =
      *VectorProfile::Parse(CodecId::kPq, Train(CodecId::kPq, TinyModel()));
  const auto check = [&](const ModelSpec& spec) {
    return profile->CheckSlices(
        *SlicePlanes(spec, {0, static_cast<uint32_t>(spec.layers.size())},
                     HeadRange::All()));
  };
  EXPECT_EQ(check(TinyModel()).ToString(), "OK");
  EXPECT_TRUE(
      check(TinyModel(DType::kBf16)).Is(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(check(PlainModel("more", 3, 2, 16, DType::kF16))
                  .Is(StatusCode::kFailedPrecondition));
  EXPECT_TRUE(check(PlainModel("wide", 2, 2, 17, DType::kF16))
                  .Is(StatusCode::kFailedPrecondition));
}

std::unique_ptr<ProfileTrainer> TrainerOf(CodecId codec,
                                          const TrainerOptions& options) {
  auto trainer = MakeProfileTrainer(codec, TinyModel(), options);
  EXPECT_TRUE(trainer.ok()) << trainer.status().ToString();
  return *std::move(trainer);
}

void AddSegment(ProfileTrainer* trainer, uint32_t first_token,
                KvKind kind = KvKind::kTypical) {
  const ModelSpec spec = TinyModel();
  const auto slices =
      *SlicePlanes(spec, LayerGroupsOf(spec)[0], HeadRange::All());
  KvRows rows(slices, 64);
  rows.Fill(kind, 7, first_token);
  ASSERT_TRUE(trainer->Add(first_token, 64, slices, rows.Const()).ok());
}

TEST(VectorTrainerTest, RefusesTooFewTokensAndSaysHowMany) {
  for (const CodecId codec : kBoth) {
    auto trainer = TrainerOf(codec, {});
    EXPECT_EQ(trainer->min_tokens(), 512u);
    EXPECT_EQ(trainer->wanted_tokens(), 16384u);
    // The one at position 0 does not count.
    for (uint32_t t = 0; t < 512; t += 64) AddSegment(trainer.get(), t);
    const Status status = trainer->Fit(nullptr).status();
    EXPECT_TRUE(status.Is(StatusCode::kFailedPrecondition));
    EXPECT_NE(status.ToString().find("has 511 tokens"), std::string::npos);
    EXPECT_NE(status.ToString().find("512 are needed"), std::string::npos);
    AddSegment(trainer.get(), 512);
    EXPECT_TRUE(trainer->Fit(nullptr).ok());
  }
}

TEST(VectorTrainerTest, StaysWithinItsMemory) {
  for (const CodecId codec : kBoth) {
    TrainerOptions options;
    options.max_memory_bytes = 1000;
    EXPECT_TRUE(MakeProfileTrainer(codec, TinyModel(), options)
                    .status()
                    .Is(StatusCode::kResourceExhausted));
    options.max_memory_bytes = 12 << 20;
    const auto trainer = TrainerOf(codec, options);
    EXPECT_LT(trainer->wanted_tokens(), 16384u * 3 / 2);
    EXPECT_GE(trainer->wanted_tokens(), trainer->min_tokens());
  }
}

TEST(VectorTrainerTest, GivesTheSameBytesOnEveryInstructionSet) {
  for (const CodecId codec : kBoth) {
    const Bytes wanted = Train(codec, TinyModel(DType::kBf16));
    for (const int64_t target : ExactTargets()) {
      ChooseExactTarget(target);
      EXPECT_EQ(Train(codec, TinyModel(DType::kBf16)), wanted)
          << ExactTargetName(target);
    }
    ChooseExactTarget(0);
    TrainerOptions other;
    other.seed = 2;
    auto trainer = TrainerOf(codec, other);
    auto same = TrainerOf(codec, other);
    for (uint32_t t = 0; t <= 512; t += 64) {
      AddSegment(trainer.get(), t);
      AddSegment(same.get(), t);
    }
    EXPECT_EQ(*trainer->Fit(nullptr), *same->Fit(nullptr));
  }
}

TEST(VectorTrainerTest, PassesOverWhatIsNotFinite) {
  for (const CodecId codec : kBoth) {
    auto trainer = TrainerOf(codec, {});
    for (uint32_t t = 0; t <= 512; t += 64) {
      AddSegment(trainer.get(), t,
                 t == 128 ? KvKind::kAnyBits : KvKind::kSpecials);
    }
    const Result<Bytes> bytes = trainer->Fit(nullptr);
    ASSERT_TRUE(bytes.ok()) << bytes.status().ToString();
    const auto profile = VectorProfile::Parse(codec, *bytes);
    EXPECT_TRUE(profile.ok()) << profile.status().ToString();
  }
}

TEST(VectorTrainerTest, TellsProgressAndStopsWhenTold) {
  for (const CodecId codec : kBoth) {
    auto trainer = TrainerOf(codec, {});
    for (uint32_t t = 0; t <= 512; t += 64) AddSegment(trainer.get(), t);
    std::vector<double> told;
    ASSERT_TRUE(trainer
                    ->Fit([&](double done) {
                      told.push_back(done);
                      return true;
                    })
                    .ok());
    EXPECT_GE(told.size(), 2u);
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
    EXPECT_EQ(told.back(), 1);
    EXPECT_TRUE(trainer->Fit([](double) { return false; })
                    .status()
                    .Is(StatusCode::kUnavailable));
  }
}

// Clouds that are far apart each get their centroid.
TEST(VectorKMeansTest, FindsClouds) {
  constexpr uint32_t kCount = 1000;
  constexpr uint32_t kStride = RoundUpToLanes(kCount);
  Random random(1);
  std::vector<float> values(2 * kStride);
  for (uint32_t i = 0; i < kCount; ++i) {
    const auto cloud = static_cast<float>(random.Below(8));
    values[i] = 10 * cloud + static_cast<float>(random.Normal());
    values[kStride + i] = -10 * cloud + static_cast<float>(random.Normal());
  }
  std::vector<float> centroids(16);
  VectorKMeans().Fit({.values = values.data(),
                      .stride = kStride,
                      .count = kCount,
                      .width = 2,
                      .centroid_count = 8,
                      .iterations = 16,
                      .seed = 1},
                     centroids.data());
  for (uint32_t cloud = 0; cloud < 8; ++cloud) {
    bool found = false;
    for (uint32_t c = 0; c < 8; ++c) {
      found |= std::fabs(centroids[2 * c] - 10 * static_cast<float>(cloud)) < 1;
    }
    EXPECT_TRUE(found) << cloud;
  }
}

TEST(VectorKMeansTest, TakesFewerValuesThanCentroids) {
  std::vector<float> values(16);
  values[0] = 3;
  values[1] = 3;
  values[2] = 5;
  std::vector<float> centroids(256, -1.0f);
  VectorKMeans kmeans;
  KMeansJob job{.values = values.data(),
                .stride = 16,
                .count = 3,
                .width = 1,
                .centroid_count = 256,
                .iterations = 4,
                .seed = 1};
  kmeans.Fit(job, centroids.data());
  for (const float c : centroids) EXPECT_TRUE(c == 3 || c == 5) << c;
  job.count = 0;
  kmeans.Fit(job, centroids.data());
  for (const float c : centroids) EXPECT_EQ(c, 0);
}

}  // namespace
}  // namespace reprise
