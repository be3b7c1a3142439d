// The profile in assets/ is one that the codec takes, for the model it is said
// to be for: it was written by a program that shares no code with the reader.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include "base/hash.h"
#include "codec/klt_profile.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

Bytes ShippedBytes() {
  std::ifstream file("assets/smollm2.klt", std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

TEST(ShippedProfileTest, IsTakenAndFitsItsModel) {
  const Bytes bytes = ShippedBytes();
  EXPECT_LT(bytes.size(), 12u << 20);
  const auto profile = KltProfile::Parse(bytes);
  ASSERT_TRUE(profile.ok()) << profile.status().ToString();
  // What third_party/llama/models.sh says of the model's file.
  EXPECT_EQ((*profile)->weights().Hex(),
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
  EXPECT_EQ((*profile)->kind(), KltProfileKind::kSensitivities);
  const ModelSpec spec = SmolModel();
  size_t groups = 0;
  for (const LayerGroup& layers : LayerGroupsOf(spec)) {
    const auto slices = SlicePlanes(spec, layers, HeadRange::All());
    ASSERT_TRUE(slices.ok()) << slices.status().ToString();
    const auto inside = (*profile)->GroupsFor(layers, *slices);
    ASSERT_TRUE(inside.ok()) << inside.status().ToString();
    groups += inside->size();
  }
  EXPECT_EQ(groups, (*profile)->groups().size());
}

TEST(ShippedProfileTest, KeysTurnAsTheModelsDo) {
  const auto profile = KltProfile::Parse(ShippedBytes());
  ASSERT_TRUE(profile.ok()) << profile.status().ToString();
  const KltProfileParts& parts = (*profile)->parts();
  ASSERT_EQ(parts.pairing, RopePairing::kAdjacent);
  ASSERT_EQ(parts.rotary_dims, 64u);
  for (uint32_t j = 0; j < 32; ++j) {
    const double radians = std::pow(100000.0, -2.0 * j / 64);
    const double turns = std::ldexp(static_cast<double>(parts.turns[j]), -64);
    EXPECT_NEAR(turns * 2 * M_PI / radians, 1, 1e-12) << j;
  }
}

}  // namespace
}  // namespace reprise
