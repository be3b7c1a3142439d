#include "store/collector.h"

#include <gtest/gtest.h>

#include <climits>
#include <functional>
#include <string>

#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"

namespace reprise {
namespace {

class CollectorTest : public CatalogueFixture {
 protected:
  // One step; the clock is moved when it waits.
  void StepOf(Collector* collector) {
    if (collector->phase() == Collector::Phase::kWaitFirst ||
        collector->phase() == Collector::Phase::kWaitSecond) {
      clock_.AdvanceMs(collector->wait_until_ms() - clock_.MonotonicMs());
    }
    REPRISE_ASSERT_OK(collector->Step());
  }

  CollectorReport Collect(CollectorOptions options = {}) {
    auto collector = MakeCollector(catalogue_.get(), options);
    while (collector->phase() != Collector::Phase::kDone) {
      StepOf(collector.get());
      if (HasFatalFailure()) break;
    }
    return collector->report();
  }

  uint64_t Count(ObjectSpace space) {
    std::vector<ObjectStore::Listed> listed;
    EXPECT_TRUE(engine_->List(space, "", "", 100'000, &listed).ok());
    return listed.size();
  }
  uint64_t CountHeads(HeadSpace space) {
    std::vector<HeadStore::ListedHead> listed;
    EXPECT_TRUE(engine_->ListHeads(space, "", "", 100'000, &listed).ok());
    return listed.size();
  }
  // Objects and rendition records, but for models.
  uint64_t CountAll() {
    uint64_t count = CountHeads(HeadSpace::kRendition);
    for (const ObjectSpace space : kAllObjectSpaces) {
      if (space != ObjectSpace::kModel) count += Count(space);
    }
    return count;
  }
};

TEST_F(CollectorTest, KeepsWhatSessionsReach) {
  REPRISE_ASSERT_OK(worker_.Save("a", ToyTokens(1, 300)).status());
  REPRISE_ASSERT_OK(worker_.Save("b", ToyTokens(2, 128)).status());
  const uint64_t before = CountAll();
  const CollectorReport report = Collect();
  EXPECT_EQ(0u, report.condemned);
  EXPECT_EQ(before, CountAll());
  REPRISE_ASSERT_OK(ReadAll("a"));
  REPRISE_ASSERT_OK(ReadAll("b"));
}

TEST_F(CollectorTest, RemovesEverythingOfARemovedSession) {
  REPRISE_ASSERT_OK(worker_.Save("a", ToyTokens(1, 300)).status());
  const uint64_t of_a = CountAll();
  REPRISE_ASSERT_OK(worker_.Save("b", ToyTokens(2, 128)).status());
  const uint64_t before = CountAll();
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "a"));
  const CollectorReport report = Collect();
  EXPECT_EQ(of_a, report.condemned);
  EXPECT_EQ(of_a, report.removed);
  EXPECT_GT(report.removed_bytes, 0u);
  EXPECT_EQ(before - of_a, CountAll());
  REPRISE_ASSERT_OK(ReadAll("b"));
}

TEST_F(CollectorTest, WorksInSmallSteps) {
  REPRISE_ASSERT_OK(worker_.Save("a", ToyTokens(1, 1000)).status());
  REPRISE_ASSERT_OK(worker_.Save("b", ToyTokens(2, 1000)).status());
  const uint64_t before = CountAll();
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "a"));
  CollectorOptions options;
  options.step_objects = 3;
  Collect(options);
  EXPECT_EQ(before / 2, CountAll());
  REPRISE_ASSERT_OK(ReadAll("b"));
}

TEST_F(CollectorTest, LeavesToTheNextOneWhatIsTooMuch) {
  REPRISE_ASSERT_OK(worker_.Save("a", ToyTokens(1, 1000)).status());
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "a"));
  CollectorOptions options;
  options.step_objects = 4;
  options.max_condemned = 10;
  for (int i = 0; i < 20 && CountAll() > 0; ++i) {
    EXPECT_LT(Collect(options).condemned, 14u);
  }
  EXPECT_EQ(0u, CountAll());
}

TEST_F(CollectorTest, SweepsWhatADeadWriterLeft) {
  // Frames put and never published; a segment published, never committed.
  const auto tokens = ToyTokens(3, 64);
  const auto toy = MakeToyRendition(
      worker_.spec(), ToySegments(worker_.model(), tokens)[0], {.seed = 5});
  const FramePut put{toy.rendition.id, Tier::kExact, toy.frames[0]};
  REPRISE_ASSERT_OK(catalogue_->PutFrames(tenant_, {&put, 1}));
  REPRISE_ASSERT_OK(worker_.Put(ToyTokens(4, 100)));
  EXPECT_GT(CountAll(), 0u);
  Collect();
  EXPECT_EQ(0u, CountAll());
}

TEST_F(CollectorTest, KeepsTheLastCommitsAsRoots) {
  CatalogueOptions options;
  options.kept_commits = 2;
  catalogue_ = OpenCatalogue(engine_.get(), options);
  ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
  const auto tokens = ToyTokens(1, 40);
  for (size_t count : {10, 20, 30, 40}) {
    REPRISE_ASSERT_OK(
        worker.Save("a", std::span(tokens).first(count)).status());
  }
  EXPECT_EQ(4u, Count(ObjectSpace::kTail));
  Collect();
  EXPECT_EQ(3u, Count(ObjectSpace::kTail));
  EXPECT_EQ(3u, Count(ObjectSpace::kTailFrame));
  EXPECT_EQ(3u, Count(ObjectSpace::kCommit));
  EXPECT_EQ(3u, CountHeads(HeadSpace::kRendition));
}

TEST_F(CollectorTest, ReplacedFramesOutliveTheirLease) {
  const auto tokens = ToyTokens(1, 64);
  REPRISE_ASSERT_OK(
      worker_.Save("a", tokens, {.seed = 1, .basis = Tier::kNear}).status());
  FetchRequest request;
  request.session = "a";
  request.lowest = Tier::kNear;
  request.lease_ms = kMaxLeaseMs;
  const auto plan = catalogue_->PlanFetch(tenant_, request);
  REPRISE_ASSERT_OK(plan.status());
  REPRISE_ASSERT_OK(worker_.Put(tokens, {.seed = 2}));
  ASSERT_EQ(2u, Count(ObjectSpace::kFrameExact));

  EXPECT_EQ(0u, Collect().removed);
  const FetchSegment& segment = plan->segments[0];
  REPRISE_ASSERT_OK(
      catalogue_->GetFrame(tenant_, segment.id, segment.rendition.frames[0])
          .status());
  clock_.AdvanceMs(kMaxLeaseMs);
  const CollectorReport report = Collect();
  EXPECT_EQ(1u, report.expired_leases);
  EXPECT_EQ(1u, report.removed);
  REPRISE_EXPECT_CODE(
      kNotFound,
      catalogue_->GetFrame(tenant_, segment.id, segment.rendition.frames[0]));
  REPRISE_ASSERT_OK(ReadAll("a"));
}

TEST_F(CollectorTest, RemovesNothingWhenASessionIsDamaged) {
  REPRISE_ASSERT_OK(worker_.Save("a", ToyTokens(1, 64)).status());
  const std::string key = DomainKey(tenant_, AsBytes("a"));
  const auto head = engine_->GetHead(HeadSpace::kSession, key);
  REPRISE_ASSERT_OK(head.status());
  const Bytes damaged(40, 7);
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kSession, key,
                                         head->version, damaged,
                                         Durability::kWritten)
                        .status());
  auto collector = MakeCollector(catalogue_.get(), {});
  REPRISE_ASSERT_OK(collector->Step());
  clock_.AdvanceMs(70'000);
  REPRISE_ASSERT_OK(collector->Step());
  REPRISE_EXPECT_CODE(kDataLoss, collector->Step());
  REPRISE_EXPECT_CODE(kDataLoss, collector->Step());
}

TEST_F(CollectorTest, KeepsADomainOfWhichACommitIsLost) {
  REPRISE_ASSERT_OK(worker_.Save("a", ToyTokens(1, 64)).status());
  const std::string key = DomainKey(tenant_, Session("a").head.view());
  const ObjectRef ref{ObjectSpace::kCommit, key};
  REPRISE_ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, 1000).status());
  const uint64_t before = CountAll();
  CollectorReport report = Collect();
  EXPECT_EQ(0u, report.condemned);
  EXPECT_EQ(1u, report.kept_domains);
  EXPECT_EQ(before, CountAll());
  // What others leave goes all the same.
  const DomainId others = TenantDomain("others");
  ToyWorker other(catalogue_.get(), others, TinyModel());
  REPRISE_ASSERT_OK(other.Save("b", ToyTokens(2, 64)).status());
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(others, "b"));
  report = Collect();
  EXPECT_GT(report.removed, 0u);
  EXPECT_EQ(1u, report.kept_domains);
  // And here once nobody refers to the lost commit any more.
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "a"));
  report = Collect();
  EXPECT_GT(report.removed, 0u);
  EXPECT_EQ(0u, report.kept_domains);
}

// --- Beside live traffic. An operation runs on one handle of the store; a
// --- collector on another one advances at every possible pair of its calls.

class InterleavedCollectorTest : public CollectorTest {
 protected:
  // How far the collector is: phases left behind, and then each step of the
  // sweep. In small steps, all steps.
  int Progress(const Collector& collector) const {
    const int phase = static_cast<int>(collector.phase());
    return small_steps_ ? steps_ : phase + sweep_steps_;
  }
  void Advance(Collector* collector, int progress) {
    while (collector->phase() != Collector::Phase::kDone &&
           Progress(*collector) < progress) {
      const bool is_sweep = collector->phase() == Collector::Phase::kSweep;
      StepOf(collector);
      ++steps_;
      if (is_sweep) ++sweep_steps_;
      if (HasFatalFailure()) return;
    }
  }

  struct Case {
    std::function<void()> prepare;
    // What the hooked catalogue does, and again while it fails.
    std::function<Status(Catalogue*)> operation;
    // Holds after the operation and every collection since.
    std::function<Status()> check;
  };

  // Returns how many calls of the engine the operation made.
  int RunOnce(const Case& test, int first_call, int second_call, int split) {
    store_ = MakeMemoryStore();
    engine_ = OpenMemoryEngine(store_);
    catalogue_ = OpenCatalogue(engine_.get());
    test.prepare();
    const std::unique_ptr<Engine> handle = OpenMemoryEngine(store_);
    FailingEngine hooked(handle.get());
    const std::unique_ptr<Catalogue> catalogue = OpenCatalogue(&hooked);
    CollectorOptions options;
    if (small_steps_) options.step_objects = 1;
    const auto collector = MakeCollector(catalogue_.get(), options);
    steps_ = 0;
    sweep_steps_ = 0;
    int calls = 0;
    // After calls only: between the check of its deadline and the swap that
    // follows, an operation must not rest for longer than the collector waits.
    hooked.after = [&] {
      if (calls == first_call) Advance(collector.get(), split);
      if (calls == second_call) Advance(collector.get(), INT_MAX);
      ++calls;
      return Status();
    };
    Status status = test.operation(catalogue.get());
    // A deadline passed, or something was swept before it was referred to.
    for (int i = 0; i < 3 && !status.ok(); ++i) {
      status = test.operation(catalogue.get());
    }
    EXPECT_TRUE(status.ok()) << status.ToString();
    Advance(collector.get(), INT_MAX);
    progress_ = Progress(*collector);
    const Status after = test.check();
    EXPECT_TRUE(after.ok()) << after.ToString();
    Collect();
    const Status later = test.check();
    EXPECT_TRUE(later.ok()) << later.ToString();
    return calls;
  }

  void RunAll(const Case& test) {
    const int calls = RunOnce(test, -1, -1, 0);
    EXPECT_GT(calls, 0);
    const int splits = progress_;
    for (int first = 0; first < calls; ++first) {
      for (int second = first; second <= calls; ++second) {
        for (int split = 0; split <= splits; ++split) {
          // Where it is at once at the end, or nowhere before the second
          // call, one run stands for many.
          if (split == 0 && first > 0) continue;
          if ((split == splits || second == first) && second < calls) continue;
          RunOnce(test, first, second, split);
          ASSERT_FALSE(HasFailure())
              << "collector after call " << first << " up to " << split
              << ", and the rest after call " << second;
        }
      }
    }
  }

  bool small_steps_ = false;
  int steps_ = 0;
  int sweep_steps_ = 0;
  int progress_ = 0;  // at the end of the last run
};

TEST_F(InterleavedCollectorTest, ASaveOfWhatIsGarbageIsWhole) {
  const auto tokens = ToyTokens(1, 140);
  RunAll({
      .prepare =
          [&] {
            // All of the first two segments is there, and garbage.
            ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
            REPRISE_ASSERT_OK(worker.Save("old", tokens).status());
            REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "old"));
          },
      .operation =
          [&](Catalogue* catalogue) {
            ToyWorker worker(catalogue, tenant_, TinyModel());
            return worker.Save("new", tokens, {.seed = 9}).status();
          },
      .check = [&] { return ReadAll("new"); },
  });
}

// The other way round: a save goes on at every pair of the collector's calls,
// so also between its looking at a segment and its removing the record.
TEST_F(InterleavedCollectorTest, ASaveInsideOfACollectionIsWhole) {
  const auto tokens = ToyTokens(1, 70);
  int calls = 1;
  for (int first = 0; first < calls; ++first) {
    for (int second = first; second < calls; ++second) {
      store_ = MakeMemoryStore();
      engine_ = OpenMemoryEngine(store_);
      catalogue_ = OpenCatalogue(engine_.get());
      ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
      REPRISE_ASSERT_OK(worker.Save("old", tokens).status());
      REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "old"));
      const std::unique_ptr<Engine> handle = OpenMemoryEngine(store_);
      FailingEngine hooked(handle.get());
      const std::unique_ptr<Catalogue> catalogue = OpenCatalogue(&hooked);
      const auto collector = MakeCollector(catalogue.get(), {});
      int call = 0;
      hooked.before = [&]() -> Status {
        const int now = call++;
        if (now == first) {
          REPRISE_RETURN_IF_ERROR(worker.Put(tokens, {.seed = 9}));
        }
        if (now != second) return Status();
        const auto outcome = worker.Commit("new", tokens);
        REPRISE_RETURN_IF_ERROR(outcome.status());
        if (outcome->missing.empty()) return Status();
        return worker.Save("new", tokens, {.seed = 9}).status();
      };
      Advance(collector.get(), INT_MAX);
      ASSERT_FALSE(HasFatalFailure());
      calls = call;
      const Status status = ReadAll("new");
      ASSERT_TRUE(status.ok()) << status.ToString() << ", published at call "
                               << first << ", committed at " << second;
    }
  }
  EXPECT_GT(calls, 30);
}

TEST_F(InterleavedCollectorTest, AnAppendIsWhole) {
  const auto tokens = ToyTokens(1, 140);
  RunAll({
      .prepare =
          [&] {
            ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
            REPRISE_ASSERT_OK(
                worker.Save("chat", std::span(tokens).first(100)).status());
            // The rest is published and nobody's.
            REPRISE_ASSERT_OK(worker.Put(tokens, {.seed = 3}, 1));
          },
      .operation =
          [&](Catalogue* catalogue) {
            ToyWorker worker(catalogue, tenant_, TinyModel());
            return worker.Save("chat", tokens, {.seed = 9}).status();
          },
      .check = [&] { return ReadAll("chat"); },
  });
}

// Sessions are listed one a step. A commit may move behind the back of the
// listing in both mark passes, each time by a fork whose source is removed.
TEST_F(InterleavedCollectorTest, AForkOutlivesItsSource) {
  const auto tokens = ToyTokens(1, 30);
  CollectorOptions options;
  options.step_objects = 1;
  const auto move = [&](std::string_view from, std::string_view to) {
    REPRISE_ASSERT_OK(catalogue_->Fork(tenant_, from, CommitId(), to).status());
    REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, from));
  };
  small_steps_ = true;
  int steps = 1;
  for (int first = 0; first < steps; ++first) {
    for (int second = first; second < steps; ++second) {
      store_ = MakeMemoryStore();
      engine_ = OpenMemoryEngine(store_);
      catalogue_ = OpenCatalogue(engine_.get());
      ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
      REPRISE_ASSERT_OK(worker.Save("m", tokens).status());
      // Where the listing can stand between the names of the forks.
      REPRISE_ASSERT_OK(worker.Save("aa", ToyTokens(2, 5)).status());
      REPRISE_ASSERT_OK(worker.Save("c", ToyTokens(3, 5)).status());
      const auto collector = MakeCollector(catalogue_.get(), options);
      steps_ = 0;
      Advance(collector.get(), first);
      move("m", "b");
      Advance(collector.get(), second);
      move("b", "a");
      Advance(collector.get(), INT_MAX);
      steps = steps_;
      REPRISE_ASSERT_OK(ReadAll("a"));
      Collect();
      const Status status = ReadAll("a");
      ASSERT_TRUE(status.ok()) << status.ToString() << ", moved after step "
                               << first << " and step " << second;
    }
  }
  EXPECT_GT(steps, 30);
}

TEST_F(InterleavedCollectorTest, AFetchReadsAllThatItPlanned) {
  const auto tokens = ToyTokens(1, 100);
  FetchPlan plan;
  RunAll({
      .prepare =
          [&] {
            ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
            REPRISE_ASSERT_OK(
                worker.Save("chat", tokens, {.basis = Tier::kNear}).status());
          },
      .operation = [&](Catalogue* catalogue) -> Status {
        FetchRequest request;
        request.session = "chat";
        request.lowest = Tier::kNear;
        request.lease_ms = kMaxLeaseMs;
        REPRISE_ASSIGN_OR_RETURN(plan, catalogue->PlanFetch(tenant_, request));
        // Its renditions are replaced, then nobody refers to it any more.
        ToyWorker worker(catalogue, tenant_, TinyModel());
        REPRISE_RETURN_IF_ERROR(worker.Put(tokens, {.seed = 7}));
        return catalogue->RemoveSession(tenant_, "chat");
      },
      .check = [&]() -> Status {
        if (plan.lease_expires_wall_ms <= clock_.WallMs()) return Status();
        if (plan.segments.size() != 2) return InternalError("no plan");
        for (const FetchSegment& segment : plan.segments) {
          for (const FrameRef& frame : segment.rendition.frames) {
            REPRISE_RETURN_IF_ERROR(
                catalogue_->GetFrame(tenant_, segment.id, frame).status());
          }
        }
        return Status();
      },
  });
}

// By ids no session keeps what is read: the lease alone must.
TEST_F(InterleavedCollectorTest, AFetchByIdsReadsAllThatItPlanned) {
  const auto tokens = ToyTokens(1, 128);
  FetchPlan plan;
  RunAll({
      .prepare =
          [&] {
            ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
            REPRISE_ASSERT_OK(worker.Put(tokens));
          },
      .operation =
          [&](Catalogue* catalogue) {
            const auto ids = SegmentIdsOf(worker_.model(), tokens);
            FetchRequest request;
            request.segments = ids;
            request.lease_ms = kMaxLeaseMs;
            auto planned = catalogue->PlanFetch(tenant_, request);
            if (planned.ok()) plan = *std::move(planned);
            return planned.status();
          },
      .check = [&]() -> Status {
        if (plan.segments.size() != 2) return InternalError("no plan");
        for (const FetchSegment& segment : plan.segments) {
          // Swept before: then the plan says so.
          if (segment.rendition.tier == Tier::kTokens) continue;
          for (const FrameRef& frame : segment.rendition.frames) {
            REPRISE_RETURN_IF_ERROR(
                catalogue_->GetFrame(tenant_, segment.id, frame).status());
          }
        }
        return Status();
      },
  });
}

}  // namespace
}  // namespace reprise
