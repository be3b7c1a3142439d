// Whole jobs: what they take on, what they record, and how they go on.
#include "tools/compaction/compaction_job.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "store/clock_guard.h"
#include "store/fsck.h"
#include "store/job_keeper.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"
#include "tests/tools/compaction/coded_state.h"
#include "tools/compaction/policy_wishes.h"

namespace reprise {
namespace {

constexpr int kSessions = 6;

class CompactionJobTest : public CatalogueFixture {
 protected:
  CompactionJobTest() {
    rules_.policy = *ParsePolicy("series: exact 1h, near");
    SaveAll();
  }

  void SaveAll() {
    coded_ =
        std::make_unique<CodedWorker>(catalogue_.get(), tenant_, TinyModel());
    for (int s = 0; s < kSessions; ++s) {
      REPRISE_ASSERT_OK(coded_->Save(NameOf(s), TokensOf(s)));
    }
    clock_.AdvanceMs(2 * kHourMs);
  }
  void StartAgain() {
    store_ = MakeMemoryStore();
    engine_ = OpenMemoryEngine(store_);
    catalogue_ = OpenCatalogue(engine_.get());
    SaveAll();
  }
  static std::string NameOf(int s) { return "s" + std::to_string(s); }
  // Two segments and a tail.
  static std::vector<TokenId> TokensOf(int s) {
    return ToyTokens(static_cast<uint64_t>(s) + 1, 140);
  }

  struct Running {
    std::unique_ptr<PolicyWishes> wishes;
    std::unique_ptr<CompactionJob> job;
  };
  Result<Running> Start(Catalogue* catalogue, CompactionOptions options = {}) {
    if (options.holder.empty()) options.holder = "pid 1 (test)";
    options.started_by = "test";
    Running running;
    running.wishes = std::make_unique<PolicyWishes>(catalogue, &rules_);
    REPRISE_ASSIGN_OR_RETURN(
        running.job,
        CompactionJob::Start(catalogue, running.wishes.get(), options));
    return running;
  }
  static Status Finish(CompactionJob* job) {
    while (!job->ended()) REPRISE_RETURN_IF_ERROR(job->Step());
    return Status();
  }
  Status RunAll(Catalogue* catalogue, CompactionOptions options = {}) {
    REPRISE_ASSIGN_OR_RETURN(const Running running, Start(catalogue, options));
    return Finish(running.job.get());
  }
  CompactionProgress Recorded() {
    const auto recorded = ReadCompaction(engine_.get());
    EXPECT_TRUE(recorded.ok() && recorded->has_value());
    return recorded.ok() && *recorded ? **recorded : CompactionProgress();
  }
  static uint64_t CountOf(const CompactionProgress& progress,
                          SinkResult result) {
    return progress.totals.segments[static_cast<size_t>(result)];
  }
  // The tiers of a session's segments, without its tail.
  std::vector<Tier> TiersOf(std::string_view session) {
    const auto read = coded_->ReadAll(session);
    EXPECT_TRUE(read.ok()) << read.status().ToString();
    std::vector<Tier> tiers;
    if (!read.ok()) return tiers;
    for (const auto& each : *read) {
      if (!each.segment.is_tail()) tiers.push_back(each.rendition.tier);
    }
    return tiers;
  }
  void ExpectIsClean() {
    const auto report = Fsck(catalogue_.get(), {});
    REPRISE_ASSERT_OK(report.status());
    for (const auto& finding : report->findings) ADD_FAILURE() << finding.what;
  }
  void ExpectAllAreOldOrNew() {
    for (int s = 0; s < kSessions; ++s) {
      for (const Tier tier : TiersOf(NameOf(s))) {
        EXPECT_TRUE(tier == Tier::kExact || tier == Tier::kNear);
      }
    }
  }

  static inline const std::vector<Tier> kAllExact{Tier::kExact, Tier::kExact};
  static inline const std::vector<Tier> kAllNear{Tier::kNear, Tier::kNear};
  PolicyRules rules_;
  std::unique_ptr<CodedWorker> coded_;
};

TEST_F(CompactionJobTest, SinksWhatPoliciesAskForAndRecordsIt) {
  // Used, pinned, and one that shares its segments with an idle one.
  REPRISE_ASSERT_OK(
      coded_->toy().Commit(NameOf(1), TokensOf(1), clock_.WallMs()).status());
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, NameOf(2), kForeverMs).status());
  REPRISE_ASSERT_OK(
      catalogue_->Fork(tenant_, NameOf(3), CommitId(), "fork").status());
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  EXPECT_EQ(TiersOf(NameOf(0)), kAllNear);
  EXPECT_EQ(TiersOf(NameOf(1)), kAllExact);
  EXPECT_EQ(TiersOf(NameOf(2)), kAllExact);
  EXPECT_EQ(TiersOf(NameOf(3)), kAllExact);
  EXPECT_EQ(TiersOf("fork"), kAllExact);
  EXPECT_EQ(TiersOf(NameOf(5)), kAllNear);
  const CompactionProgress progress = Recorded();
  EXPECT_EQ(progress.record.phase, JobPhase::kDone);
  EXPECT_EQ(progress.record.holder, "pid 1 (test)");
  EXPECT_EQ(progress.record.started_by, "test");
  EXPECT_EQ(progress.record.done, 9u);  // three sessions, with their tails
  EXPECT_EQ(progress.record.total, 9u);
  EXPECT_EQ(CountOf(progress, SinkResult::kEncoded), 6u);
  EXPECT_EQ(CountOf(progress, SinkResult::kNothingToDo), 3u);
  EXPECT_GT(progress.totals.bytes_before, progress.totals.bytes_after);
  EXPECT_EQ(progress.totals.raw_bytes, 6 * 64 * worker_.spec().token_bytes());
  const auto json =
      nlohmann::json::parse(CompactionJson(progress), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_EQ(json["phase"], "done");
  EXPECT_EQ(json["segments"]["encoded"], 6);
  // A new run begins anew, and finds everything done.
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  EXPECT_EQ(CountOf(Recorded(), SinkResult::kEncoded), 0u);
  EXPECT_EQ(CountOf(Recorded(), SinkResult::kNothingToDo), 9u);
  ExpectIsClean();
}

TEST_F(CompactionJobTest, WhyASegmentKeepsWhatItHasIsCounted) {
  rules_.policy = *ParsePolicy("exact 1h, near");  // klt, without a profile
  const auto running = Start(catalogue_.get());
  REPRISE_ASSERT_OK(running.status());
  REPRISE_ASSERT_OK(Finish(running->job.get()));
  const CompactionProgress progress = running->job->Progress();
  EXPECT_EQ(CountOf(progress, SinkResult::kSkipped), 2u * kSessions);
  ASSERT_EQ(progress.reasons.size(), 1u);
  EXPECT_NE(progress.reasons.begin()->first.first.find("no profile"),
            std::string::npos);
  EXPECT_EQ(progress.reasons.begin()->second, 2u * kSessions);
}

TEST_F(CompactionJobTest, WhatSinksToAnotherTierIsCountedWithTheReason) {
  rules_.ladders.push_back({"holes",
                            {{Tier::kExact, "exact"},
                             {Tier::kNear, "tsc:bits=8"},
                             {Tier::kCoarse, "klt:tier=coarse"}}});
  rules_.policy = *ParsePolicy("holes: exact 1m, near 1h, coarse");
  clock_.AdvanceMs(2 * kHourMs);
  const auto running = Start(catalogue_.get());
  REPRISE_ASSERT_OK(running.status());
  REPRISE_ASSERT_OK(Finish(running->job.get()));
  const CompactionProgress progress = running->job->Progress();
  EXPECT_EQ(CountOf(progress, SinkResult::kEncoded), 2u * kSessions);
  for (int s = 0; s < kSessions; ++s) EXPECT_EQ(TiersOf(NameOf(s)), kAllNear);
  const auto json =
      nlohmann::json::parse(CompactionJson(progress), nullptr, false);
  const auto& reasons = json["kept_because"];
  ASSERT_EQ(reasons.size(), 2u);
  EXPECT_EQ(reasons[0]["segments"], kSessions);  // the tails
  EXPECT_FALSE(reasons[0].contains("sunk_to"));
  EXPECT_EQ(reasons[1]["segments"], 2 * kSessions);
  EXPECT_EQ(reasons[1]["sunk_to"], "near");
  EXPECT_EQ(reasons[1]["reason"], reasons[0]["reason"]);
}

TEST_F(CompactionJobTest, ASecondJobIsRefusedAndToldWhoHoldsIt) {
  const auto first = Start(catalogue_.get(), {.holder = "pid 7 (first)"});
  REPRISE_ASSERT_OK(first.status());
  REPRISE_ASSERT_OK(first->job->Step());
  clock_.AdvanceMs(5'000);
  const auto second = Start(catalogue_.get(), {.holder = "pid 8 (second)"});
  REPRISE_EXPECT_CODE(kFailedPrecondition, second.status());
  EXPECT_NE(second.status().message().find("pid 7 (first)"), std::string::npos);
  EXPECT_NE(second.status().message().find("5 s ago"), std::string::npos);
  REPRISE_EXPECT_CODE(kFailedPrecondition,
                      PauseRecorded(catalogue_.get(), false));
  // When it is silent for long it was cut off. Then it is the one refused.
  clock_.AdvanceMs(kCutOffMs);
  const auto third = Start(catalogue_.get(), {.holder = "pid 9 (third)"});
  REPRISE_ASSERT_OK(third.status());
  const Status replaced = Finish(first->job.get());
  REPRISE_EXPECT_CODE(kFailedPrecondition, replaced);
  EXPECT_NE(replaced.message().find("pid 9 (third)"), std::string::npos);
  REPRISE_ASSERT_OK(Finish(third->job.get()));
  EXPECT_EQ(Recorded().record.phase, JobPhase::kDone);
  EXPECT_EQ(TiersOf(NameOf(4)), kAllNear);
}

TEST_F(CompactionJobTest, OfTwoThatBeginAtOnceOneIsRefused) {
  int began = 0;
  for (int at = 0;; ++at) {
    StartAgain();
    const auto handle = OpenMemoryEngine(store_);
    FailingEngine hooked(handle.get());
    const auto other = OpenCatalogue(&hooked);
    int call = 0;
    std::optional<Result<Running>> inner;
    hooked.before = [&] {
      if (call++ == at) inner.emplace(Start(catalogue_.get()));
      return Status();
    };
    const auto outer = Start(other.get());
    hooked.before = nullptr;
    if (!inner) break;
    EXPECT_NE(inner->ok(), outer.ok()) << "call " << at;
    const Status& refused = inner->ok() ? outer.status() : inner->status();
    REPRISE_EXPECT_CODE(kFailedPrecondition, refused);
    ++began;
  }
  EXPECT_GE(began, 3);
}

TEST_F(CompactionJobTest, GoesOnWhereItWasPaused) {
  {
    const auto running = Start(catalogue_.get(), {.step_tasks = 6});
    REPRISE_ASSERT_OK(running.status());
    while (running->job->Progress().record.done < 6) {
      REPRISE_ASSERT_OK(running->job->Step());
    }
    running->job->Pause();
    REPRISE_ASSERT_OK(Finish(running->job.get()));
    EXPECT_TRUE(running->job->ended());
  }
  EXPECT_EQ(Recorded().record.phase, JobPhase::kPaused);
  EXPECT_EQ(Recorded().record.done, 6u);
  EXPECT_EQ(Recorded().record.total, 3u * kSessions);
  EXPECT_EQ(TiersOf(NameOf(0)), kAllNear);
  EXPECT_EQ(TiersOf(NameOf(5)), kAllExact);
  const int64_t started_ms = Recorded().record.started_ms;
  clock_.AdvanceMs(1000);
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  EXPECT_EQ(Recorded().record.phase, JobPhase::kDone);
  EXPECT_EQ(Recorded().record.started_ms, started_ms);
  // Nothing was looked at twice.
  EXPECT_EQ(Recorded().record.done, 3u * kSessions);
  EXPECT_EQ(CountOf(Recorded(), SinkResult::kEncoded), 2u * kSessions);
  EXPECT_EQ(TiersOf(NameOf(5)), kAllNear);
}

TEST_F(CompactionJobTest, PausingInTheMiddleOfAStepEndsIt) {
  // So slow that the first batch would take minutes.
  CompactionOptions options;
  options.sinker.bytes_per_s = 200;
  const auto running = Start(catalogue_.get(), options);
  REPRISE_ASSERT_OK(running.status());
  std::thread pausing([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    running->job->Pause();
  });
  const auto start = std::chrono::steady_clock::now();
  REPRISE_ASSERT_OK(Finish(running->job.get()));
  pausing.join();
  const std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - start;
  EXPECT_LT(spent.count(), 20);
  EXPECT_EQ(Recorded().record.phase, JobPhase::kPaused);
  EXPECT_EQ(Recorded().record.cursor, "");
  ExpectAllAreOldOrNew();
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  EXPECT_EQ(TiersOf(NameOf(5)), kAllNear);
}

TEST_F(CompactionJobTest, ACancelledOneIsNotGoneOnWith) {
  REPRISE_EXPECT_CODE(kNotFound, CancelRecorded(catalogue_.get(), true));
  {
    const auto running = Start(catalogue_.get(), {.step_tasks = 3});
    REPRISE_ASSERT_OK(running.status());
    while (running->job->Progress().record.done < 3) {
      REPRISE_ASSERT_OK(running->job->Step());
    }
  }
  // Cut off: whoever has the store alone may say what is to become of it.
  REPRISE_ASSERT_OK(PauseRecorded(catalogue_.get(), true));
  EXPECT_EQ(Recorded().record.phase, JobPhase::kPaused);
  REPRISE_ASSERT_OK(CancelRecorded(catalogue_.get(), false));
  EXPECT_EQ(Recorded().record.phase, JobPhase::kCancelled);
  REPRISE_EXPECT_CODE(kNotFound, PauseRecorded(catalogue_.get(), true));
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  EXPECT_EQ(Recorded().record.done, 3u * kSessions);
  EXPECT_EQ(CountOf(Recorded(), SinkResult::kNothingToDo),
            static_cast<uint64_t>(kSessions) + 2);
}

// A crash at every call of the engine, with and without its effect; then
// another process goes on.
TEST_F(CompactionJobTest, GoesOnAfterACrashAtAnyPoint) {
  for (const bool is_done : {false, true}) {
    for (int at = 0;; ++at) {
      StartAgain();
      const auto handle = OpenMemoryEngine(store_);
      FailingEngine hooked(handle.get());
      const auto dying = OpenCatalogue(&hooked);
      int call = 0;
      const auto die = [&]() -> Status {
        return call++ < at ? Status() : UnavailableError("killed");
      };
      (is_done ? hooked.after : hooked.before) = die;
      const Status status = RunAll(dying.get(), {.step_tasks = 6});
      if (status.ok()) break;
      ExpectAllAreOldOrNew();
      const CompactionOptions alone{.step_tasks = 6, .has_store_alone = true};
      REPRISE_ASSERT_OK(RunAll(catalogue_.get(), alone));
      for (int s = 0; s < kSessions; ++s) {
        EXPECT_EQ(TiersOf(NameOf(s)), kAllNear);
      }
      EXPECT_EQ(Recorded().record.phase, JobPhase::kDone);
      EXPECT_EQ(Recorded().record.done, 3u * kSessions);
      ExpectIsClean();
      ASSERT_FALSE(HasFailure()) << "call " << at;
    }
  }
}

TEST_F(CompactionJobTest, AFullStoreEndsItAndItGoesOnOnceThereIsRoom) {
  const auto handle = OpenMemoryEngine(store_);
  FailingEngine hooked(handle.get());
  const auto full = OpenCatalogue(&hooked);
  const auto running = Start(full.get(), {.step_tasks = 6});
  REPRISE_ASSERT_OK(running.status());
  while (running->job->Progress().record.done < 6) {
    REPRISE_ASSERT_OK(running->job->Step());
  }
  int call = 0;
  hooked.before = [&] {
    return call++ == 6 ? ResourceExhaustedError("no space") : Status();
  };
  REPRISE_EXPECT_CODE(kResourceExhausted, Finish(running->job.get()));
  EXPECT_EQ(Recorded().record.phase, JobPhase::kFailed);
  EXPECT_NE(Recorded().record.reason.find("no space"), std::string::npos);
  ExpectAllAreOldOrNew();
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  EXPECT_EQ(Recorded().record.reason, "");
  EXPECT_EQ(Recorded().record.done, 3u * kSessions);
  EXPECT_EQ(TiersOf(NameOf(5)), kAllNear);
}

TEST_F(CompactionJobTest, NothingSinksOnAClockThatJumped) {
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  rules_.policy = *ParsePolicy("series: exact 1h, near 2h, tokens");
  clock_.AdvanceMs(2 * kDayMs);
  REPRISE_EXPECT_CODE(kFailedPrecondition, RunAll(catalogue_.get()));
  EXPECT_EQ(TiersOf(NameOf(0)), kAllNear);
  REPRISE_ASSERT_OK(ConfirmClock(engine_.get(), clock_.WallMs()));
  // In the middle of a job it ends it.
  const auto running = Start(catalogue_.get(), {.step_tasks = 1});
  REPRISE_ASSERT_OK(running.status());
  while (running->job->Progress().record.done == 0) {
    REPRISE_ASSERT_OK(running->job->Step());
  }
  clock_.AdvanceMs(2 * kDayMs);
  REPRISE_EXPECT_CODE(kFailedPrecondition, Finish(running->job.get()));
  EXPECT_EQ(Recorded().record.phase, JobPhase::kFailed);
  EXPECT_EQ(TiersOf(NameOf(5)), kAllNear);
}

TEST_F(CompactionJobTest, ADamagedRecordIsNoReasonToStop) {
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  const std::string key = JobKey(kCompactJob);
  const auto head = engine_->GetHead(HeadSpace::kMeta, key);
  REPRISE_ASSERT_OK(head.status());
  const Bytes damaged(20, 1);
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kMeta, key, head->version,
                                         damaged, Durability::kSynced)
                        .status());
  REPRISE_ASSERT_OK(RunAll(catalogue_.get()));
  EXPECT_EQ(Recorded().record.phase, JobPhase::kDone);
}

}  // namespace
}  // namespace reprise
