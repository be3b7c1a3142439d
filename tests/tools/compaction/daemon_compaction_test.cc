// Compactions of a daemon, whose clock is moved by hand: when they begin by
// themselves and when they don't, what operators ask of them, and restarts.
#include "tools/compaction/daemon_compaction.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "api/admin_json.h"
#include "api/admin_metrics.h"
#include "store/clock_guard.h"
#include "store/fsck.h"
#include "store/job_keeper.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/tools/compaction/coded_state.h"
#include "tools/compaction/run_request.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr int kSessions = 4;

class DaemonCompactionTest : public CatalogueFixture {
 protected:
  DaemonCompactionTest() : coded_(catalogue_.get(), tenant_, TinyModel()) {
    options_.rules.policy = *ParsePolicy("series: exact 1h, near");
    options_.look_ms = kMinuteMs;
    for (int s = 0; s < kSessions; ++s) {
      REPRISE_EXPECT_CODE(kOk, coded_.Save(NameOf(s), TokensOf(s)));
    }
  }
  ~DaemonCompactionTest() override { StopDaemon(); }

  static std::string NameOf(int s) { return "s" + std::to_string(s); }
  // Two segments and a tail.
  static std::vector<TokenId> TokensOf(int s) {
    return ToyTokens(static_cast<uint64_t>(s) + 1, 140);
  }
  void StartDaemon() {
    jobs_ = std::make_unique<Jobs>(
        catalogue_.get(), &clock_,
        JobsOptions{.collect_interval_ms = 0, .collector = {.wait_ms = 5}});
    daemon_ = std::make_unique<DaemonCompaction>(catalogue_.get(), jobs_.get(),
                                                 options_);
  }
  void StopDaemon() {
    daemon_.reset();
    jobs_.reset();
  }

  // Moves the clock on until it is true; collections wait for that. Slowly
  // while a run is under way: what it writes must be published within a minute.
  bool Await(const std::function<bool()>& is_true, int64_t step_ms = 1) {
    for (int i = 0; i < 4000 && !is_true(); ++i) {
      const bool is_running =
          daemon_ != nullptr && daemon_->Figures().is_running;
      clock_.AdvanceMs(is_running ? 1 : step_ms);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return is_true();
  }
  // So that hours pass in seconds.
  static constexpr int64_t kFast = 20 * kSecondMs;
  bool AwaitRuns(uint64_t runs) {
    return Await([&] { return daemon_->Figures().runs >= runs; });
  }
  // Time passes, and the daemon has the time to do something about it.
  void Pass(int64_t ms) {
    clock_.AdvanceMs(ms);
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
  }
  JobState::Progress Ask(CompactionRequest request) {
    const auto job = daemon_->Start(request);
    JobState::Progress progress;
    progress.status = job.status();
    if (!job.ok()) return progress;
    EXPECT_TRUE(Await([&] { return (*job)->Get().finished; }));
    return (*job)->Get();
  }
  JobState::Progress Ask(CompactionAction action) {
    return Ask(CompactionRequest{.action = action});
  }
  static json ReportOf(const JobState::Progress& progress) {
    return json::parse(progress.json, nullptr, false);
  }
  uint64_t CountOf(const std::string& result) {
    for (const auto& [name, count] : daemon_->Figures().segments) {
      if (name == result) return count;
    }
    return 0;
  }
  bool IsNear(int s) {
    const auto read = coded_.ReadAll(NameOf(s));
    EXPECT_TRUE(read.ok()) << read.status().ToString();
    return read.ok() && (*read)[0].rendition.tier == Tier::kNear;
  }
  void ExpectIsClean() {
    const auto report = Fsck(catalogue_.get(), {});
    REPRISE_ASSERT_OK(report.status());
    for (const auto& finding : report->findings) ADD_FAILURE() << finding.what;
  }
  // A run that would take hours, under way.
  JobHandle StartSlowRun() {
    CompactionRequest slow;
    slow.bytes_per_s = 10;
    const auto job = daemon_->Start(slow);
    EXPECT_TRUE(job.ok()) << job.status().ToString();
    EXPECT_TRUE(Await([&] {
      return (*job)->Get().detail.find("\"policy\"") != std::string::npos;
    }));
    return *job;
  }

  DaemonCompactionOptions options_;
  CodedWorker coded_;
  std::unique_ptr<Jobs> jobs_;
  std::unique_ptr<DaemonCompaction> daemon_;
};

TEST_F(DaemonCompactionTest, RunsByItselfAtTheInterval) {
  StartDaemon();
  Pass(kHourMs / 2);
  EXPECT_EQ(daemon_->Figures().runs, 0u);
  ASSERT_TRUE(Await([&] { return daemon_->Figures().runs == 1; }, kFast));
  EXPECT_TRUE(IsNear(0));
  EXPECT_EQ(CountOf("encoded"), 2u * kSessions);
  const CompactionFigures figures = daemon_->Figures();
  EXPECT_GT(figures.bytes_before, figures.bytes_after);
  EXPECT_GT(figures.last_end_ms, 0);
  EXPECT_FALSE(figures.is_running);
  Pass(kHourMs / 2);
  EXPECT_EQ(daemon_->Figures().runs, 1u);
  ASSERT_TRUE(Await([&] { return daemon_->Figures().runs == 2; }, kFast));
  EXPECT_EQ(CountOf("encoded"), 2u * kSessions);
  ExpectIsClean();
}

TEST_F(DaemonCompactionTest, WithoutAnIntervalItRunsOnlyOnRequest) {
  options_.interval_ms = 0;
  options_.marks = {.max_bytes = 100};
  StartDaemon();
  Pass(5 * kHourMs);
  EXPECT_EQ(daemon_->Figures().runs, 0u);
  const auto run = Ask(CompactionAction::kRun);
  REPRISE_ASSERT_OK(run.status);
  const json report = ReportOf(run);
  EXPECT_EQ(report["phase"], "done");
  EXPECT_EQ(report["started_by"], "request");
  EXPECT_EQ(report["segments"]["encoded"], 2 * kSessions);
  json status = ReportOf(Ask(CompactionAction::kStatus));
  EXPECT_EQ(status["is_running"], false);
  status.erase("is_running");
  status.erase("waits_for_clock");
  EXPECT_EQ(status, report);
}

TEST_F(DaemonCompactionTest, ARequestHasItsOwnPolicyAndIsChecked) {
  options_.interval_ms = 0;
  StartDaemon();
  EXPECT_EQ(ReportOf(Ask(CompactionAction::kStatus))["phase"], "none");
  CompactionRequest request;
  request.policy = "exact 1x";
  REPRISE_EXPECT_CODE(kInvalidArgument, Ask(request).status);
  request.policy = "mine: near";
  REPRISE_EXPECT_CODE(kInvalidArgument, Ask(request).status);
  request.ladders = {"mine.near=nothing"};
  REPRISE_EXPECT_CODE(kInvalidArgument, Ask(request).status);
  request.ladders = {"mine.near=tsc:bits=8"};
  request.threads = 257;
  REPRISE_EXPECT_CODE(kInvalidArgument, Ask(request).status);
  EXPECT_EQ(daemon_->Figures().runs, 0u);
  request.threads = 2;
  const auto run = Ask(request);
  REPRISE_ASSERT_OK(run.status);
  EXPECT_TRUE(IsNear(0)) << "at once, by the policy of the request";
}

TEST_F(DaemonCompactionTest, PausedItWaitsForAnOperator) {
  clock_.AdvanceMs(2 * kHourMs);
  StartDaemon();
  REPRISE_EXPECT_CODE(kNotFound, Ask(CompactionAction::kPause).status);
  REPRISE_EXPECT_CODE(kNotFound, Ask(CompactionAction::kCancel).status);
  REPRISE_EXPECT_CODE(kNotFound, Ask(CompactionAction::kResume).status);
  const JobHandle run = StartSlowRun();
  const auto second = Ask(CompactionAction::kRun);
  REPRISE_EXPECT_CODE(kFailedPrecondition, second.status);
  EXPECT_NE(second.status.message().find("request"), std::string::npos);
  EXPECT_EQ(ReportOf(Ask(CompactionAction::kStatus))["phase"], "running");
  EXPECT_TRUE(daemon_->Figures().is_running);
  const auto paused = Ask(CompactionAction::kPause);
  REPRISE_ASSERT_OK(paused.status);
  EXPECT_EQ(ReportOf(paused)["phase"], "paused");
  EXPECT_EQ(ReportOf(run->Get())["phase"], "paused");
  EXPECT_TRUE(daemon_->Figures().is_paused);
  Pass(3 * kHourMs);
  EXPECT_EQ(daemon_->Figures().runs, 1u);
  // Also after a restart.
  StopDaemon();
  StartDaemon();
  EXPECT_TRUE(daemon_->Figures().is_paused);
  Pass(3 * kHourMs);
  EXPECT_EQ(daemon_->Figures().runs, 0u);
  EXPECT_FALSE(IsNear(3));
  // At its own rate it would take hours.
  const auto resumed =
      Ask({.action = CompactionAction::kResume, .bytes_per_s = 0});
  REPRISE_ASSERT_OK(resumed.status);
  EXPECT_EQ(ReportOf(resumed)["phase"], "done");
  EXPECT_EQ(ReportOf(resumed)["options"], "rate=0\n");
  EXPECT_FALSE(daemon_->Figures().is_paused);
  EXPECT_TRUE(IsNear(3));
  REPRISE_EXPECT_CODE(kNotFound, Ask(CompactionAction::kResume).status);
}

TEST_F(DaemonCompactionTest, CancelledItBeginsAnewAtTheInterval) {
  clock_.AdvanceMs(2 * kHourMs);
  StartDaemon();
  const JobHandle run = StartSlowRun();
  EXPECT_EQ(ReportOf(Ask(CompactionAction::kCancel))["phase"], "cancelled");
  EXPECT_EQ(ReportOf(run->Get())["phase"], "cancelled");
  REPRISE_EXPECT_CODE(kNotFound, Ask(CompactionAction::kResume).status);
  ASSERT_TRUE(Await([&] { return daemon_->Figures().runs == 2; }, kFast));
  EXPECT_TRUE(IsNear(3));
  // A paused one can be given up too.
  StopDaemon();
  REPRISE_ASSERT_OK(coded_.Save("late", ToyTokens(77, 300)));
  clock_.AdvanceMs(2 * kHourMs);
  options_.interval_ms = 0;
  StartDaemon();
  (void)StartSlowRun();
  REPRISE_ASSERT_OK(Ask(CompactionAction::kPause).status);
  EXPECT_EQ(ReportOf(Ask(CompactionAction::kCancel))["phase"], "cancelled");
  EXPECT_FALSE(daemon_->Figures().is_paused);
}

TEST_F(DaemonCompactionTest, StopsWithinAStepAndGoesOnAfterARestart) {
  clock_.AdvanceMs(2 * kHourMs);
  options_.interval_ms = 0;
  StartDaemon();
  const JobHandle run = StartSlowRun();
  const auto start = std::chrono::steady_clock::now();
  daemon_->Stop();
  REPRISE_EXPECT_CODE(kUnavailable, Ask(CompactionAction::kRun).status);
  StopDaemon();
  const std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - start;
  EXPECT_LT(spent.count(), 10);
  REPRISE_EXPECT_CODE(kUnavailable, run->Get().status);
  EXPECT_EQ((*ReadCompaction(engine_.get()))->record.phase, JobPhase::kRunning);
  ExpectIsClean();
  // As it was asked for: at that rate it takes hours, whatever is configured.
  options_.bytes_per_s = 0;
  StartDaemon();
  ASSERT_TRUE(Await([&] { return daemon_->Figures().is_running; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(daemon_->Figures().runs, 0u);
  EXPECT_EQ(ReportOf(Ask(CompactionAction::kStatus))["options"], "rate=10\n");
  // An operator says otherwise.
  REPRISE_ASSERT_OK(Ask(CompactionAction::kPause).status);
  const CompactionRequest fast{.action = CompactionAction::kResume,
                               .bytes_per_s = 0};
  REPRISE_ASSERT_OK(Ask(fast).status);
  EXPECT_EQ((*ReadCompaction(engine_.get()))->record.phase, JobPhase::kDone);
  for (int s = 0; s < kSessions; ++s) EXPECT_TRUE(IsNear(s));
  Pass(3 * kHourMs);
  EXPECT_EQ(daemon_->Figures().runs, 2u);
}

// The policy and the space that were asked for hold after a restart too, and
// what can't be followed any more is not half followed.
TEST_F(DaemonCompactionTest, ARestartGoesOnAsItWasAskedFor) {
  options_.rules.policy = *ParsePolicy("exact");
  options_.interval_ms = 0;
  clock_.AdvanceMs(2 * kHourMs);
  CompactionRequest request;
  request.policy = "mine: near";
  request.ladders = {"mine.near=tsc:bits=8"};
  request.threads = 2;
  request.until_below_bytes = 1;
  const auto text = FormatRunRequest(request);
  REPRISE_ASSERT_OK(text.status());
  EXPECT_EQ(*text,
            "threads=2\nuntil-below=1\npolicy=mine: near\n"
            "ladder=mine.near=tsc:bits=8\n");
  const auto cut_off_with = [&](const std::string& options) {
    JobRecord record;
    record.run = 1;
    record.options = options;
    const std::string key = JobKey(kCompactJob);
    const HeadVersion version = ReadJob(engine_.get(), kCompactJob)->version;
    REPRISE_ASSERT_OK(engine_
                          ->CompareAndSwap(HeadSpace::kMeta, key, version,
                                           EncodeJob(record),
                                           Durability::kWritten)
                          .status());
  };
  for (const std::string options :
       {"policy=gone: near\n", "color=red\n", "threads=x\n"}) {
    cut_off_with(options);
    StartDaemon();
    ASSERT_TRUE(AwaitRuns(1)) << options;
    EXPECT_FALSE(IsNear(0)) << options;
    EXPECT_FALSE(ReportOf(Ask(CompactionAction::kStatus)).contains("options"));
    StopDaemon();
  }
  cut_off_with(*text);
  StartDaemon();
  ASSERT_TRUE(AwaitRuns(1));
  for (int s = 0; s < kSessions; ++s) EXPECT_TRUE(IsNear(s));
  const json report = ReportOf(Ask(CompactionAction::kStatus));
  EXPECT_EQ(report["options"], *text);
  EXPECT_EQ(report["target_bytes"], 1);
  EXPECT_EQ(report["is_over"], true);
}

TEST_F(DaemonCompactionTest, OptionsThatNoRecordHoldsAreRefused) {
  options_.interval_ms = 0;
  StartDaemon();
  CompactionRequest request;
  for (int i = 0; i < 250; ++i) {
    request.ladders.push_back("l" + std::to_string(i) + ".near=tsc:bits=8");
  }
  const auto refused = Ask(request);
  REPRISE_EXPECT_CODE(kInvalidArgument, refused.status);
  EXPECT_NE(refused.status.message().find("at most 4096"), std::string::npos)
      << refused.status.ToString();
}

// One that is restarted every half an hour.
TEST_F(DaemonCompactionTest, TheIntervalIsCountedAcrossRestarts) {
  StartDaemon();
  REPRISE_ASSERT_OK(Ask(CompactionAction::kRun).status);
  for (int i = 0; i < 2; ++i) {
    StopDaemon();
    clock_.AdvanceMs(kHourMs / 2 + kMinuteMs);
    StartDaemon();
    if (i == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      EXPECT_EQ(daemon_->Figures().runs, 0u);
    }
  }
  EXPECT_TRUE(AwaitRuns(1));
}

TEST_F(DaemonCompactionTest, NothingHappensWhileTheClockIsInDoubt) {
  options_.rules.ttl_ms = kDayMs;
  StartDaemon();
  REPRISE_ASSERT_OK(Ask(CompactionAction::kRun).status);
  StopDaemon();
  clock_.AdvanceMs(2 * kDayMs);
  StartDaemon();
  ASSERT_TRUE(Await([&] { return daemon_->Figures().is_waiting_for_clock; }));
  Pass(2 * kHourMs);
  EXPECT_EQ(daemon_->Figures().runs, 0u);
  EXPECT_EQ(ReportOf(Ask(CompactionAction::kStatus))["waits_for_clock"], true);
  REPRISE_EXPECT_CODE(kFailedPrecondition, Ask(CompactionAction::kRun).status);
  EXPECT_TRUE(catalogue_->GetSession(tenant_, NameOf(0)).ok());
  const json plan = ReportOf(Ask(CompactionAction::kPlan));
  EXPECT_TRUE(plan["clock_problem"].is_string());
  const auto confirmed = Ask(CompactionAction::kConfirmClock);
  REPRISE_ASSERT_OK(confirmed.status);
  EXPECT_GT(ReportOf(confirmed)["now_ms"], ReportOf(confirmed)["before_ms"]);
  ASSERT_TRUE(AwaitRuns(1)) << "the interval is over: at once";
  EXPECT_FALSE(daemon_->Figures().is_waiting_for_clock);
  EXPECT_FALSE(catalogue_->GetSession(tenant_, NameOf(0)).ok());
  EXPECT_EQ(daemon_->Figures().sessions_removed, uint64_t{kSessions});
  ExpectIsClean();
}

TEST_F(DaemonCompactionTest, SessionsGoByTheirTtlAndWhatTheyHeldToo) {
  options_.rules.ttl_ms = 6 * kHourMs;
  REPRISE_ASSERT_OK(catalogue_->Pin(tenant_, NameOf(1), kForeverMs).status());
  REPRISE_ASSERT_OK(
      catalogue_->SetPolicy(tenant_, NameOf(2), {.ttl_ms = kForeverMs})
          .status());
  StartDaemon();
  const uint64_t before = engine_->GetStats().live_bytes;
  ASSERT_TRUE(
      Await([&] { return daemon_->Figures().sessions_removed == 2; }, kFast));
  ASSERT_TRUE(Await([&] { return !daemon_->Figures().is_running; }));
  EXPECT_FALSE(catalogue_->GetSession(tenant_, NameOf(0)).ok());
  EXPECT_TRUE(catalogue_->GetSession(tenant_, NameOf(1)).ok());
  EXPECT_TRUE(catalogue_->GetSession(tenant_, NameOf(2)).ok());
  EXPECT_FALSE(catalogue_->GetSession(tenant_, NameOf(3)).ok());
  EXPECT_LT(engine_->GetStats().live_bytes, before * 3 / 4);
  ExpectIsClean();
}

TEST_F(DaemonCompactionTest, OverTheHighWatermarkItRunsBeforeTheInterval) {
  options_.rules.policy = *ParsePolicy("series: exact 30d, near");
  options_.interval_ms = 10 * kHourMs;
  clock_.AdvanceMs(2 * kHourMs);
  const uint64_t used = engine_->GetStats().live_bytes;
  options_.marks = {used + 1000, 90, 70};
  StartDaemon();
  ASSERT_TRUE(AwaitRuns(1));
  const json report = ReportOf(Ask(CompactionAction::kStatus));
  EXPECT_EQ(report["started_by"], "high watermark");
  EXPECT_GT(report["segments"]["encoded"], 0);
  EXPECT_EQ(report["is_over"], false) << report;
  EXPECT_LE(engine_->GetStats().live_bytes, options_.marks.high_bytes());
  ExpectIsClean();
}

TEST_F(DaemonCompactionTest, WhatCanNotSinkIsNotTriedEveryMinute) {
  options_.rules.policy = *ParsePolicy("exact");
  options_.interval_ms = 10 * kHourMs;
  options_.marks = {.max_bytes = 100};
  StartDaemon();
  ASSERT_TRUE(AwaitRuns(1));
  EXPECT_EQ(ReportOf(Ask(CompactionAction::kStatus))["is_over"], true);
  Pass(5 * kMinuteMs);
  Pass(4 * kMinuteMs);
  EXPECT_EQ(daemon_->Figures().runs, 1u);
  Pass(2 * kMinuteMs);
  EXPECT_TRUE(AwaitRuns(2));
}

TEST_F(DaemonCompactionTest, UntilBelowSinksMoreThanPoliciesAsk) {
  options_.rules.policy = *ParsePolicy("series: exact 30d, near");
  options_.interval_ms = 0;
  clock_.AdvanceMs(2 * kHourMs);
  StartDaemon();
  CompactionRequest request;
  request.until_below_bytes = engine_->GetStats().live_bytes * 3 / 4;
  const auto run = Ask(request);
  REPRISE_ASSERT_OK(run.status);
  EXPECT_EQ(ReportOf(run)["is_over"], false) << run.json;
  EXPECT_LE(engine_->GetStats().live_bytes, request.until_below_bytes);
}

TEST_F(DaemonCompactionTest, APlanIsWorkedOutBesideARun) {
  clock_.AdvanceMs(2 * kHourMs);
  options_.interval_ms = 0;
  StartDaemon();
  const JobHandle run = StartSlowRun();
  CompactionRequest request;
  request.action = CompactionAction::kPlan;
  request.idle_plus_ms = kDayMs;
  request.policy = "series: near 1h, tokens";
  const auto plan = Ask(request);
  REPRISE_ASSERT_OK(plan.status);
  const json report = ReportOf(plan);
  EXPECT_NE(report["text"].get<std::string>().find("as of "),
            std::string::npos);
  EXPECT_TRUE(report["clock_problem"].is_null());
  request.idle_plus_ms = INT64_MAX;
  REPRISE_EXPECT_CODE(kInvalidArgument, Ask(request).status);
  EXPECT_FALSE(run->Get().finished);
}

TEST_F(DaemonCompactionTest, FiguresAreInMetricsAndStats) {
  clock_.AdvanceMs(2 * kHourMs);
  const int64_t before_ms = clock_.WallMs();
  options_.interval_ms = 0;
  StartDaemon();
  REPRISE_ASSERT_OK(Ask(CompactionAction::kRun).status);
  ServerMetrics metrics;
  StatsInput input;
  input.metrics = &metrics;
  input.compaction = daemon_->Figures();
  const std::string text = MetricsText(input);
  for (const std::string line :
       {"reprise_compaction_runs_total 1",
        "reprise_compaction_segments_total{result=\"encoded\"} 8",
        "reprise_compaction_failed_checks_total 0",
        "reprise_compaction_waiting_for_clock 0",
        "reprise_compaction_running 0",
        "reprise_compaction_sessions_removed_total 0"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
  const json stats = json::parse(StatsJson(input))["compaction"];
  EXPECT_EQ(stats["segments"]["encoded"], 2 * kSessions);
  EXPECT_EQ(stats["last_run"]["phase"], "done");
  EXPECT_GT(stats["last_end_ms"], before_ms);
  EXPECT_LE(stats["last_end_ms"], clock_.WallMs());
  EXPECT_GT(stats["bytes_before"], stats["bytes_after"]);
}

}  // namespace
}  // namespace reprise
