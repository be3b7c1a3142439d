// Calibration against a real daemon.
#include "tools/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class CalibrationTest : public testing::Test {
 protected:
  CalibrationTest() : worker_(daemon_.Connect(), GqaModel()) {
    request_.codec = *ParseCodecChoice("exact");
    request_.model = IdOf(worker_.model);
  }

  Result<CalibrationResult> Run() {
    return Calibrate(worker_.client.get(), request_, nullptr);
  }

  TestDaemon daemon_;
  TestWorker worker_;
  CalibrationRequest request_;
};

TEST_F(CalibrationTest, ReadsEachSharedSegmentOnce) {
  const std::vector<TokenId> tokens = ToyTokens(1, 700);
  ASSERT_OK(worker_.Save("a", tokens));
  const std::vector<TokenId> prefix(tokens.begin(), tokens.begin() + 300);
  ASSERT_OK(worker_.Save("b", prefix));
  ASSERT_OK(worker_.Save("c", ToyTokens(2, 130)));
  const auto result = Run();
  ASSERT_OK(result);
  EXPECT_EQ(result->tokens, 640u + 128u);
  EXPECT_EQ(result->sessions, 2u);
  EXPECT_TRUE(request_.codec.codec->ParseProfile(result->profile).ok());
  const auto again = Run();
  ASSERT_OK(again);
  EXPECT_EQ(again->profile, result->profile);
}

TEST_F(CalibrationTest, TakesNoMoreThanIsAskedFor) {
  ASSERT_OK(worker_.Save("a", ToyTokens(1, 700)));
  request_.max_tokens = 128;
  const auto result = Run();
  ASSERT_OK(result);
  EXPECT_EQ(result->tokens, 128u);
}

// Two sessions part after a segment that is lost in both, then go on with the
// same tokens: state of its own in each.
TEST_F(CalibrationTest, TellsSegmentsApartBehindLostOnes) {
  std::vector<TokenId> tokens = ToyTokens(1, 640);
  ASSERT_OK(worker_.Save("a", tokens));
  SegmentId id = RootSegmentId(request_.model);
  for (size_t token = 0; token < 256; token += kSegmentTokens) {
    id = ChildSegmentId(id, std::span(tokens).subspan(token, kSegmentTokens));
  }
  tokens[330] += 1;
  ASSERT_OK(worker_.Save("b", tokens));
  std::vector<ObjectStore::Listed> listed;
  Engine* const engine = daemon_.engine();
  ASSERT_TRUE(
      engine->List(ObjectSpace::kFrameExact, "", "", 1000, &listed).ok());
  for (const auto& object : listed) {
    const auto found =
        std::search(object.key.begin(), object.key.end(), id.bytes.begin(),
                    id.bytes.end(), [](char key, uint8_t byte) {
                      return static_cast<uint8_t>(key) == byte;
                    });
    if (found == object.key.end()) continue;
    const ObjectRef ref{ObjectSpace::kFrameExact, object.key};
    ASSERT_OK(engine->RemoveIfUntouched({&ref, 1}, UINT64_MAX));
  }
  const auto result = Run();
  ASSERT_OK(result);
  EXPECT_EQ(result->tokens, 192u + 128u + 128u);
}

TEST_F(CalibrationTest, LeavesLossyStateOut) {
  SaveRequest lossy;
  lossy.basis = {{0, 64, Tier::kNear, Tier::kExact}};
  ASSERT_OK(worker_.Save("a", ToyTokens(1, 200), std::move(lossy)));
  ASSERT_OK(worker_.Save("b", ToyTokens(2, 200)));
  const auto result = Run();
  ASSERT_OK(result);
  EXPECT_EQ(result->tokens, 192u);
  EXPECT_EQ(result->sessions, 1u);
}

TEST_F(CalibrationTest, SaysHowMuchIsMissing) {
  ASSERT_OK(worker_.Save("a", ToyTokens(1, 63)));
  ExpectStatus(Run().status(), StatusCode::kFailedPrecondition,
               "0 tokens of exact state in whole segments were found, at "
               "least 64 are wanted, and 1024 are good");
}

TEST_F(CalibrationTest, RefusesCodecsWithoutProfiles) {
  request_.codec = *ParseCodecChoice("raw");
  ExpectStatus(Run().status(), StatusCode::kUnimplemented,
               "codec raw has no profiles");
}

}  // namespace
}  // namespace reprise
