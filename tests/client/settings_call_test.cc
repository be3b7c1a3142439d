// A session's settings through the client, with a real daemon.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "client/client.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

constexpr char kPolicy[] = "series: exact 1h, near 1d, tokens";

class SettingsCallTest : public testing::Test {
 protected:
  SettingsCallTest() : worker_(daemon_.Connect()) {
    EXPECT_TRUE(worker_.Save("chat", ToyTokens(1, 100)).ok());
  }
  Client* client() { return worker_.client.get(); }
  SessionSettings Settings() {
    const auto details = client()->Describe("chat");
    EXPECT_TRUE(details.ok());
    return details->summary.settings;
  }

  TestDaemon daemon_;
  TestWorker worker_;
};

TEST_F(SettingsCallTest, ComeBackAsTheyWereSet) {
  EXPECT_EQ(Settings(), SessionSettings());
  const auto set = client()->SetPolicy(
      "chat",
      {.policy = "series:exact 60m,near 24h,tokens", .ttl_ms = kYearMs});
  ASSERT_OK(set);
  EXPECT_EQ(set->own, (SessionSettings{kPolicy, kYearMs, 0}));
  EXPECT_EQ(set->effective.policy, kPolicy);
  EXPECT_EQ(set->effective.ttl_ms, kYearMs);
  EXPECT_EQ(set->effective.problem, "");
  EXPECT_EQ(set->effective.codecs,
            (std::vector<TierCodecName>{{Tier::kNear, "tsc:bits=8"}}));
  const int64_t until_ms = SystemClock().WallMs() + kHourMs;
  const auto pinned = client()->Pin("chat", until_ms);
  ASSERT_OK(pinned);
  const SessionSettings all{kPolicy, kYearMs, until_ms};
  EXPECT_EQ(pinned->own, all);
  EXPECT_EQ(Settings(), all);
  const auto listed = client()->List("", "", 10);
  ASSERT_OK(listed);
  EXPECT_EQ(listed->at(0).settings, all);
  ASSERT_OK(client()->Pin("chat", kForeverMs));
  EXPECT_EQ(Settings().pinned_until_ms, kForeverMs);
  ASSERT_OK(client()->Unpin("chat"));
  ASSERT_OK(client()->SetPolicy("chat", {.ttl_ms = 0}));
  EXPECT_EQ(Settings(), (SessionSettings{kPolicy, 0, 0}));
  // Empty is back to the default, unlike unset.
  ASSERT_OK(client()->SetPolicy("chat", {}));
  EXPECT_EQ(Settings().policy, kPolicy);
  const auto back = client()->SetPolicy("chat", {.policy = ""});
  ASSERT_OK(back);
  EXPECT_EQ(Settings(), SessionSettings());
  EXPECT_EQ(back->effective.policy,
            "exact 1h, near 1d, coarse 30d, archive 1y, tokens");
  EXPECT_EQ(back->effective.ttl_ms, kForeverMs);
}

TEST_F(SettingsCallTest, AreRefusedWithTheReason) {
  const auto malformed =
      client()->SetPolicy("chat", {.policy = "exact 1h, near 30m, tokens"});
  EXPECT_TRUE(malformed.status().Is(StatusCode::kInvalidArgument));
  EXPECT_TRUE(malformed.status().message().find(
                  "policy: column 16: a duration longer than 1h is expected, "
                  "30m is not") != std::string::npos)
      << malformed.status().ToString();
  for (const int64_t ttl_ms : {int64_t{-1}, int64_t{999}, INT64_MIN}) {
    EXPECT_TRUE(client()
                    ->SetPolicy("chat", {.ttl_ms = ttl_ms})
                    .status()
                    .Is(StatusCode::kInvalidArgument));
  }
  for (const int64_t until_ms : {int64_t{-1}, int64_t{0}, int64_t{1}}) {
    EXPECT_TRUE(client()
                    ->Pin("chat", until_ms)
                    .status()
                    .Is(StatusCode::kInvalidArgument));
  }
  EXPECT_TRUE(client()->Unpin("nobody").status().Is(StatusCode::kNotFound));
  EXPECT_EQ(Settings(), SessionSettings());
}

// A worker that knows the session's version saves on while an operator changes
// its settings.
TEST_F(SettingsCallTest, DoNotDisturbAWorker) {
  const auto head =
      client()->PlanSave("chat", worker_.model, ToyTokens(1, 100));
  ASSERT_OK(head);
  ASSERT_OK(client()->SetPolicy("chat", {.policy = kPolicy}));
  SaveRequest request;
  request.expected = &head->head;
  const auto saved = worker_.Save("chat", ToyTokens(1, 150), request);
  ASSERT_OK(saved);
  EXPECT_EQ(saved->version.version, 2u);

  std::atomic<bool> done{false};
  std::thread operator_thread([&] {
    const auto other = daemon_.Connect();
    for (int64_t i = 1; !done; ++i) {
      EXPECT_TRUE(other->SetPolicy("chat", {.ttl_ms = i * kSecondMs}).ok());
      EXPECT_TRUE(other->Pin("chat", kForeverMs - i).ok());
    }
  });
  for (size_t count = 151; count < 200; ++count) {
    const auto next = worker_.Save("chat", ToyTokens(1, count));
    EXPECT_TRUE(next.ok()) << next.status().ToString();
  }
  done = true;
  operator_thread.join();
  EXPECT_EQ(Settings().policy, kPolicy);
  EXPECT_GT(Settings().ttl_ms, 0);
  EXPECT_EQ(client()->Describe("chat")->summary.tokens, 199u);
}

}  // namespace
}  // namespace reprise
