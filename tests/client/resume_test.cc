// Restores whose connection breaks in mid-stream: they go on where they were,
// and what is in place does not travel again.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/cut_proxy.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

using std::chrono::milliseconds;

constexpr size_t kTokens = 280;  // four segments and a tail
constexpr int kFrames = 5 * 3;
constexpr uint64_t kFrameBytes = 256 << 10;
// Of manifests and greetings.
constexpr uint64_t kSmallTalkBytes = 32 << 10;

ModelSpec ThreeGroups() {
  return PlainModel("resume", 3, 8, 128, DType::kBf16);
}

class ResumeTest : public testing::Test {
 protected:
  ResumeTest() {
    daemon_.set_fetch_message_bytes(1);  // one frame a message
    SaveRequest request;
    request.codec = "raw";
    const auto saved = saver_.Save("s", tokens_, request);
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    if (saved.ok()) version_ = saved->version;
  }

  // A cut in answer `message` to fetches: 0 is the manifest.
  static CutPlan CutAt(int message) {
    return {.message = message, .type = MessageType::kFetch, .bytes = 40};
  }

  static std::unique_ptr<TestWorker> WorkerOf(const CutProxy& proxy,
                                              int64_t reconnect_ms = 5'000) {
    auto client = Client::Connect({.endpoint = proxy.endpoint(),
                                   .connect_timeout_ms = 500,
                                   .reconnect_timeout_ms = reconnect_ms,
                                   .codec_threads = 2});
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    return std::make_unique<TestWorker>(*std::move(client), ThreeGroups());
  }

  // Through a proxy that cuts as planned; checks that all is there. How many
  // bytes came.
  uint64_t RestoreThrough(const CutPlan& plan, RestoreRequest request = {}) {
    CutProxy proxy(daemon_.endpoint(), plan);
    const auto worker = WorkerOf(proxy);
    const uint64_t before = worker->client->traffic().received_bytes;
    const auto restored = worker->Restore("s", std::move(request));
    EXPECT_TRUE(restored.ok()) << restored.status().ToString();
    EXPECT_EQ(proxy.has_cut(), plan.message >= 0);
    if (restored.ok()) {
      EXPECT_EQ(restored->valid_end, kTokens);
      EXPECT_EQ(restored->info.tokens, tokens_);
    }
    return worker->client->traffic().received_bytes - before;
  }

  const std::vector<TokenId> tokens_ = ToyTokens(1, kTokens);
  TestDaemon daemon_;
  TestWorker saver_{daemon_.Connect(), ThreeGroups()};
  SessionVersion version_;
};

TEST_F(ResumeTest, FramesInPlaceDoNotTravelAgain) {
  for (const bool token_major : {false, true}) {
    RestoreRequest request;
    request.token_major = token_major;
    const uint64_t uncut = RestoreThrough({}, request);
    EXPECT_GT(uncut, (kTokens / 64) * 3 * kFrameBytes);
    for (const int message : {0, 1, 2, 4, 6, 7, 11, kFrames}) {
      SCOPED_TRACE(message);
      const uint64_t received = RestoreThrough(CutAt(message), request);
      EXPECT_LT(received, uncut + kFrameBytes + kSmallTalkBytes);
    }
  }
}

TEST_F(ResumeTest, ConnectionsThatBringOneFrameEachAreEnough) {
  CutPlan plan = CutAt(2);
  plan.each = true;
  const uint64_t received = RestoreThrough(plan);
  EXPECT_LT(received, (kFrames + 1) * (kFrameBytes + kSmallTalkBytes));
}

TEST_F(ResumeTest, LayersAreReportedOnceAndInOrder) {
  for (const int message : {3, 5, 6, 10}) {
    SCOPED_TRACE(message);
    std::vector<uint32_t> layers;
    RestoreThrough(CutAt(message), {.on_layer = [&](uint32_t layer) {
                     layers.push_back(layer);
                   }});
    // Two codec threads may end the last frames of two layers in any order.
    std::sort(layers.begin(), layers.end());
    EXPECT_EQ(layers, (std::vector<uint32_t>{0, 1, 2}));
  }
}

TEST_F(ResumeTest, ARangeOfTokensGoesOn) {
  CutProxy proxy(daemon_.endpoint(), CutAt(5));
  const auto worker = WorkerOf(proxy);
  const auto restored =
      worker->Restore("s", {.first_token = 64, .end_token = 200});
  ASSERT_OK(restored);
  EXPECT_TRUE(proxy.has_cut());
  EXPECT_EQ(restored->info.tokens.size(), 136u);
  EXPECT_EQ(restored->valid_end, 200u);
}

TEST_F(ResumeTest, ADaemonThatStartsAgainIsWaitedFor) {
  for (const int message : {1, 8}) {
    SCOPED_TRACE(message);
    std::thread restart;
    CutPlan plan = CutAt(message);
    plan.on_cut = [&] {
      daemon_.Stop();
      restart = std::thread([&] {
        std::this_thread::sleep_for(milliseconds(200));
        daemon_.Start();
      });
    };
    RestoreThrough(plan);
    restart.join();
  }
}

TEST_F(ResumeTest, AMatchGoesOn) {
  const auto match =
      saver_.client->Match(saver_.model, tokens_, {.lease_ms = 60'000});
  ASSERT_OK(match);
  EXPECT_EQ(match->tokens, kTokens);
  for (const int message : {1, 7, 13}) {
    SCOPED_TRACE(message);
    RestoreThrough(CutAt(message), {.match = match->ticket, .tokens = tokens_});
  }
}

TEST_F(ResumeTest, TheCommitStaysTheSameWhenTheHeadMoves) {
  CutPlan plan = CutAt(6);
  plan.on_cut = [&] {
    auto longer = tokens_;
    longer.push_back(7);
    SaveRequest request;
    // To fit a profile takes so long under sanitizers that the stream, which
    // is silent meanwhile, would be given up.
    request.codec = "raw";
    EXPECT_TRUE(saver_.Save("s", longer, request).ok());
  };
  CutProxy proxy(daemon_.endpoint(), plan);
  const auto restored = WorkerOf(proxy)->Restore("s");
  ASSERT_OK(restored);
  EXPECT_TRUE(proxy.has_cut());
  EXPECT_EQ(restored->info.version, version_);
  EXPECT_EQ(restored->valid_end, kTokens);
}

TEST_F(ResumeTest, ASessionThatIsRemovedMeanwhileIsAMiss) {
  CutPlan plan = CutAt(6);
  plan.on_cut = [&] { EXPECT_TRUE(saver_.client->Remove("s").ok()); };
  CutProxy proxy(daemon_.endpoint(), plan);
  const auto restored = WorkerOf(proxy)->Restore("s");
  EXPECT_EQ(restored.status().code(), StatusCode::kNotFound);
}

TEST_F(ResumeTest, ADaemonGoneForGoodIsGivenUpInTime) {
  for (const int64_t reconnect_ms : {0, 300}) {
    CutPlan plan = CutAt(6);
    plan.for_good = true;
    CutProxy proxy(daemon_.endpoint(), plan);
    const auto worker = WorkerOf(proxy, reconnect_ms);
    const auto start = std::chrono::steady_clock::now();
    const auto restored = worker->Restore("s");
    EXPECT_EQ(restored.status().code(), StatusCode::kUnavailable);
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(2'000));
  }
}

}  // namespace
}  // namespace reprise
