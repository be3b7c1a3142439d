// A session's policy, TTL and pin, alone and beside saves, forks and rewinds.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/duration.h"
#include "base/limits.h"
#include "store/policy.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"

namespace reprise {
namespace {

class SettingsTest : public CatalogueFixture {
 protected:
  static constexpr std::string_view kPolicy = "exact 1h, near 1d, tokens";

  SettingsTest() : tokens_(ToyTokens(1, 400)) {
    EXPECT_TRUE(worker_.Save("chat", Head(100)).ok());
  }

  std::span<const TokenId> Head(size_t count) const {
    return std::span(tokens_).first(count);
  }

  const std::vector<TokenId> tokens_;
};

TEST_F(SettingsTest, AreTheDefaultsAtFirst) {
  const SessionRecord record = Session("chat");
  EXPECT_EQ(record.policy, "");
  EXPECT_EQ(record.ttl_ms, 0);
  EXPECT_EQ(record.pinned_until_ms, 0);
}

TEST_F(SettingsTest, KeepACanonicalPolicy) {
  const auto record = catalogue_->SetPolicy(
      tenant_, "chat", {.policy = " exact 60m,near 24h ,tokens"});
  REPRISE_ASSERT_OK(record.status());
  EXPECT_EQ(record->policy, kPolicy);
  EXPECT_EQ(Session("chat"), *record);
  // Empty is the default, not a policy.
  REPRISE_ASSERT_OK(
      catalogue_->SetPolicy(tenant_, "chat", {.policy = ""}).status());
  EXPECT_EQ(Session("chat").policy, "");
}

TEST_F(SettingsTest, ChangeOnlyWhatIsSaid) {
  REPRISE_ASSERT_OK(catalogue_
                        ->SetPolicy(tenant_, "chat",
                                    {.policy = kPolicy, .ttl_ms = 90 * kDayMs})
                        .status());
  REPRISE_ASSERT_OK(
      catalogue_->SetPolicy(tenant_, "chat", {.ttl_ms = kForeverMs}).status());
  EXPECT_EQ(Session("chat").policy, kPolicy);
  EXPECT_EQ(Session("chat").ttl_ms, kForeverMs);
  REPRISE_ASSERT_OK(
      catalogue_->SetPolicy(tenant_, "chat", {.policy = "exact"}).status());
  EXPECT_EQ(Session("chat").ttl_ms, kForeverMs);
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, "chat", kForeverMs).status());
  EXPECT_EQ(Session("chat").policy, "exact");
  EXPECT_EQ(Session("chat").ttl_ms, kForeverMs);
  REPRISE_ASSERT_OK(
      catalogue_->SetPolicy(tenant_, "chat", {.ttl_ms = 0}).status());
  EXPECT_EQ(Session("chat").ttl_ms, 0);
  EXPECT_EQ(Session("chat").pinned_until_ms, kForeverMs);
}

// A worker that saw the session before goes on, and idle time goes on too.
TEST_F(SettingsTest, NeitherMoveTheVersionNorCountAsAChange) {
  const SessionRecord before = Session("chat");
  clock_.AdvanceMs(kHourMs);
  REPRISE_ASSERT_OK(
      catalogue_->SetPolicy(tenant_, "chat", {.policy = kPolicy}).status());
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, "chat", kForeverMs).status());
  SessionRecord expected = before;
  expected.policy = kPolicy;
  expected.pinned_until_ms = kForeverMs;
  EXPECT_EQ(Session("chat"), expected);
  EXPECT_EQ(catalogue_->GetSession(tenant_, "chat")->last_use_ms, 0);
}

TEST_F(SettingsTest, RefuseWhatIsNoPolicyAndNoTtl) {
  const auto refused = catalogue_->SetPolicy(
      tenant_, "chat", {.policy = "exact 1h, nera 1d", .ttl_ms = kDayMs});
  REPRISE_EXPECT_CODE(kInvalidArgument, refused);
  EXPECT_NE(refused.status().message().find("column 11"), std::string::npos)
      << refused.status().ToString();
  for (const int64_t ttl_ms : {int64_t{-1}, int64_t{999}, kMaxDurationMs + 1,
                               kForeverMs - 1, INT64_MIN}) {
    REPRISE_EXPECT_CODE(
        kInvalidArgument,
        catalogue_->SetPolicy(tenant_, "chat", {.ttl_ms = ttl_ms}));
  }
  const SessionRecord record = Session("chat");
  EXPECT_EQ(record.policy, "");
  EXPECT_EQ(record.ttl_ms, 0);
}

TEST_F(SettingsTest, APinEndsInTheFutureOrNever) {
  const int64_t now_ms = clock_.WallMs();
  for (const int64_t until_ms : {int64_t{-1}, int64_t{1}, now_ms}) {
    REPRISE_EXPECT_CODE(kInvalidArgument,
                        catalogue_->Pin(tenant_, "chat", until_ms));
  }
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, "chat", now_ms + 1).status());
  EXPECT_EQ(Session("chat").pinned_until_ms, now_ms + 1);
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, "chat", 0).status());
  EXPECT_EQ(Session("chat").pinned_until_ms, 0);
}

TEST_F(SettingsTest, AreOfSessionsThatExist) {
  REPRISE_EXPECT_CODE(
      kNotFound, catalogue_->SetPolicy(tenant_, "no", {.policy = "exact"}));
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->Pin(tenant_, "no", kForeverMs));
  REPRISE_EXPECT_CODE(kInvalidArgument, catalogue_->Pin(tenant_, "", 0));
  REPRISE_EXPECT_CODE(kNotFound,
                      catalogue_->SetPolicy(TenantDomain("other"), "chat", {}));
}

TEST_F(SettingsTest, StayThroughSavesAndRewinds) {
  REPRISE_ASSERT_OK(
      catalogue_
          ->SetPolicy(tenant_, "chat", {.policy = kPolicy, .ttl_ms = kYearMs})
          .status());
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, "chat", kForeverMs).status());
  REPRISE_ASSERT_OK(worker_.Save("chat", Head(200)).status());
  SessionRecord record = Session("chat");
  REPRISE_ASSERT_OK(catalogue_
                        ->Rewind(tenant_, "chat", record.incarnation,
                                 record.version, {.token_count = 64})
                        .status());
  record = Session("chat");
  EXPECT_EQ(record.token_count, 64u);
  EXPECT_EQ(record.policy, kPolicy);
  EXPECT_EQ(record.ttl_ms, kYearMs);
  EXPECT_EQ(record.pinned_until_ms, kForeverMs);
}

TEST_F(SettingsTest, AForkGetsPolicyAndTtlAndNoPin) {
  REPRISE_ASSERT_OK(
      catalogue_
          ->SetPolicy(tenant_, "chat", {.policy = kPolicy, .ttl_ms = kYearMs})
          .status());
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, "chat", kForeverMs).status());
  REPRISE_ASSERT_OK(catalogue_->Fork(tenant_, "chat", {}, "twin").status());
  EXPECT_EQ(Session("twin").policy, kPolicy);
  EXPECT_EQ(Session("twin").ttl_ms, kYearMs);
  EXPECT_EQ(Session("twin").pinned_until_ms, 0);
}

TEST_F(SettingsTest, ANameMadeAgainBeginsWithTheDefaults) {
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, "chat", kForeverMs).status());
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "chat"));
  REPRISE_ASSERT_OK(worker_.Save("chat", Head(64)).status());
  EXPECT_EQ(Session("chat").pinned_until_ms, 0);
}

// Settings change right before call N of a save, of a rewind and of a change
// of settings, for all N: all of them are there in the end.
TEST_F(SettingsTest, ThatChangeInTheMiddleOfAnythingAreKept) {
  enum What { kSave, kRewind, kSetPolicy, kWhats };
  for (int what = kSave; what < kWhats; ++what) {
    bool interrupted = true;
    int most = 0;
    for (int n = 0; interrupted; ++n) {
      ASSERT_LT(n, 100);
      const std::string name = std::to_string(what) + "/" + std::to_string(n);
      REPRISE_ASSERT_OK(worker_.Save(name, Head(100)).status());
      const SessionRecord before = Session(name);
      FailingEngine hooked(engine_.get());
      const auto catalogue = OpenCatalogue(&hooked);
      ToyWorker worker(catalogue.get(), tenant_, TinyModel());
      int calls = 0;
      interrupted = false;
      hooked.before = [&]() -> Status {
        if (calls++ == n) {
          interrupted = true;
          EXPECT_TRUE(catalogue_->Pin(tenant_, name, kForeverMs).ok());
        }
        return Status();
      };
      if (what == kSave) {
        REPRISE_ASSERT_OK(worker.Save(name, Head(200)).status());
      } else if (what == kRewind) {
        REPRISE_ASSERT_OK(catalogue
                              ->Rewind(tenant_, name, before.incarnation,
                                       before.version, {.token_count = 64})
                              .status());
      } else {
        REPRISE_ASSERT_OK(
            catalogue->SetPolicy(tenant_, name, {.policy = kPolicy}).status());
      }
      const SessionRecord after = Session(name);
      EXPECT_EQ(after.pinned_until_ms, interrupted ? kForeverMs : 0) << name;
      EXPECT_EQ(after.version, what == kSetPolicy ? 1u : 2u) << name;
      const uint64_t counts[] = {200, 64, 100};
      EXPECT_EQ(after.token_count, counts[what]) << name;
      EXPECT_EQ(after.policy, what == kSetPolicy ? kPolicy : "") << name;
      REPRISE_ASSERT_OK(ReadAll(name));
      most = n;
    }
    EXPECT_GE(most, 3);  // a load and a swing were interrupted
  }
}

// A head that moved is no matter of settings: the save is refused as ever.
TEST_F(SettingsTest, DoNotHideAHeadThatMoved) {
  FailingEngine hooked(engine_.get());
  const auto catalogue = OpenCatalogue(&hooked);
  const SessionRecord before = Session("chat");
  int swings = 0;
  hooked.before = [&]() -> Status {
    const SessionRecord now = Session("chat");
    if (now.version == before.version && swings++ == 3) {
      EXPECT_TRUE(catalogue_->Pin(tenant_, "chat", kForeverMs).ok());
      EXPECT_TRUE(worker_.Save("chat", Head(128)).ok());
    }
    return Status();
  };
  const Status rewound = catalogue
                             ->Rewind(tenant_, "chat", before.incarnation,
                                      before.version, {.token_count = 64})
                             .status();
  ASSERT_GT(swings, 3);
  REPRISE_EXPECT_CODE(kFailedPrecondition, rewound);
  EXPECT_EQ(Session("chat").token_count, 128u);
  EXPECT_EQ(Session("chat").pinned_until_ms, kForeverMs);
}

// --- Removal of what is due. ---

TEST_F(SettingsTest, OnlyWhatIsDueIsRemoved) {
  const auto refused = catalogue_->RemoveSessionIf(
      tenant_, "chat", [](const SessionInfo&) { return false; });
  REPRISE_ASSERT_OK(refused.status());
  EXPECT_FALSE(*refused);
  EXPECT_EQ(Session("chat").token_count, 100u);
  const auto removed =
      catalogue_->RemoveSessionIf(tenant_, "chat", [](const SessionInfo& info) {
        return info.name == "chat" && info.record.token_count == 100;
      });
  REPRISE_ASSERT_OK(removed.status());
  EXPECT_TRUE(*removed);
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->GetSession(tenant_, "chat"));
  REPRISE_EXPECT_CODE(
      kNotFound, catalogue_->RemoveSessionIf(
                     tenant_, "chat", [](const SessionInfo&) { return true; }));
}

// Uses that are not written yet count too.
TEST_F(SettingsTest, ASessionThatWasJustUsedIsSeenAsUsed) {
  REPRISE_ASSERT_OK(catalogue_->Flush());
  clock_.AdvanceMs(1'000'000);
  catalogue_->MarkUsed(tenant_, "chat");  // written
  clock_.AdvanceMs(10);
  catalogue_->MarkUsed(tenant_, "chat");  // gathered
  int64_t seen_ms = 0;
  REPRISE_ASSERT_OK(catalogue_
                        ->RemoveSessionIf(tenant_, "chat",
                                          [&](const SessionInfo& info) {
                                            seen_ms = info.last_use_ms;
                                            return false;
                                          })
                        .status());
  EXPECT_EQ(seen_ms, clock_.WallMs());
  EXPECT_EQ(catalogue_->GetSession(tenant_, "chat")->last_use_ms,
            clock_.WallMs() - 10);
}

// Who can't say when it was used last must not remove it for that.
TEST_F(SettingsTest, ASessionWithADamagedLastUseStays) {
  catalogue_->MarkUsed(tenant_, "chat");
  REPRISE_ASSERT_OK(catalogue_->Flush());
  const std::string key = DomainKey(tenant_, AsBytes(std::string_view("chat")));
  const auto record = engine_->GetHead(HeadSpace::kLastUse, key);
  REPRISE_ASSERT_OK(record.status());
  Bytes bytes(record->value.view().begin(), record->value.view().end());
  bytes.back() ^= 1;
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kLastUse, key,
                                         record->version, bytes,
                                         Durability::kWritten)
                        .status());
  REPRISE_EXPECT_CODE(
      kDataLoss, catalogue_->RemoveSessionIf(
                     tenant_, "chat", [](const SessionInfo&) { return true; }));
  EXPECT_EQ(Session("chat").token_count, 100u);
  // It is shown all the same.
  EXPECT_EQ(catalogue_->GetSession(tenant_, "chat")->last_use_ms, 0);
}

// A save or a pin before call N of the removal, for all N: the session stays,
// with what was saved. After the last call it is gone.
TEST_F(SettingsTest, ASessionThatIsSavedToOrPinnedMeanwhileStays) {
  for (const bool pins : {false, true}) {
    bool interrupted = true;
    int most = 0;
    for (int n = 0; interrupted; ++n) {
      ASSERT_LT(n, 20);
      const std::string name = (pins ? "p" : "s") + std::to_string(n);
      REPRISE_ASSERT_OK(worker_.Save(name, Head(100)).status());
      FailingEngine hooked(engine_.get());
      const auto catalogue = OpenCatalogue(&hooked);
      int calls = 0;
      interrupted = false;
      hooked.before = [&]() -> Status {
        if (calls++ == n) {
          interrupted = true;
          const Status done =
              pins ? catalogue_->Pin(tenant_, name, kForeverMs).status()
                   : worker_.Save(name, Head(200)).status();
          // Where the session is gone already, a save makes it anew.
          EXPECT_TRUE(done.ok() || done.Is(StatusCode::kNotFound));
        }
        return Status();
      };
      int asked = 0;
      const auto removed = catalogue->RemoveSessionIf(
          tenant_, name, [&](const SessionInfo& info) {
            ++asked;
            return info.record.token_count == 100 &&
                   info.record.pinned_until_ms == 0;
          });
      REPRISE_ASSERT_OK(removed.status());
      EXPECT_GE(asked, 1);
      const auto now = catalogue_->GetSession(tenant_, name);
      if (!*removed) {
        ASSERT_TRUE(interrupted);
        REPRISE_ASSERT_OK(now.status());
        EXPECT_EQ(now->record.token_count, pins ? 100u : 200u);
        REPRISE_ASSERT_OK(ReadAll(name));
        most = std::max(most, n);
      } else if (now.ok()) {
        // Made anew after it was removed.
        EXPECT_FALSE(pins);
        EXPECT_EQ(now->record.version, 1u);
      }
    }
    EXPECT_GE(most, 2);  // up to the removal itself
  }
}

// Threads that change each of the settings beside one that saves: no save is
// refused, and what each wrote last is there.
TEST_F(SettingsTest, AndSavesBesideEachOtherLoseNothing) {
  const auto other = OpenMemoryEngine(store_);
  const auto second = OpenCatalogue(other.get());
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  std::string last_policy;
  int64_t last_ttl_ms = 0;
  int64_t last_pin_ms = 0;
  threads.emplace_back([&] {
    for (int i = 1; !done; ++i) {
      last_policy = "exact " + std::to_string(i) + "s, tokens";
      last_policy = FormatPolicy(*ParsePolicy(last_policy));
      EXPECT_TRUE(
          second->SetPolicy(tenant_, "chat", {.policy = last_policy}).ok());
    }
  });
  threads.emplace_back([&] {
    for (int i = 1; !done; ++i) {
      last_ttl_ms = i * kSecondMs;
      EXPECT_TRUE(
          catalogue_->SetPolicy(tenant_, "chat", {.ttl_ms = last_ttl_ms}).ok());
    }
  });
  threads.emplace_back([&] {
    for (int i = 1; !done; ++i) {
      last_pin_ms = clock_.WallMs() + i;
      EXPECT_TRUE(second->Pin(tenant_, "chat", last_pin_ms).ok());
    }
  });
  for (size_t count = 101; count <= 400; ++count) {
    const Status saved = worker_.Save("chat", Head(count)).status();
    EXPECT_TRUE(saved.ok()) << count << ": " << saved.ToString();
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  const SessionRecord record = Session("chat");
  EXPECT_EQ(record.token_count, 400u);
  EXPECT_EQ(record.version, 301u);
  EXPECT_EQ(record.policy, last_policy);
  EXPECT_EQ(record.ttl_ms, last_ttl_ms);
  EXPECT_EQ(record.pinned_until_ms, last_pin_ms);
  REPRISE_ASSERT_OK(ReadAll("chat"));
}

}  // namespace
}  // namespace reprise
