// Whole runs: what expires, what sinks, what sinks before its time, and in
// which order space is given back.
#include "tools/compaction/compaction_run.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "store/clock_guard.h"
#include "store/collector.h"
#include "store/fsck.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class CompactionRunTest : public CatalogueFixture {
 protected:
  CompactionRunTest() { rules_.policy = *ParsePolicy("near 1d, archive"); }

  // Two segments in stages, of a few kilobytes.
  void Save(std::string_view name, uint64_t seed) {
    ToyOptions toy = StagedToy(seed);
    toy.section_bytes = 2000;
    REPRISE_ASSERT_OK(worker_.Save(name, ToyTokens(seed, 128), toy).status());
  }
  // Sessions a, b, ... an hour apart.
  void SaveSome(int count) {
    for (int i = 0; i < count; ++i) {
      Save(std::string(1, static_cast<char>('a' + i)),
           static_cast<uint64_t>(i) + 1);
      clock_.AdvanceMs(kHourMs);
    }
  }
  Status Collect() {
    ++collections_;
    const auto collector = MakeCollector(catalogue_.get(), {});
    while (collector->phase() != Collector::Phase::kDone) {
      const int64_t until_ms = collector->wait_until_ms();
      if (until_ms > clock_.MonotonicMs()) {
        clock_.AdvanceMs(until_ms - clock_.MonotonicMs());
      }
      REPRISE_RETURN_IF_ERROR(collector->Step());
    }
    return Status();
  }
  std::unique_ptr<CompactionRun> Make(const Watermarks& marks = {}) {
    RunOptions options;
    options.job.holder = "pid 1 (test)";
    options.job.started_by = "test";
    options.job.step_tasks = 1;
    options.job.has_store_alone = true;
    options.marks = marks;
    RunHooks hooks;
    hooks.collect = [this](std::atomic<bool>*) { return Collect(); };
    hooks.reclaim = [this](std::atomic<bool>*, uint32_t percent,
                           std::vector<std::string>* left) {
      reclaims_.push_back(percent);
      left->push_back("a kind: can't be read");
      return Status();
    };
    hooks.on_progress = [this](const RunProgress& progress) {
      if (stages_.empty() || stages_.back() != progress.stage) {
        stages_.push_back(progress.stage);
      }
      if (on_progress_ != nullptr) on_progress_(progress);
    };
    return std::make_unique<CompactionRun>(catalogue_.get(), rules_, options,
                                           std::move(hooks));
  }
  uint64_t Used() { return UsedBytes(engine_->GetStats()); }
  bool Exists(std::string_view name) {
    return catalogue_->GetSession(tenant_, name).ok();
  }
  JobPhase Recorded() {
    const auto recorded = ReadCompaction(engine_.get());
    EXPECT_TRUE(recorded.ok() && recorded->has_value());
    return recorded.ok() && *recorded ? (*recorded)->record.phase
                                      : JobPhase::kFailed;
  }
  Tier TierOfFirst(std::string_view name) {
    FetchRequest request;
    request.session = name;
    request.lowest = Tier::kArchive;
    request.lease_ms = 0;
    const auto plan = catalogue_->PlanFetch(tenant_, request);
    EXPECT_TRUE(plan.ok() && !plan->segments.empty());
    return plan.ok() ? plan->segments[0].rendition.tier : Tier::kTokens;
  }
  void ExpectIsClean() {
    const auto report = Fsck(catalogue_.get(), {});
    REPRISE_ASSERT_OK(report.status());
    for (const auto& finding : report->findings) ADD_FAILURE() << finding.what;
  }

  PolicyRules rules_;
  int collections_ = 0;
  std::vector<uint32_t> reclaims_;
  std::vector<RunStage> stages_;
  std::function<void(const RunProgress&)> on_progress_;
};

TEST_F(CompactionRunTest, SessionsWhoseTtlIsOverGoAndNoOthers) {
  rules_.ttl_ms = 10 * kHourMs;
  SaveSome(6);  // idle for 6 to 1 hours
  REPRISE_ASSERT_OK(
      catalogue_->SetPolicy(tenant_, "b", {.ttl_ms = kForeverMs}).status());
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, "c", kForeverMs).status());
  REPRISE_ASSERT_OK(
      catalogue_->SetPolicy(tenant_, "f", {.ttl_ms = kHourMs}).status());
  clock_.AdvanceMs(5 * kHourMs);  // 11, ..., 6
  catalogue_->MarkUsed(tenant_, "d");
  const auto run = Make();
  REPRISE_ASSERT_OK(run->Run());
  EXPECT_FALSE(Exists("a"));
  EXPECT_TRUE(Exists("b"));
  EXPECT_TRUE(Exists("c"));
  EXPECT_TRUE(Exists("d"));
  EXPECT_TRUE(Exists("e"));
  EXPECT_FALSE(Exists("f"));
  EXPECT_EQ(run->Progress().sessions_removed, 2u);
  EXPECT_EQ(collections_, 1) << "what they held is garbage";
  EXPECT_LT(run->Progress().used_bytes_after,
            run->Progress().used_bytes_before * 4 / 5);
  EXPECT_EQ(nlohmann::json::parse(RunJson(run->Progress()))["sessions_removed"],
            2);
  ExpectIsClean();
}

TEST_F(CompactionRunTest, NothingGoesOrSinksOnAClockThatJumped) {
  rules_.ttl_ms = kDayMs;
  SaveSome(2);
  REPRISE_ASSERT_OK(Make()->Run());  // writes the time down
  clock_.AdvanceMs(kDayMs + kHourMs);
  REPRISE_EXPECT_CODE(kFailedPrecondition, Make(UntilBelow(1))->Run());
  EXPECT_TRUE(Exists("a"));
  EXPECT_EQ(TierOfFirst("a"), Tier::kNear);
  REPRISE_ASSERT_OK(ConfirmClock(engine_.get(), clock_.WallMs()));
  REPRISE_ASSERT_OK(Make()->Run());
  EXPECT_FALSE(Exists("a"));
  EXPECT_FALSE(Exists("b"));
}

// A clock that jumps in the middle of the pass over sessions.
TEST_F(CompactionRunTest, AClockThatJumpsMeanwhileEndsIt) {
  rules_.ttl_ms = kHourMs;
  for (uint64_t i = 0; i < 200; ++i) Save("s" + std::to_string(i), i + 1);
  REPRISE_ASSERT_OK(Make()->Run());
  on_progress_ = [&](const RunProgress& progress) {
    if (progress.stage == RunStage::kExpire) clock_.AdvanceMs(2 * kDayMs);
  };
  REPRISE_EXPECT_CODE(kFailedPrecondition, Make()->Run());
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(Exists("s" + std::to_string(i)));
}

TEST_F(CompactionRunTest, WithoutALimitPoliciesAreAllThatCounts) {
  SaveSome(3);
  const auto run = Make();
  REPRISE_ASSERT_OK(run->Run());
  EXPECT_EQ(TierOfFirst("a"), Tier::kNear);
  EXPECT_EQ(collections_, 0) << "nothing became garbage";
  EXPECT_EQ(reclaims_, std::vector<uint32_t>{25});
  EXPECT_EQ(run->Progress().left.size(), 1u);
  clock_.AdvanceMs(kDayMs);
  REPRISE_ASSERT_OK(Make()->Run());
  EXPECT_EQ(TierOfFirst("a"), Tier::kArchive);
  EXPECT_EQ(collections_, 1);
  EXPECT_FALSE(run->Progress().is_over);
  ExpectIsClean();
}

TEST_F(CompactionRunTest, GarbageThatWaitsForTheCollectorIsNoReasonToSink) {
  SaveSome(4);
  const uint64_t used = Used();
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "a"));
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "b"));
  const auto run = Make({used, 80, 70});
  REPRISE_ASSERT_OK(run->Run());
  EXPECT_EQ(run->Progress().space_rounds, 0u);
  EXPECT_EQ(collections_, 1);
  EXPECT_EQ(reclaims_[0], 3u) << "short of space: files are worth a copy";
  EXPECT_LT(Used(), used * 70 / 100);
  EXPECT_EQ(TierOfFirst("c"), Tier::kNear);
}

TEST_F(CompactionRunTest, OverTheHighWatermarkSessionsSinkDownToTheLowOne) {
  SaveSome(6);
  const uint64_t used = Used();
  const auto run = Make({used, 95, 60});
  REPRISE_ASSERT_OK(run->Run());
  EXPECT_LE(Used(), used * 95 / 100);
  EXPECT_EQ(run->Progress().used_bytes_after, Used());
  EXPECT_FALSE(run->Progress().is_over);
  EXPECT_EQ(run->Progress().target_bytes,
            used / 100 * 60 + used % 100 * 60 / 100);
  // The longest idle went first, and no more than that needed.
  EXPECT_EQ(TierOfFirst("a"), Tier::kArchive);
  EXPECT_EQ(TierOfFirst("f"), Tier::kNear);
  EXPECT_EQ(Recorded(), JobPhase::kDone);
  const auto json = nlohmann::json::parse(RunJson(run->Progress()));
  EXPECT_EQ(json["phase"], "done");
  EXPECT_EQ(json["stage"], "ended");
  EXPECT_EQ(json["used_bytes_before"], used);
  EXPECT_GT(json["segments"]["derived"], 0);
  ExpectIsClean();
}

TEST_F(CompactionRunTest, WhatCanNotBeReachedIsSaid) {
  SaveSome(4);
  const auto run = Make(UntilBelow(100));
  REPRISE_ASSERT_OK(run->Run());
  EXPECT_TRUE(run->Progress().is_over);
  for (const char* name : {"a", "b", "c", "d"}) {
    EXPECT_EQ(TierOfFirst(name), Tier::kArchive);
  }
  EXPECT_LE(run->Progress().space_rounds, CompactionRun::kMaxSpaceRounds);
  // What is in use is spared, however short space is.
  Save("z", 99);
  REPRISE_ASSERT_OK(Make(UntilBelow(100))->Run());
  EXPECT_EQ(TierOfFirst("z"), Tier::kNear);
}

TEST_F(CompactionRunTest, PausedCancelledOrInterruptedItEndsAtAnyStage) {
  using Ask = void (CompactionRun::*)();
  struct Case {
    Ask ask;
    JobPhase phase;
  };
  for (const Case& each :
       {Case{&CompactionRun::Pause, JobPhase::kPaused},
        Case{&CompactionRun::Cancel, JobPhase::kCancelled},
        Case{&CompactionRun::Interrupt, JobPhase::kRunning}}) {
    for (const RunStage stage :
         {RunStage::kExpire, RunStage::kPolicy, RunStage::kSpace}) {
      SaveSome(4);
      clock_.AdvanceMs(kHourMs);
      const auto run = Make(UntilBelow(100));
      on_progress_ = [&](const RunProgress& progress) {
        if (progress.stage == stage) (run.get()->*each.ask)();
      };
      stages_.clear();
      REPRISE_ASSERT_OK(run->Run());
      on_progress_ = nullptr;
      EXPECT_EQ(Recorded(), each.phase) << RunStageName(stage);
      EXPECT_EQ(stages_.back(), RunStage::kEnded);
      EXPECT_EQ(run->Progress().jobs.record.phase, each.phase);
      // Another one goes on, or begins anew, and comes to the end.
      REPRISE_ASSERT_OK(Make(UntilBelow(100))->Run());
      EXPECT_EQ(Recorded(), JobPhase::kDone);
      EXPECT_EQ(TierOfFirst("a"), Tier::kArchive);
      ExpectIsClean();
    }
  }
}

TEST_F(CompactionRunTest, ACollectionThatFailsFailsTheRun) {
  SaveSome(3);
  RunOptions options;
  options.job.has_store_alone = true;
  options.marks = UntilBelow(100);
  RunHooks hooks;
  hooks.collect = [](std::atomic<bool>*) { return DataLossError("a record"); };
  CompactionRun run(catalogue_.get(), rules_, options, hooks);
  REPRISE_EXPECT_CODE(kDataLoss, run.Run());
  const auto json = nlohmann::json::parse(RunJson(run.Progress()));
  EXPECT_EQ(json["phase"], "done") << "the job before it";
  EXPECT_EQ(json["failure"], "a record");
  EXPECT_TRUE(run.Progress().is_over);
  EXPECT_EQ(TierOfFirst("a"), Tier::kNear) << "garbage could be what is over";
}

}  // namespace
}  // namespace reprise
