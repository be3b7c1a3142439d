// Which models a profile of `klt` may serve, and how layers are grouped.
#include "codec/klt_fit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/klt_groups.h"
#include "codec/rope_turns.h"
#include "tests/support/klt_parts.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

std::shared_ptr<const KltProfile> ProfileFor(const ModelSpec& spec,
                                             uint32_t layers = 0) {
  return *KltProfile::Parse(EncodeKltProfile(PlainKltParts(spec, layers)));
}

void SetDType(DType dtype, ModelSpec* spec) {
  for (LayerSpec& layer : spec->layers) {
    for (PlaneSpec& plane : layer.planes) plane.dtype = dtype;
  }
}

class KltFitTest : public testing::Test {
 protected:
  void ExpectRefused(const ModelSpec& spec, const std::string& text) {
    const Status status = CheckKltFits(spec, *profile_);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_NE(status.message().find(text), std::string::npos)
        << status.ToString();
  }

  ModelSpec spec_ = SmolModel();
  const std::shared_ptr<const KltProfile> profile_ = ProfileFor(spec_);
};

TEST_F(KltFitTest, TakesAnyFloatType) {
  for (const DType dtype : {DType::kF16, DType::kBf16, DType::kF32}) {
    SetDType(dtype, &spec_);
    EXPECT_TRUE(CheckKltFits(spec_, *profile_).ok()) << DTypeName(dtype);
    EXPECT_FALSE(IsOfOtherWeights(spec_, *profile_));
  }
}

TEST_F(KltFitTest, TellsOtherWeights) {
  spec_.weights_hash = Sha256(AsBytes("other"));
  EXPECT_TRUE(CheckKltFits(spec_, *profile_).ok());
  EXPECT_TRUE(IsOfOtherWeights(spec_, *profile_));
  KltProfileParts parts = PlainKltParts(spec_);
  parts.weights = {};
  spec_.weights_hash = {};
  EXPECT_TRUE(
      IsOfOtherWeights(spec_, **KltProfile::Parse(EncodeKltProfile(parts))));
}

TEST_F(KltFitTest, NamesThePlaneThatDiffers) {
  ModelSpec other = spec_;
  other.layers[3].planes[1].heads = 4;
  ExpectRefused(other,
                "layer 3 plane 1: number of heads is 4 in the model, the "
                "profile was trained with 3");
  other = spec_;
  other.layers[7].planes[0].dim = 128;
  ExpectRefused(other, "layer 7 plane 0: dim is 128");
  other = spec_;
  other.layers[7].planes[1].dtype = DType::kF8E4M3;
  ExpectRefused(other, "layer 7 plane 1: the type is f8");
  other = spec_;
  other.layers[2].planes[1].role = PlaneRole::kKey;
  ExpectRefused(other, "layer 2 plane 1: rotation is on");
  other = spec_;
  other.layers.pop_back();
  ExpectRefused(other, "the number of layers is 29");
  other = spec_;
  other.layers[4].planes.pop_back();
  ExpectRefused(other, "layer 4: number of planes is 1");
}

TEST_F(KltFitTest, NamesTheRotationThatDiffers) {
  ModelSpec other = spec_;
  other.rope.pairing = RopePairing::kAdjacent;
  ExpectRefused(other,
                "rope pairing is adjacent in the model, the profile was "
                "trained with halves");
  other = spec_;
  other.rope.rotary_dims = 32;
  ExpectRefused(other, "number of rotary dims is 32");
  other = spec_;
  other.rope.theta = 10010;
  ExpectRefused(other, "rope theta or scaling: the turn of pair");
  other = spec_;
  other.rope.scaling = RopeScaling::kLinear;
  other.rope.scale = 0.5;
  ExpectRefused(other, "rope theta or scaling: the turn of pair 0");
}

TEST_F(KltFitTest, TakesTurnsWithinTheTolerance) {
  KltProfileParts parts = PlainKltParts(spec_);
  for (uint64_t& turn : parts.turns) turn += kKltTurnTolerance;
  EXPECT_TRUE(
      CheckKltFits(spec_, **KltProfile::Parse(EncodeKltProfile(parts))).ok());
  for (uint64_t& turn : parts.turns) turn += 1;
  EXPECT_FALSE(
      CheckKltFits(spec_, **KltProfile::Parse(EncodeKltProfile(parts))).ok());
}

TEST_F(KltFitTest, NamesTheGroupOfLayersThatIsCrossed) {
  // Of one layer a frame, and of two.
  const ModelSpec half = PlainModel("m", 4, 8, 64, DType::kF16);
  ModelSpec full = half;
  SetDType(DType::kF32, &full);
  ASSERT_EQ(LayerGroupsOf(half).size(), 2u);
  ASSERT_EQ(LayerGroupsOf(full).size(), 4u);
  // What the planner would not do.
  KltProfileParts parts = PlainKltParts(half, 1);
  parts.groups.erase(parts.groups.begin() + 1);
  KltGroupParts& joined = parts.groups[0];
  joined.layer_count = 2;
  joined.n *= 2;
  for (auto* numbers :
       {&joined.mu, &joined.dec, &joined.enc, &joined.regressor.by_channel,
        &joined.regressor.by_norm}) {
    numbers->insert(numbers->end(), numbers->begin(), numbers->end());
  }
  joined.levels.assign(joined.rows(), kKltLevelOfStep);
  joined.hi.assign(uint64_t{joined.n} * joined.n, 1);
  const auto profile = *KltProfile::Parse(EncodeKltProfile(parts));
  EXPECT_TRUE(CheckKltFits(half, *profile).ok());
  const Status status = CheckKltFits(full, *profile);
  EXPECT_NE(status.message().find(
                "the layer group of layer 0 is layers 0 to 0 in the model, "
                "the profile was trained with layers 0 to 1 together"),
            std::string::npos)
      << status.ToString();
}

TEST(KltGroupsTest, CutsFramesIntoEvenParts) {
  const auto widths = [](const ModelSpec& spec, uint32_t layers) {
    KltProfileParts parts;
    EXPECT_TRUE(PlanKltGroups(spec, layers, &parts).ok());
    std::vector<uint32_t> found;
    for (const KltGroupParts& group : parts.groups) {
      found.push_back(group.layer_count);
    }
    return found;
  };
  // Frames have six layers of f16, three of f32: both are kept whole.
  EXPECT_EQ(widths(SmolModel(), 0), std::vector<uint32_t>(10, 3));
  EXPECT_EQ(widths(SmolModel(), 4), std::vector<uint32_t>(10, 3));
  EXPECT_EQ(widths(SmolModel(), 1), std::vector<uint32_t>(30, 1));
  EXPECT_EQ(widths(SmolModel(), 2).size(), 20u);
  EXPECT_EQ(widths(TinyModel(), 0), std::vector<uint32_t>(1, 2));
  EXPECT_EQ(widths(GqaModel(), 0), std::vector<uint32_t>(4, 1));
}

TEST(KltGroupsTest, RefusesModelsThatItCanNotCode) {
  KltProfileParts parts;
  EXPECT_EQ(PlanKltGroups(OpaqueModel(), 0, &parts).code(),
            StatusCode::kFailedPrecondition);
  // Four layers of 2,048 channels lie in a frame.
  ModelSpec wide = PlainModel("wide", 8, 1, 1024, DType::kF16);
  parts = {};
  EXPECT_TRUE(PlanKltGroups(wide, 1, &parts).ok());
  parts = {};
  const Status status = PlanKltGroups(OneChannelModel(), 1024, &parts);
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST(KltGroupsTest, LeavesOutWhatIsNoFloat) {
  KltProfileParts parts;
  ASSERT_TRUE(PlanKltGroups(MixedModel(), 0, &parts).ok());
  for (const KltPlane& plane : parts.planes) {
    EXPECT_EQ(MixedModel().layers[plane.layer].planes[plane.plane].dtype,
              DType::kBf16);
  }
  EXPECT_EQ(parts.planes.size(), 5u);
}

TEST(RopeTurnsTest, AreTheAnglesOfTheSpec) {
  const RopeSpec rope = SmolModel().rope;
  const std::vector<uint64_t> turns = RopeTurns(rope);
  ASSERT_EQ(turns.size(), 32u);
  for (size_t j = 0; j < turns.size(); ++j) {
    const double wanted =
        std::pow(rope.theta, -static_cast<double>(j) / 32) / kTwoPi;
    EXPECT_NEAR(static_cast<double>(turns[j]) * 0x1p-64, wanted,
                wanted * 1e-13);
  }
  EXPECT_TRUE(RopeTurns(RopeSpec()).empty());
}

}  // namespace
}  // namespace reprise
