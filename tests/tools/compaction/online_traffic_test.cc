// The very sessions that sink are saved to, forked, read and removed at the
// same time, while garbage is collected: nobody ever meets half a session. What
// the thread sanitizer is to see of a daemon's compactions.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "store/fsck.h"
#include "store/memory_engine.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/random.h"
#include "tests/tools/compaction/coded_state.h"
#include "tools/compaction/daemon_compaction.h"

namespace reprise {
namespace {

constexpr int kWorkers = 3;
constexpr int kSessions = 3;
constexpr int kRuns = 4;
constexpr size_t kMostTokens = 6 * 64;

class OnlineTrafficTest : public testing::Test {
 protected:
  OnlineTrafficTest() {
    CatalogueOptions options;
    options.max_commit_ms = 800;
    auto catalogue = Catalogue::Open(engine_.get(), &SystemClock(), options);
    REPRISE_CHECK(catalogue.ok());
    catalogue_ = *std::move(catalogue);
    jobs_ = std::make_unique<Jobs>(
        catalogue_.get(), &SystemClock(),
        JobsOptions{.collect_interval_ms = 1,
                    .collector = {.step_objects = 50, .wait_ms = 1'000},
                    .collect_duty = 1});
    DaemonCompactionOptions daemon;
    daemon.rules.policy = *ParsePolicy("series: near");
    daemon.interval_ms = 0;
    daemon.threads = 2;
    daemon.step_tasks = 3;
    daemon_ = std::make_unique<DaemonCompaction>(catalogue_.get(), jobs_.get(),
                                                 daemon);
  }

  static std::string NameOf(uint64_t s) { return "s" + std::to_string(s); }
  static std::vector<TokenId> TokensOf(uint64_t s, size_t count) {
    return ToyTokens(s + 1, count);
  }

  void SaveAll() {
    CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
    for (uint64_t s = 0; s < kSessions; ++s) {
      REPRISE_ASSERT_OK(worker.Save(NameOf(s), TokensOf(s, kMostTokens)));
    }
  }

  // One worker: what others did to the session in between is no failure.
  void Work(uint64_t seed) {
    CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
    Random random(seed);
    // A commit that took too long is refused, and what it was of swept.
    const auto is_fine = [](const Status& status) {
      return status.ok() || status.Is(StatusCode::kNotFound) ||
             status.Is(StatusCode::kFailedPrecondition) ||
             status.Is(StatusCode::kDeadlineExceeded);
    };
    while (!done_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const uint64_t s = random.Below(kSessions);
      const std::string name = NameOf(s);
      const std::string fork = name + "-" + std::to_string(seed);
      Status status;
      switch (random.Below(6)) {
        case 0:
          status = catalogue_->Fork(tenant_, name, CommitId(), fork).status();
          break;
        case 1:
          status = catalogue_->RemoveSession(tenant_, fork);
          break;
        case 2:
          if (random.Below(3) == 0) {
            status = catalogue_->RemoveSession(tenant_, name);
          }
          break;
        case 3:
        case 4:
          status =
              worker.Save(name, TokensOf(s, 1 + random.Below(kMostTokens)));
          break;
        default:
          status = worker.ReadAll(random.Below(2) == 0 ? name : fork).status();
          // Whoever reads finds the session whole, or not at all.
          if (status.ok()) ++read_;
          break;
      }
      EXPECT_TRUE(is_fine(status)) << status.ToString();
    }
  }

  const DomainId tenant_ = TenantDomain("acme");
  std::unique_ptr<Engine> engine_ = OpenMemoryEngine(MakeMemoryStore());
  std::unique_ptr<Catalogue> catalogue_;
  std::unique_ptr<Jobs> jobs_;
  std::unique_ptr<DaemonCompaction> daemon_;
  std::atomic<bool> done_ = false;
  std::atomic<int> read_ = 0;
};

TEST_F(OnlineTrafficTest, OfManyRequestsAtOnceOneIsTaken) {
  SaveAll();
  constexpr int kRequests = 8;
  CompactionRequest slow;
  slow.bytes_per_s = 10;
  std::atomic<int> waiting = kRequests;
  std::vector<Status> answers(kRequests);
  std::vector<std::thread> threads;
  for (Status& answer : answers) {
    threads.emplace_back([&] {
      --waiting;
      while (waiting > 0) std::this_thread::yield();
      answer = daemon_->Start(slow).status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  int taken = 0;
  for (const Status& answer : answers) {
    if (answer.ok()) {
      ++taken;
      continue;
    }
    REPRISE_EXPECT_CODE(kFailedPrecondition, answer);
    EXPECT_NE(answer.message().find("under way"), std::string::npos);
  }
  EXPECT_EQ(taken, 1);
}

TEST_F(OnlineTrafficTest, NobodyMeetsHalfASession) {
  SaveAll();
  std::vector<std::thread> workers;
  for (uint64_t w = 1; w <= kWorkers; ++w) {
    workers.emplace_back([this, w] { Work(w); });
  }
  for (int run = 0; run < kRuns; ++run) {
    const auto job = daemon_->Start({});
    EXPECT_TRUE(job.ok()) << job.status().ToString();
    while (job.ok() && !(*job)->Get().finished) {
      (void)daemon_->Figures();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (!job.ok()) break;
    EXPECT_TRUE((*job)->Get().status.ok()) << (*job)->Get().status.ToString();
  }
  done_ = true;
  for (std::thread& worker : workers) worker.join();
  EXPECT_GT(read_, 10);
  EXPECT_GT(jobs_->collections_finished(), 0u);
  uint64_t encoded = 0;
  for (const auto& [result, count] : daemon_->Figures().segments) {
    if (result == "encoded") encoded = count;
    if (result == "failed-check" || result == "unreadable") {
      EXPECT_EQ(count, 0u) << result;
    }
  }
  EXPECT_GT(encoded, uint64_t{kSessions});
  daemon_.reset();
  jobs_.reset();
  const auto report = Fsck(catalogue_.get(), {});
  REPRISE_ASSERT_OK(report.status());
  for (const auto& finding : report->findings) ADD_FAILURE() << finding.what;
  // All that is left can be decoded.
  CodedWorker worker(catalogue_.get(), tenant_, TinyModel());
  std::vector<HeadStore::ListedHead> sessions;
  REPRISE_ASSERT_OK(
      engine_->ListHeads(HeadSpace::kSession, "", "", 100, &sessions));
  EXPECT_FALSE(sessions.empty());
  for (const auto& session : sessions) {
    const auto read = worker.ReadAll(session.key.substr(kDomainBytes));
    EXPECT_TRUE(read.ok()) << read.status().ToString();
  }
}

}  // namespace
}  // namespace reprise
