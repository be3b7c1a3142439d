// Profiles that name the weights they were trained on: who may use them, and
// what the daemon keeps of that.
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "client/client.h"
#include "codec/klt_profile_format.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/klt_parts.h"
#include "tests/support/model_specs.h"

namespace reprise {
namespace {

class ProfileAcceptanceTest : public testing::Test {
 protected:
  ProfileAcceptanceTest() : worker_(daemon_.Connect()) {}

  Result<ProfileId> Put(const KltProfileParts& parts, bool accept) {
    return worker_.client->PutProfile(worker_.model, CodecId::kKlt,
                                      EncodeKltProfile(parts),
                                      {.accept_other_weights = accept});
  }
  // As another client sees it.
  std::vector<ProfileInUse> Known() {
    TestWorker other(daemon_.Connect());
    return ProfilesOf(other.model);
  }

  TestDaemon daemon_;
  TestWorker worker_;
};

TEST_F(ProfileAcceptanceTest, TakesAProfileOfTheModelsWeights) {
  const auto put = Put(PlainKltParts(worker_.spec), false);
  ASSERT_OK(put);
  const std::vector<ProfileInUse> known = Known();
  ASSERT_EQ(known.size(), 1u);
  EXPECT_EQ(known[0].codec, CodecId::kKlt);
  EXPECT_EQ(known[0].profile, *put);
  EXPECT_FALSE(known[0].other_weights);
}

TEST_F(ProfileAcceptanceTest, TakesOtherWeightsOnlyWhenTold) {
  KltProfileParts parts = PlainKltParts(worker_.spec);
  parts.weights = Sha256(AsBytes("the same model in 4 bits"));
  ExpectStatus(Put(parts, false).status(), StatusCode::kFailedPrecondition,
               "weights are " + worker_.spec.weights_hash.ShortHex() +
                   " in the model, the profile was trained on " +
                   parts.weights.ShortHex());
  EXPECT_TRUE(Known().empty());
  ASSERT_OK(Put(parts, true));
  ASSERT_EQ(Known().size(), 1u);
  EXPECT_TRUE(Known()[0].other_weights);
  parts.weights = {};
  ExpectStatus(Put(parts, false).status(), StatusCode::kFailedPrecondition,
               "trained on unknown ones");
}

TEST_F(ProfileAcceptanceTest, ForgetsTheAcceptanceWithTheProfile) {
  KltProfileParts parts = PlainKltParts(worker_.spec);
  parts.weights = Sha256(AsBytes("other"));
  ASSERT_OK(Put(parts, true));
  ASSERT_OK(Put(PlainKltParts(worker_.spec), true));
  ASSERT_EQ(Known().size(), 1u);
  EXPECT_FALSE(Known()[0].other_weights);
}

TEST_F(ProfileAcceptanceTest, RefusesAnotherShapeWhateverIsAccepted) {
  ModelSpec other = worker_.spec;
  for (LayerSpec& layer : other.layers) layer.planes[0].heads = 3;
  ExpectStatus(Put(PlainKltParts(other), true).status(),
               StatusCode::kFailedPrecondition,
               "layer 0 plane 0: number of heads is 2 in the model, the "
               "profile was trained with 3");
  other = worker_.spec;
  other.rope.theta = 500000;
  ExpectStatus(Put(PlainKltParts(other), true).status(),
               StatusCode::kFailedPrecondition, "rope theta");
}

TEST_F(ProfileAcceptanceTest, RefusesWhatIsNoProfile) {
  const auto put =
      worker_.client->PutProfile(worker_.model, CodecId::kKlt, Bytes(200, 1));
  ExpectStatus(put.status(), StatusCode::kDataLoss, "");
}

}  // namespace
}  // namespace reprise
