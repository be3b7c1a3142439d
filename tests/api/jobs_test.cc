#include "api/jobs.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "store/clock_guard.h"
#include "store/memory_engine.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class JobsTest : public testing::Test {
 protected:
  JobsTest()
      : engine_(OpenMemoryEngine(MakeMemoryStore())),
        catalogue_(*Catalogue::Open(engine_.get(), &clock_, {})),
        worker_(catalogue_.get(), TenantDomain("default"), TinyModel()) {
    EXPECT_TRUE(worker_.Save("a", ToyTokens(1, 200)).ok());
  }

  JobState::Progress WaitFor(const JobHandle& job) {
    for (int i = 0; i < 2000 && !job->Get().finished; i++) {
      // Collections wait for commits that may be under way.
      clock_.AdvanceMs(1'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return job->Get();
  }

  ManualClock clock_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ToyWorker worker_;
};

TEST_F(JobsTest, ACheckReportsWhatItSaw) {
  Jobs jobs(catalogue_.get(), &clock_, {});
  auto job = jobs.StartCheck(true);
  ASSERT_TRUE(job.ok());
  JobState::Progress progress = WaitFor(*job);
  ASSERT_TRUE(progress.finished);
  EXPECT_TRUE(progress.status.ok());
  EXPECT_NE(progress.json.find("\"sessions\":1"), std::string::npos)
      << progress.json;
  EXPECT_NE(progress.json.find("\"findings\":[]"), std::string::npos);
}

TEST_F(JobsTest, ACollectionOnRequestRemovesWhatIsUnreachable) {
  ASSERT_TRUE(catalogue_->RemoveSession(TenantDomain("default"), "a").ok());
  Jobs jobs(catalogue_.get(), &clock_, {.collect_interval_ms = 0});
  auto first = jobs.StartCollection();
  auto second = jobs.StartCollection();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(WaitFor(*first).status.ok());
  EXPECT_NE(WaitFor(*first).json.find("\"removed\":"), std::string::npos);
  EXPECT_EQ(WaitFor(*first).json.find("\"removed\":0"), std::string::npos)
      << WaitFor(*first).json;
  EXPECT_TRUE(WaitFor(*second).finished);
  EXPECT_GE(jobs.collections_finished(), 1u);
  EXPECT_NE(jobs.LastCollectionJson(), "");
}

TEST_F(JobsTest, CollectionsComeByThemselves) {
  Jobs jobs(catalogue_.get(), &clock_, {.collect_interval_ms = 60'000});
  for (int i = 0; i < 2000 && jobs.collections_finished() < 2; i++) {
    clock_.AdvanceMs(5'000);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_GE(jobs.collections_finished(), 2u);
}

TEST_F(JobsTest, WhatTimeItIsIsWrittenDownUnlessItJumped) {
  const auto kept = [&] {
    const auto reading = ReadClock(engine_.get(), clock_.WallMs());
    return reading.ok() ? reading->kept_ms : -1;
  };
  const auto wait_for = [&](int64_t wall_ms) {
    for (int i = 0; i < 2000 && kept() != wall_ms; i++) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return kept();
  };
  const int64_t start_ms = clock_.WallMs();
  {
    Jobs jobs(catalogue_.get(), &clock_, {.collect_interval_ms = 0});
    EXPECT_EQ(start_ms, wait_for(start_ms));
    clock_.AdvanceMs(kClockKeptMs);
    EXPECT_EQ(start_ms + kClockKeptMs, wait_for(start_ms + kClockKeptMs));
  }
  // Nobody looked for more than a day: a daemon that starts then waits for an
  // operator.
  clock_.AdvanceMs(kMostClockAheadMs + 1);
  Jobs jobs(catalogue_.get(), &clock_, {.collect_interval_ms = 0});
  auto check = jobs.StartCheck(false);  // looked at the clock before
  ASSERT_TRUE(check.ok());
  EXPECT_TRUE(WaitFor(*check).finished);
  EXPECT_EQ(start_ms + kClockKeptMs, kept());
}

TEST_F(JobsTest, StoppingEndsWhatWaits) {
  Jobs jobs(catalogue_.get(), &clock_, {.collect_interval_ms = 0});
  auto job = jobs.StartCollection();  // waits for the clock, which stands
  ASSERT_TRUE(job.ok());
  jobs.Stop();
  for (int i = 0; i < 1000 && !(*job)->Get().finished; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE((*job)->Get().status.Is(StatusCode::kUnavailable));
  EXPECT_TRUE(jobs.StartCheck(false).status().Is(StatusCode::kUnavailable));
}

TEST_F(JobsTest, TooManyWaitingAreRefused) {
  Jobs jobs(catalogue_.get(), &clock_,
            {.collect_interval_ms = 0, .max_queued = 0});
  EXPECT_TRUE(
      jobs.StartCheck(true).status().Is(StatusCode::kResourceExhausted));
  EXPECT_TRUE(
      jobs.StartCollection().status().Is(StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace reprise
