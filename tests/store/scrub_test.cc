// What a scrub finds, sets aside and tells; that a save heals it; and that it
// goes on where it was, at its rate, and finds nothing where nothing is.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "store/clock_guard.h"
#include "store/collector.h"
#include "store/quarantine.h"
#include "store/scrub_job.h"
#include "tests/store/damage_fixture.h"

namespace reprise {
namespace {

class ScrubTest : public DamageFixture {
 protected:
  ScrubTest() { clock_.AdvanceMs(1'000); }

  std::unique_ptr<ScrubJob> Start(ScrubOptions options = {}) {
    options.has_store_alone = true;
    auto job = ScrubJob::Start(catalogue_.get(), options);
    EXPECT_TRUE(job.ok()) << job.status().ToString();
    return job.ok() ? *std::move(job) : nullptr;
  }
  void StepAndWait(ScrubJob* job) {
    const Status status = job->Step();
    EXPECT_TRUE(status.ok()) << status.ToString();
    const int64_t rest_ms = job->wait_until_ms() - clock_.MonotonicMs();
    if (rest_ms > 0) clock_.AdvanceMs(rest_ms + 1);
  }
  FsckReport Scrub() {
    clock_.AdvanceMs(1);  // what was set aside before is not its finding
    const auto job = Start();
    while (job != nullptr && !job->ended()) StepAndWait(job.get());
    return job == nullptr ? FsckReport() : job->report();
  }
  // But for states before the head.
  void ExpectNothing() {
    const FsckReport report = Scrub();
    EXPECT_TRUE(report.findings.empty()) << report.findings[0].what;
    for (const TouchedSession& touched : report.touched) {
      EXPECT_FALSE(touched.is_head) << touched.session;
    }
  }
  // One finding of this kind, set aside, that touches "a" from this token on.
  void ExpectFound(std::string_view kind, uint64_t token) {
    const FsckReport report = Scrub();
    ASSERT_EQ(1u, report.findings.size());
    const FsckFinding& finding = report.findings[0];
    EXPECT_EQ(kind, finding.kind);
    EXPECT_FALSE(finding.what.empty());
    EXPECT_TRUE(finding.is_set_aside);
    EXPECT_EQ("a", finding.session);
    EXPECT_EQ(token, finding.recompute_from_token);
    EXPECT_EQ(1u, report.set_aside);
    ASSERT_EQ(1u, report.touched.size());
    EXPECT_EQ("a", report.touched[0].session);
    EXPECT_EQ(token, report.touched[0].recompute_from_token);
    EXPECT_EQ(Tier::kTokens, report.touched[0].left);
    EXPECT_TRUE(report.touched[0].is_head);
  }
  void ExpectHealedBySaves() {
    const auto longer = ToyTokens(1, 210);
    REPRISE_ASSERT_OK(worker_.Save("a", longer, {.seed = 77}).status());
    EXPECT_EQ(210u, RestorableTokens("a"));
    ExpectNothing();
  }
  std::vector<Quarantined> AllQuarantined() {
    std::vector<Quarantined> listed;
    std::string cursor;
    bool end = false;
    EXPECT_TRUE(
        ListQuarantine(engine_.get(), 1000, &cursor, &listed, &end).ok());
    return listed;
  }
  void Collect() {
    const auto collector = MakeCollector(catalogue_.get(), {});
    while (collector->phase() != Collector::Phase::kDone) {
      REPRISE_ASSERT_OK(collector->Step());
      const int64_t rest_ms = collector->wait_until_ms() - clock_.MonotonicMs();
      if (rest_ms > 0) clock_.AdvanceMs(rest_ms);
    }
  }
  SegmentId Id(size_t i) { return SegmentIdsOf(worker_.model(), tokens_)[i]; }
  SegmentId Tail() { return TailId(Id(2), std::span(tokens_).subspan(192)); }

  const std::vector<TokenId> tokens_ = ToyTokens(1, 200);
};

TEST_F(ScrubTest, FindsNothingInAGoodStore) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_, {.ranks = 2}).status());
  REPRISE_ASSERT_OK(
      worker_.Save("b", std::span(tokens_).first(64), {.ranks = 2}).status());
  const FsckReport report = Scrub();
  EXPECT_TRUE(report.findings.empty());
  EXPECT_TRUE(report.touched.empty());
  EXPECT_EQ(2u, report.sessions);
  EXPECT_EQ(2u, report.commits);
  EXPECT_EQ(4u, report.segments);
  EXPECT_EQ(4u, report.renditions);
  EXPECT_EQ(8u, report.frames);
  EXPECT_GT(report.bytes_read, report.frame_bytes);
  EXPECT_TRUE(AllQuarantined().empty());
}

// --- Each kind of object, at several places. ---

class ScrubPlaceTest : public ScrubTest,
                       public testing::WithParamInterface<double> {};
INSTANTIATE_TEST_SUITE_P(Places, ScrubPlaceTest,
                         testing::Values(0.0, 0.03, 0.2, 0.5, 0.7, 0.95, 1.0));

TEST_P(ScrubPlaceTest, AFrameIsMovedAndASaveHealsIt) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_, {.ranks = 2}).status());
  const FrameRef frame = FramesOf(Id(1))[1];
  const std::string key = KeyOf(Id(1), frame);
  FlipBit(frame.space, key, GetParam());
  const auto spoilt = engine_->Get({frame.space, key});
  const Bytes bytes(spoilt->view().begin(), spoilt->view().end());
  ASSERT_NO_FATAL_FAILURE(ExpectFound("frame", 64));
  EXPECT_EQ(64u, RestorableTokens("a"));
  REPRISE_EXPECT_CODE(kNotFound, engine_->Get({frame.space, key}));
  // It can be looked at.
  const auto listed = AllQuarantined();
  ASSERT_EQ(1u, listed.size());
  EXPECT_EQ(StoredPlace::Of(frame.space, key), listed[0].record.was);
  EXPECT_EQ(1, listed[0].record.lost_tier);
  ASSERT_EQ(QuarantineHolds::kObject, listed[0].record.holds);
  const auto kept = engine_->Get({frame.space, listed[0].now.key});
  REPRISE_ASSERT_OK(kept.status());
  EXPECT_TRUE(std::ranges::equal(kept->view(), bytes));
  // Told until it is healed.
  const FsckReport again = Scrub();
  EXPECT_TRUE(again.findings.empty());
  ASSERT_EQ(1u, again.touched.size());
  EXPECT_EQ(64u, again.touched[0].recompute_from_token);
  ExpectHealedBySaves();
}

TEST_P(ScrubPlaceTest, AFrameOfATail) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const FrameRef frame = FramesOf(Tail())[0];
  FlipBit(ObjectSpace::kTailFrame, KeyOf(Tail(), frame), GetParam());
  ASSERT_NO_FATAL_FAILURE(ExpectFound("frame", 192));
  EXPECT_EQ(192u, RestorableTokens("a"));
  ExpectHealedBySaves();
}

TEST_P(ScrubPlaceTest, ARenditionRecord) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  FlipBit(HeadSpace::kRendition, Key(Id(1)), GetParam());
  ASSERT_NO_FATAL_FAILURE(ExpectFound("rendition", 64));
  EXPECT_EQ(64u, RestorableTokens("a"));
  const auto listed = AllQuarantined();
  ASSERT_EQ(1u, listed.size());
  EXPECT_EQ(QuarantineHolds::kCopy, listed[0].record.holds);
  const auto head = engine_->GetHead(HeadSpace::kRendition, Key(Id(1)));
  EXPECT_TRUE(std::ranges::equal(listed[0].record.copy, head->value.view()));
  ExpectHealedBySaves();
}

TEST_P(ScrubPlaceTest, ASegmentRecord) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  FlipBit(ObjectSpace::kSegment, Key(Id(1)), GetParam());
  ASSERT_NO_FATAL_FAILURE(ExpectFound("segment", 64));
  EXPECT_EQ(64u, RestorableTokens("a"));
  ExpectHealedBySaves();
}

TEST_P(ScrubPlaceTest, ATailsRecord) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  FlipBit(ObjectSpace::kTail, Key(Tail()), GetParam());
  ASSERT_NO_FATAL_FAILURE(ExpectFound("tail", 192));
  EXPECT_EQ(192u, RestorableTokens("a"));
  ExpectHealedBySaves();
}

// The new head holds what the damaged bytes still prove: never a token that the
// lost one did not have.
TEST_P(ScrubPlaceTest, ACommit) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const CommitId lost = Session("a").head;
  FlipBit(ObjectSpace::kCommit, DomainKey(tenant_, lost.view()), GetParam());
  REPRISE_EXPECT_CODE(kDataLoss, ReadAll("a"));
  const FsckReport report = Scrub();
  ASSERT_EQ(1u, report.findings.size());
  EXPECT_EQ("commit", report.findings[0].kind);
  EXPECT_EQ("a", report.findings[0].session);
  EXPECT_TRUE(report.findings[0].is_set_aside);
  ASSERT_EQ(1u, report.touched.size());
  const uint64_t kept = report.touched[0].recompute_from_token;
  // Commits of 228 bytes: ids from 124 to 220, their count from 120 on.
  const bool is_in_ids = GetParam() == 0.7 || GetParam() == 0.95;
  EXPECT_LE(kept, 192u);
  EXPECT_EQ(kept % 64, 0u);
  // Where the end of the last segment can't be told, it is left out.
  if (!is_in_ids) {
    EXPECT_EQ(kept, GetParam() == 0.03 ? 128u : 192u);
  }
  EXPECT_EQ(kept, RestorableTokens("a"));
  EXPECT_EQ(kept, Session("a").token_count);
  REPRISE_ASSERT_OK(ReadAll("a"));
  const auto commit = catalogue_->GetCommit(tenant_, Session("a").head);
  REPRISE_ASSERT_OK(commit.status());
  for (size_t i = 0; i < commit->segments.size(); ++i) {
    EXPECT_EQ(Id(i), commit->segments[i]);
  }
  const auto longer = ToyTokens(1, 210);
  REPRISE_ASSERT_OK(worker_.Save("a", longer).status());
  EXPECT_EQ(210u, RestorableTokens("a"));
  // The lost one stays known while it is among the recent ones.
  const FsckReport after = Scrub();
  EXPECT_TRUE(after.findings.empty());
  ASSERT_EQ(1u, after.touched.size());
  EXPECT_FALSE(after.touched[0].is_head);
}

TEST_P(ScrubPlaceTest, ASessionRecord) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const std::string key = DomainKey(tenant_, AsBytes("a"));
  FlipBit(HeadSpace::kSession, key, GetParam());
  REPRISE_EXPECT_CODE(kDataLoss, ReadAll("a"));
  ASSERT_NO_FATAL_FAILURE(ExpectFound("session", 0));
  REPRISE_EXPECT_CODE(kNotFound, ReadAll("a"));
  // What it kept is not garbage meanwhile.
  Collect();
  std::vector<PublishOutcome> outcomes;
  EXPECT_FALSE(FramesOf(Id(1)).empty());
  REPRISE_ASSERT_OK(worker_.Commit("a", tokens_).status());
  EXPECT_EQ(200u, RestorableTokens("a"));
  ExpectHealedBySaves();
}

TEST_F(ScrubTest, ModelsAndProfilesAreNamedAndPutAgain) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const Bytes profile(100, 3);
  const auto put = [&] {
    return catalogue_->PutProfile(tenant_, worker_.model(), CodecId::kExact,
                                  profile, false);
  };
  const auto id = put();
  REPRISE_ASSERT_OK(id.status());
  FlipBit(ObjectSpace::kProfile, DomainKey(tenant_, id->view()));
  FlipBit(ObjectSpace::kModel, DomainKey(tenant_, worker_.model().view()));
  const FsckReport report = Scrub();
  ASSERT_EQ(2u, report.findings.size());
  EXPECT_EQ("model", report.findings[0].kind);
  EXPECT_EQ("a", report.findings[0].session);
  EXPECT_EQ("profile", report.findings[1].kind);
  REPRISE_ASSERT_OK(put().status());
  REPRISE_ASSERT_OK(
      catalogue_->PutModel(tenant_, EncodeModelSpec(worker_.spec())).status());
  ExpectNothing();
}

TEST_F(ScrubTest, SmallRecordsAreNamed) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const auto lease = catalogue_->Lease(
      tenant_, SegmentIdsOf(worker_.model(), tokens_), {}, 60'000);
  REPRISE_ASSERT_OK(lease.status());
  catalogue_->MarkUsed(tenant_, "a");
  REPRISE_ASSERT_OK(catalogue_->Flush());
  ExpectNothing();
  FlipBit(HeadSpace::kLease, LeaseKey(*lease));
  FlipBit(HeadSpace::kLastUse, DomainKey(tenant_, AsBytes("a")));
  const FsckReport report = Scrub();
  ASSERT_EQ(2u, report.findings.size());
  EXPECT_EQ("lease", report.findings[0].kind);
  EXPECT_EQ("last-use", report.findings[1].kind);
  EXPECT_TRUE(report.touched.empty());
}

// --- What is told of it. ---

TEST_F(ScrubTest, NamesEverySessionThatIsTouched) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  REPRISE_ASSERT_OK(
      catalogue_->Fork(tenant_, "a", CommitId(), "fork").status());
  REPRISE_ASSERT_OK(
      worker_.Save("short", std::span(tokens_).first(64)).status());
  REPRISE_ASSERT_OK(worker_.Save("other", ToyTokens(2, 130)).status());
  for (const size_t i : {1, 2}) {
    const FrameRef frame = FramesOf(Id(i))[0];
    FlipBit(frame.space, KeyOf(Id(i), frame));
  }
  const FsckReport report = Scrub();
  EXPECT_EQ(2u, report.findings.size());
  ASSERT_EQ(2u, report.touched.size());
  EXPECT_EQ("a", report.touched[0].session);
  EXPECT_EQ("fork", report.touched[1].session);
  for (const TouchedSession& touched : report.touched) {
    EXPECT_EQ(64u, touched.recompute_from_token);
  }
}

TEST_F(ScrubTest, ARenditionAsGoodBesideItLeavesNobodyTouched) {
  REPRISE_ASSERT_OK(
      worker_.Save("a", std::span(tokens_).first(192), StagedToy()).status());
  REPRISE_ASSERT_OK(
      worker_.Put(std::span(tokens_).first(192), {.seed = 9}, 0, 3));
  const std::vector<FrameRef> near = FramesOf(Id(1), 1);
  ASSERT_EQ(2, near.back().stage);
  FlipBit(near.back().space, KeyOf(Id(1), near.back()));
  const FsckReport report = Scrub();
  ASSERT_EQ(1u, report.findings.size());
  EXPECT_TRUE(report.findings[0].is_set_aside);
  EXPECT_TRUE(report.touched.empty());
  EXPECT_EQ(192u, RestorableTokens("a"));
}

// --- Quarantine, collections and readers. ---

TEST_F(ScrubTest, WhatIsSetAsideOutlivesCollectionsForThirtyDays) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const FrameRef frame = FramesOf(Id(1))[0];
  FlipBit(frame.space, KeyOf(Id(1), frame));
  FlipBit(ObjectSpace::kSegment, Key(Id(2)));
  EXPECT_EQ(2u, Scrub().findings.size());
  REPRISE_ASSERT_OK(worker_.Save("a", ToyTokens(1, 210)).status());
  Collect();
  auto listed = AllQuarantined();
  ASSERT_EQ(2u, listed.size());
  const auto moved = std::ranges::find(listed, true, [&](const Quarantined& q) {
    return q.now.Is(frame.space);
  });
  ASSERT_NE(moved, listed.end());
  const ObjectRef ref{frame.space, moved->now.key};
  REPRISE_EXPECT_CODE(kOk, engine_->Get(ref));
  // Day by day, or the clock counts as having jumped.
  for (int day = 0; day < 31; ++day) {
    clock_.AdvanceMs(kDayMs - 300'000);
    REPRISE_ASSERT_OK(KeepClock(engine_.get(), clock_.WallMs()).status());
    clock_.AdvanceMs(150'000);
    Collect();
  }
  EXPECT_TRUE(AllQuarantined().empty());
  REPRISE_EXPECT_CODE(kNotFound, engine_->Get(ref));
  EXPECT_EQ(210u, RestorableTokens("a"));
}

TEST_F(ScrubTest, AReaderSetsAsideWhatItFindsDamaged) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const FrameRef frame = FramesOf(Id(1))[0];
  FlipBit(frame.space, KeyOf(Id(1), frame));
  REPRISE_EXPECT_CODE(kDataLoss, catalogue_->GetFrame(tenant_, Id(1), frame));
  EXPECT_EQ(1u, AllQuarantined().size());
  EXPECT_TRUE(FramesOf(Id(1)).empty());
  EXPECT_EQ(64u, RestorableTokens("a"));
  const FsckReport report = Scrub();
  EXPECT_TRUE(report.findings.empty());
  ASSERT_EQ(1u, report.touched.size());
  EXPECT_EQ(64u, report.touched[0].recompute_from_token);
  ExpectHealedBySaves();
}

// The very frames that were set aside come again under the same ids, as from a
// client that repeats its save.
TEST_F(ScrubTest, TheSameRenditionCanBePutAgain) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const std::vector<FrameRef> before = FramesOf(Id(1));
  FlipBit(before[0].space, KeyOf(Id(1), before[0]));
  EXPECT_EQ(1u, Scrub().findings.size());
  REPRISE_ASSERT_OK(worker_.Put(tokens_, {}, 1, 2));
  EXPECT_EQ(before, FramesOf(Id(1)));
  EXPECT_EQ(200u, RestorableTokens("a"));
  ExpectNothing();
}

// --- Going on, rates, and others at the same time. ---

TEST_F(ScrubTest, GoesOnWhereItStopped) {
  for (int s = 0; s < 40; ++s) {
    const auto tokens = ToyTokens(100 + s, 200);
    REPRISE_ASSERT_OK(
        worker_.Save("s" + std::to_string(s), tokens, {.section_bytes = 4096})
            .status());
  }
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  for (const size_t i : {0, 1, 2}) {
    const FrameRef frame = FramesOf(Id(i))[0];
    FlipBit(frame.space, KeyOf(Id(i), frame));
  }
  int runs = 0;
  FsckReport report;
  for (bool ended = false; !ended && runs < 1000; ++runs) {
    ScrubOptions options{.bytes_per_s = kLeastScrubRate};
    options.started_by = "run " + std::to_string(runs);
    const auto job = Start(options);
    ASSERT_NE(job, nullptr);
    EXPECT_EQ("run 0", job->record().started_by);
    // Cut off, or paused.
    for (int step = 0; step < 12 && !job->ended(); ++step) {
      StepAndWait(job.get());
      clock_.AdvanceMs(10'000);  // so that it writes its record
    }
    report = job->report();
    ended = job->ended();
    if (ended || runs % 2 == 0) continue;
    job->Pause();
    REPRISE_ASSERT_OK(job->Step());
    EXPECT_TRUE(job->ended());
    const auto status = ReadScrub(engine_.get());
    REPRISE_ASSERT_OK(status.status());
    EXPECT_EQ(JobPhase::kPaused, (*status)->record.phase);
    EXPECT_EQ(kLeastScrubRate, (*status)->bytes_per_s);
  }
  EXPECT_GT(runs, 5);
  EXPECT_LT(runs, 1000);
  EXPECT_EQ(3u, report.findings.size());
  EXPECT_EQ(41u * 4, report.segments);
  EXPECT_GE(report.frames, 41u * 4);
  ASSERT_EQ(1u, report.touched.size());
  EXPECT_EQ(0u, report.touched[0].recompute_from_token);
  const auto status = ReadScrub(engine_.get());
  EXPECT_EQ(JobPhase::kDone, (*status)->record.phase);
  EXPECT_EQ(report.bytes_read, (*status)->record.total);
  REPRISE_EXPECT_CODE(
      kNotFound,
      ScrubJob::Start(catalogue_.get(), {.only_go_on = true}).status());
}

TEST_F(ScrubTest, OneAtATime) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const auto first = Start({.holder = "pid 1"});
  REPRISE_EXPECT_CODE(kFailedPrecondition,
                      ScrubJob::Start(catalogue_.get(), {}).status());
  clock_.AdvanceMs(121'000);
  // Taken for cut off: another one goes on, and the first must stop.
  const auto second = ScrubJob::Start(catalogue_.get(), {.holder = "pid 2"});
  REPRISE_ASSERT_OK(second.status());
  Status status;
  while (status.ok() && !first->ended()) status = first->Step();
  REPRISE_EXPECT_CODE(kFailedPrecondition, status);
  EXPECT_NE(status.message().find("pid 2"), std::string_view::npos);
  REPRISE_EXPECT_CODE(
      kInvalidArgument,
      ScrubJob::Start(catalogue_.get(), {.bytes_per_s = 1}).status());
}

TEST_F(ScrubTest, KeepsToItsRate) {
  for (int s = 0; s < 30; ++s) {
    REPRISE_ASSERT_OK(worker_
                          .Save("s" + std::to_string(s), ToyTokens(s + 1, 200),
                                {.section_bytes = 4096})
                          .status());
  }
  for (const uint64_t rate : {kLeastScrubRate, 4 * kLeastScrubRate}) {
    const auto job = Start({.bytes_per_s = rate});
    const int64_t began_ms = clock_.MonotonicMs();
    while (!job->ended()) {
      REPRISE_ASSERT_OK(job->Step());
      // Woken at any time: it reads only when its time has come.
      const uint64_t before = job->report().bytes_read;
      if (job->wait_until_ms() > clock_.MonotonicMs() && !job->ended()) {
        REPRISE_ASSERT_OK(job->Step());
        EXPECT_EQ(before, job->report().bytes_read);
      }
      clock_.AdvanceMs(
          std::max<int64_t>(1, job->wait_until_ms() - clock_.MonotonicMs()));
    }
    const double seconds =
        static_cast<double>(clock_.MonotonicMs() - began_ms) / 1000;
    const double expected = static_cast<double>(job->report().bytes_read) /
                            static_cast<double>(rate);
    EXPECT_GT(job->report().bytes_read, 400'000u);
    EXPECT_GT(seconds, 0.95 * expected - 0.2);
    EXPECT_LT(seconds, 1.1 * expected + 0.5);
  }
}

// Saves, forks, removals and collections at the same time are no damage.
TEST_F(ScrubTest, FindsNothingBesideLiveTraffic) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
      for (uint64_t i = 0; !stop; ++i) {
        const std::string name =
            "s" + std::to_string(t) + "-" + std::to_string(i % 7);
        // Now and then the same state as another one's.
        const auto tokens = ToyTokens(1 + i % 11, 64 * (1 + i % 5) + i % 3);
        (void)catalogue_->RemoveSession(tenant_, name);
        const auto saved = worker.Save(name, tokens, {.seed = i + 1});
        EXPECT_TRUE(saved.ok()) << saved.status().ToString();
        (void)catalogue_->Fork(tenant_, name, CommitId(),
                               "f" + std::to_string(i % 5));
        (void)catalogue_->RemoveSession(tenant_,
                                        "f" + std::to_string((i + 2) % 5));
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      const auto collector = MakeCollector(
          catalogue_.get(), {.step_objects = 50, .wait_ms = 70'000});
      while (!stop && collector->phase() != Collector::Phase::kDone) {
        const Status status = collector->Step();
        EXPECT_TRUE(status.ok()) << status.ToString();
        std::this_thread::yield();
      }
    }
  });
  // Time that passes while others work, slowly enough for their commits.
  threads.emplace_back([&] {
    while (!stop) {
      clock_.AdvanceMs(2'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  uint64_t frames = 0;
  for (int scrub = 0; scrub < 12; ++scrub) {
    const auto job = Start({.bytes_per_s = 1 << 20});
    while (!job->ended()) {
      const Status status = job->Step();
      ASSERT_TRUE(status.ok()) << status.ToString();
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    const FsckReport& report = job->report();
    EXPECT_TRUE(report.findings.empty()) << report.findings[0].what;
    EXPECT_TRUE(report.touched.empty()) << report.touched[0].session;
    frames += report.frames;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(frames, 100u);
  EXPECT_TRUE(AllQuarantined().empty());
}

}  // namespace
}  // namespace reprise
