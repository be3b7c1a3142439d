// Damage as a worker meets it: a scrub of the daemon finds it, a restore says
// from which token to recompute, and a save heals it.
#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "store/engine.h"
#include "store/records.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

using nlohmann::json;

class ScrubClientTest : public testing::Test {
 protected:
  ScrubClientTest() { EXPECT_TRUE(worker_.Save("s", tokens_).ok()); }

  json Scrub() {
    const auto text = worker_.client->Scrub({.bytes_per_s = 1ull << 30});
    EXPECT_TRUE(text.ok()) << text.status().ToString();
    return text.ok() ? json::parse(*text, nullptr, false) : json();
  }
  SegmentId Id(size_t i) {
    return SegmentIdsOf(IdOf(worker_.model), tokens_)[i];
  }
  SegmentId Tail() { return TailId(Id(1), std::span(tokens_).subspan(128)); }
  std::string Key(const SegmentId& id) { return DomainKey(tenant_, id.view()); }

  static Bytes Flipped(ByteView bytes) {
    Bytes changed(bytes.begin(), bytes.end());
    changed[changed.size() / 2] ^= 1;
    return changed;
  }
  void Flip(ObjectSpace space, const std::string& key) {
    const auto bytes = engine_->Get({space, key});
    ASSERT_OK(bytes);
    const Bytes changed = Flipped(bytes->view());
    const ObjectRef ref{space, key};
    ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX));
    const ObjectPut put{space, key, changed};
    ASSERT_TRUE(engine_->Put({&put, 1}, 1, Durability::kWritten).ok());
  }
  void Flip(HeadSpace space, const std::string& key) {
    const auto head = engine_->GetHead(space, key);
    ASSERT_OK(head);
    ASSERT_OK(engine_->CompareAndSwap(space, key, head->version,
                                      Flipped(head->value.view()),
                                      Durability::kWritten));
  }
  FrameRef FrameOf(const SegmentId& id) {
    const auto head = engine_->GetHead(HeadSpace::kRendition, Key(id));
    EXPECT_TRUE(head.ok());
    return DecodeRenditionSet(head->value.view())->renditions[0].frames[0];
  }
  void FlipFrame(const SegmentId& id) {
    const FrameRef frame = FrameOf(id);
    Flip(frame.space, FrameKey(tenant_, id, frame.rendition, frame.index));
  }

  // What was spoilt is found, costs what comes from `token` on, and is healed
  // by the next turn's save.
  void ExpectFoundAndHealed(const char* kind, uint64_t token) {
    const json report = Scrub();
    ASSERT_EQ(report["phase"], "done");
    const json findings = report["report"]["findings"];
    ASSERT_EQ(findings.size(), 1u) << findings;
    EXPECT_EQ(findings[0]["kind"], kind);
    EXPECT_EQ(findings[0]["set_aside"], true);
    EXPECT_EQ(findings[0]["session"], "s");
    const json touched = report["report"]["touched"];
    ASSERT_EQ(touched.size(), 1u);
    EXPECT_EQ(touched[0]["session"], "s");
    EXPECT_EQ(touched[0]["recompute_from_token"], token);
    const auto restored = worker_.Restore("s");
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, token);
    // What is not in the new head can't be asked for.
    if (kind != std::string_view("commit")) {
      EXPECT_EQ(restored->recompute_from, token);
    }
    // Who recomputed the rest has it all.
    ASSERT_OK(worker_.Save("s", longer_));
    const auto healed = worker_.Restore("s");
    ASSERT_OK(healed);
    EXPECT_EQ(healed->valid_end, longer_.size());
    EXPECT_FALSE(healed->recompute_from.has_value());
    const json after = Scrub();
    EXPECT_EQ(after["report"]["findings"], json::array());
    for (const json& each : after["report"]["touched"]) {
      EXPECT_EQ(each["is_head"], false);
    }
  }

  static std::vector<TokenId> WithTurn(std::vector<TokenId> tokens) {
    const auto turn = ToyTokens(2, 80);
    tokens.insert(tokens.end(), turn.begin(), turn.end());
    return tokens;
  }

  const DomainId tenant_ = TenantDomain("default");
  const std::vector<TokenId> tokens_ = ToyTokens(1, 150);
  const std::vector<TokenId> longer_ = WithTurn(tokens_);
  TestDaemon daemon_;
  Engine* const engine_ = daemon_.engine();
  TestWorker worker_{daemon_.Connect()};
};

TEST_F(ScrubClientTest, FindsNothingInAGoodStore) {
  const json report = Scrub();
  EXPECT_EQ(report["phase"], "done");
  EXPECT_EQ(report["report"]["sessions"], 1);
  EXPECT_EQ(report["report"]["finding_count"], 0);
  const auto status =
      worker_.client->Scrub({.action = ScrubCall::Action::kStatus});
  ASSERT_OK(status);
  EXPECT_EQ(json::parse(*status)["phase"], "done");
  EXPECT_EQ(worker_.client->Scrub({.action = ScrubCall::Action::kResume})
                .status()
                .code(),
            StatusCode::kNotFound);
  EXPECT_EQ(worker_.client->Scrub({.bytes_per_s = 1}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(ScrubClientTest, AFrame) {
  FlipFrame(Id(1));
  ExpectFoundAndHealed("frame", 64);
}

TEST_F(ScrubClientTest, AFrameOfTheTail) {
  FlipFrame(Tail());
  ExpectFoundAndHealed("frame", 128);
}

TEST_F(ScrubClientTest, ARenditionRecord) {
  Flip(HeadSpace::kRendition, Key(Id(1)));
  ExpectFoundAndHealed("rendition", 64);
}

TEST_F(ScrubClientTest, ASegmentRecord) {
  Flip(ObjectSpace::kSegment, Key(Id(1)));
  ExpectFoundAndHealed("segment", 64);
}

TEST_F(ScrubClientTest, TheTailsRecord) {
  Flip(ObjectSpace::kTail, Key(Tail()));
  ExpectFoundAndHealed("tail", 128);
}

TEST_F(ScrubClientTest, TheHeadsCommit) {
  const auto details = worker_.client->Describe("s");
  ASSERT_OK(details);
  Flip(ObjectSpace::kCommit,
       DomainKey(tenant_, details->summary.version.head.view()));
  // In the middle of 196 bytes is the tail's id: segments are proved still.
  ExpectFoundAndHealed("commit", 128);
}

TEST_F(ScrubClientTest, TheSessionsRecord) {
  Flip(HeadSpace::kSession, DomainKey(tenant_, AsBytes("s")));
  const json report = Scrub();
  ASSERT_EQ(report["report"]["findings"].size(), 1u);
  EXPECT_EQ(report["report"]["findings"][0]["kind"], "session");
  EXPECT_EQ(worker_.Restore("s").status().code(), StatusCode::kNotFound);
  TestWorker another(daemon_.Connect());
  const auto saved = another.Save("s", longer_);
  ASSERT_OK(saved);
  const auto healed = another.Restore("s");
  ASSERT_OK(healed);
  EXPECT_EQ(healed->valid_end, longer_.size());
}

// The same turn saved again heals too, where the worker has its KV.
TEST_F(ScrubClientTest, ASaveOfTheSameTokensHealsAFrame) {
  FlipFrame(Id(0));
  EXPECT_EQ(Scrub()["report"]["finding_count"], 1);
  EXPECT_EQ(worker_.Restore("s")->valid_end, 0u);
  ASSERT_OK(worker_.Save("s", tokens_));
  EXPECT_EQ(worker_.Restore("s")->valid_end, tokens_.size());
}

TEST_F(ScrubClientTest, ACutOffScrubGoesOnWithTheNextDaemon) {
  for (int s = 0; s < 20; ++s) {
    ASSERT_OK(
        worker_.Save("more" + std::to_string(s), ToyTokens(100 + s, 300)));
  }
  FlipFrame(Id(1));
  // At the least rate it takes longer than this test waits.
  auto slow = std::async(std::launch::async, [&] {
    const auto client = daemon_.Connect();
    return client->Scrub({.bytes_per_s = 64 << 10}).status();
  });
  json status;
  do {
    const auto text =
        worker_.client->Scrub({.action = ScrubCall::Action::kStatus});
    ASSERT_OK(text);
    status = json::parse(*text);
  } while (status["phase"] != "running" || status["done_bytes"] == 0);
  daemon_.Stop();
  EXPECT_FALSE(slow.get().ok());
  daemon_.Start();
  // It goes on by itself; asked for now, it is the same one, only faster.
  const json report = Scrub();
  EXPECT_EQ(report["phase"], "done");
  EXPECT_EQ(report["started_ms"], status["started_ms"]);
  EXPECT_EQ(report["report"]["findings"].size(), 1u);
  EXPECT_EQ(report["report"]["sessions"], 21);
}

TEST_F(ScrubClientTest, PausesAndGoesOn) {
  auto slow = std::async(std::launch::async, [&] {
    const auto client = daemon_.Connect();
    return client->Scrub({.bytes_per_s = 64 << 10});
  });
  json report;
  for (int i = 0; i < 100; ++i) {
    const auto paused =
        worker_.client->Scrub({.action = ScrubCall::Action::kPause});
    if (!paused.ok()) continue;  // not begun yet
    report = json::parse(*paused);
    break;
  }
  const auto first = slow.get();
  ASSERT_OK(first);
  EXPECT_EQ(report["phase"], "paused");
  EXPECT_EQ(json::parse(*first)["phase"], "paused");
  const auto resumed = worker_.client->Scrub(
      {.action = ScrubCall::Action::kResume, .bytes_per_s = 1ull << 30});
  ASSERT_OK(resumed);
  EXPECT_EQ(json::parse(*resumed)["phase"], "done");
  EXPECT_EQ(json::parse(*resumed)["started_ms"], report["started_ms"]);
}

}  // namespace
}  // namespace reprise
