// Jobs as a client sees them: accepted, told about while they run, answered,
// cancelled, and several at a time.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "api/jobs.h"
#include "base/clock.h"
#include "tests/api/handler_fixture.h"

namespace reprise {
namespace {

// Jobs that go only as far as the clock is moved.
class HandlerJobTest : public HandlerTest {
 protected:
  HandlerJobTest() {
    catalogue_ = *Catalogue::Open(engine_.get(), &clock_, {});
    context_.catalogue = catalogue_.get();
    context_.clock = &clock_;
    MakeJobs({.collect_interval_ms = 0});
    Save();
  }
  ~HandlerJobTest() override {
    handler_.reset();
    jobs_.reset();
    catalogue_.reset();
  }

  void MakeJobs(const JobsOptions& options) {
    jobs_ = std::make_unique<Jobs>(catalogue_.get(), &clock_, options);
    context_.jobs = jobs_.get();
  }

  // One that was asked for, and the last that was said of it.
  struct Running {
    uint64_t request = 0;
    std::unique_ptr<AnswerStream> answers;
    RawMessage last;

    bool ended() const { return last.header.end(); }
    const wire::JobReply& reply() const { return last.As<wire::JobReply>(); }
    std::string json() const {
      return std::string(TextFromWire(reply().json()));
    }
  };

  Running Begin(wire::JobKind kind) {
    wire::JobT job;
    job.kind = kind;
    job.read_frames = true;
    MessageHead head = PackMessage(MessageType::kJob, 0, ++last_request_, job);
    HandlerRequest request;
    request.header = {.type = MessageType::kJob, .request = last_request_};
    request.meta = AlignedBytes::CopyOf(head.meta_view());
    EXPECT_TRUE(handler_->Admit(request.header).ok());
    HandlerReply reply = handler_->Handle(request);
    return {last_request_, std::move(reply.rest), Received(reply.first)};
  }

  // The next answer, a while later.
  void Continue(Running* job) {
    clock_.AdvanceMs(1'000);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    Hear(job);
  }
  void Hear(Running* job) { job->last = Received(job->answers->Next()); }

  void Finish(Running* job) {
    uint64_t done = 0;
    for (int i = 0; i < 5'000 && !job->ended(); i++) {
      EXPECT_GE(job->reply().done(), done);
      EXPECT_EQ(job->json(), "") << "only the last has the report";
      done = job->reply().done();
      Continue(job);
    }
    ASSERT_TRUE(job->ended());
    handler_->Finish(job->request);
  }

  // Until a collection is under way, waiting for the clock.
  void AwaitProgress(Running* job) {
    for (int i = 0; i < 1'000 && job->reply().done() == 0; i++) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      Hear(job);
    }
    ASSERT_GT(job->reply().done(), 0u);
    ASSERT_FALSE(job->ended());
  }

  ManualClock clock_;
  std::unique_ptr<Jobs> jobs_;
};

TEST_F(HandlerJobTest, ACollectionTellsItsProgressAndWhatItRemoved) {
  ASSERT_TRUE(catalogue_->RemoveSession(TenantDomain("default"), "chat").ok());
  Running job = Begin(wire::JobKind::kCollect);
  ASSERT_FALSE(job.ended());
  EXPECT_GT(job.answers->not_before_ms(), clock_.MonotonicMs())
      << "progress is told now and then";
  ASSERT_NO_FATAL_FAILURE(Finish(&job));
  EXPECT_EQ(job.last.error_message(), "");
  EXPECT_GT(job.reply().total(), 0u);
  EXPECT_EQ(job.reply().done(), job.reply().total());
  EXPECT_NE(job.json().find("\"removed\":"), std::string::npos) << job.json();
  EXPECT_EQ(job.json().find("\"removed\":0"), std::string::npos) << job.json();
  EXPECT_EQ(jobs_->LastCollectionJson(), job.json());
  EXPECT_EQ(Code(MessageType::kStats, wire::StatsT()), StatusCode::kOk);
}

TEST_F(HandlerJobTest, ACheckTellsItsProgressAndWhatItSaw) {
  Running job = Begin(wire::JobKind::kFsck);
  ASSERT_NO_FATAL_FAILURE(Finish(&job));
  EXPECT_EQ(job.last.error_message(), "");
  EXPECT_GT(job.reply().done(), 0u);
  EXPECT_EQ(job.reply().done(), job.reply().total());
  EXPECT_NE(job.json().find("\"sessions\":1"), std::string::npos) << job.json();
  EXPECT_NE(job.json().find("\"findings\":[]"), std::string::npos);
}

TEST_F(HandlerJobTest, CancelEndsTheAnswersAndNotTheJob) {
  Running job = Begin(wire::JobKind::kCollect);
  ASSERT_NO_FATAL_FAILURE(AwaitProgress(&job));
  wire::CancelT cancel;
  cancel.request = job.request;
  MessageHead head = PackMessage(MessageType::kCancel, 0, 900, cancel);
  HandlerRequest request;
  request.meta = AlignedBytes::CopyOf(head.meta_view());
  EXPECT_EQ(handler_->HandleCancel(request), nullptr);
  Hear(&job);
  EXPECT_TRUE(job.ended());
  EXPECT_EQ(job.last.error_message(), "");
  EXPECT_EQ(job.json(), "");
  job.answers.reset();
  handler_->Finish(job.request);
  for (int i = 0; i < 5'000 && jobs_->collections_finished() == 0; i++) {
    clock_.AdvanceMs(1'000);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(jobs_->collections_finished(), 1u);
}

// What became garbage since the first began must not be missed.
TEST_F(HandlerJobTest, ASecondCollectionBeginsAfterTheFirst) {
  Running first = Begin(wire::JobKind::kCollect);
  ASSERT_NO_FATAL_FAILURE(AwaitProgress(&first));
  Running second = Begin(wire::JobKind::kCollect);
  Running third = Begin(wire::JobKind::kCollect);
  EXPECT_FALSE(second.ended());
  ASSERT_NO_FATAL_FAILURE(Finish(&first));
  EXPECT_EQ(jobs_->collections_finished(), 1u);
  Hear(&second);
  EXPECT_FALSE(second.ended());
  ASSERT_NO_FATAL_FAILURE(Finish(&second));
  ASSERT_NO_FATAL_FAILURE(Finish(&third));
  EXPECT_EQ(second.last.error_message(), "");
  EXPECT_EQ(third.json(), second.json());
  EXPECT_EQ(jobs_->collections_finished(), 2u) << "one serves all who wait";
}

TEST_F(HandlerJobTest, ChecksRunWhileACollectionWaits) {
  Running collection = Begin(wire::JobKind::kCollect);
  ASSERT_NO_FATAL_FAILURE(AwaitProgress(&collection));
  Running checks[] = {Begin(wire::JobKind::kFsck), Begin(wire::JobKind::kFsck)};
  for (Running& check : checks) {
    // The clock stands, and with it the collection.
    for (int i = 0; i < 1'000 && !check.ended(); i++) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      Hear(&check);
    }
    ASSERT_TRUE(check.ended());
    EXPECT_NE(check.json().find("\"sessions\":1"), std::string::npos);
  }
  Hear(&collection);
  EXPECT_FALSE(collection.ended());
  ASSERT_NO_FATAL_FAILURE(Finish(&collection));
}

// Remembers what it was asked, and works on nothing.
class NotedControl final : public CompactionControl {
 public:
  Result<JobHandle> Start(const CompactionRequest& request) override {
    asked = request;
    if (!answer.ok()) return answer;
    job = std::make_shared<JobState>();
    return job;
  }
  CompactionRequest asked;
  Status answer;
  JobHandle job;
};

TEST_F(HandlerJobTest, ACompactionIsAskedForAsTheRequestSays) {
  wire::JobT job;
  job.kind = wire::JobKind::kCompact;
  EXPECT_EQ(Code(MessageType::kJob, job), StatusCode::kUnimplemented);
  NotedControl control;
  context_.compaction = &control;
  Running running = Begin(wire::JobKind::kCompact);
  EXPECT_FALSE(running.ended());
  EXPECT_EQ(control.asked.action, CompactionAction::kRun);
  EXPECT_FALSE(control.asked.bytes_per_s.has_value());
  control.job->Update(3, 7, R"({"phase":"running"})");
  Hear(&running);
  EXPECT_EQ(running.reply().done(), 3u);
  EXPECT_EQ(running.reply().total(), 7u);
  EXPECT_EQ(TextFromWire(running.reply().progress()), R"({"phase":"running"})");
  control.job->Finish(Status(), R"({"phase":"done"})");
  Hear(&running);
  EXPECT_TRUE(running.ended());
  EXPECT_EQ(running.json(), R"({"phase":"done"})");
  handler_->Finish(running.request);

  control.answer = NotFoundError("nothing");
  job.action = wire::CompactAction::kPlan;
  job.bytes_per_s = 0;
  job.threads = 3;
  job.until_below_bytes = 5;
  job.policy = "exact";
  job.ladders = {"a.near=raw", "a.coarse=raw"};
  job.at_ms = 6;
  job.idle_plus_ms = 7;
  job.encode_bytes_per_s = 8;
  EXPECT_EQ(Code(MessageType::kJob, job), StatusCode::kNotFound);
  EXPECT_EQ(control.asked.action, CompactionAction::kPlan);
  EXPECT_EQ(control.asked.bytes_per_s, 0u);
  EXPECT_EQ(control.asked.threads, 3u);
  EXPECT_EQ(control.asked.until_below_bytes, 5u);
  EXPECT_EQ(control.asked.policy, "exact");
  EXPECT_EQ(control.asked.ladders, job.ladders);
  EXPECT_EQ(control.asked.at_ms, 6);
  EXPECT_EQ(control.asked.idle_plus_ms, 7);
  EXPECT_EQ(control.asked.encode_bytes_per_s, 8u);
}

TEST_F(HandlerJobTest, ACompactionThatMakesNoSenseIsRefused) {
  NotedControl control;
  context_.compaction = &control;
  const auto refused = [&](auto change) {
    wire::JobT job;
    job.kind = wire::JobKind::kCompact;
    change(&job);
    return Code(MessageType::kJob, job);
  };
  constexpr auto kInvalid = StatusCode::kInvalidArgument;
  EXPECT_EQ(kInvalid, refused([](wire::JobT* job) {
              job->action = static_cast<wire::CompactAction>(8);
            }));
  EXPECT_EQ(kInvalid, refused([](wire::JobT* job) {
              job->action = static_cast<wire::CompactAction>(0);
            }));
  EXPECT_EQ(kInvalid, refused([](wire::JobT* job) { job->bytes_per_s = -2; }));
  EXPECT_EQ(kInvalid, refused([](wire::JobT* job) { job->at_ms = -1; }));
  EXPECT_EQ(kInvalid, refused([](wire::JobT* job) { job->idle_plus_ms = -1; }));
  EXPECT_EQ(kInvalid,
            refused([](wire::JobT* job) { job->ladders.resize(65); }));
  EXPECT_EQ(control.job, nullptr);
}

TEST_F(HandlerJobTest, JobsOverTheQueueAreRefusedAndStoppedOnesEnd) {
  MakeJobs({.collect_interval_ms = 0, .max_queued = 1});
  Running running = Begin(wire::JobKind::kCollect);
  ASSERT_NO_FATAL_FAILURE(AwaitProgress(&running));
  Running waiting = Begin(wire::JobKind::kCollect);
  EXPECT_FALSE(waiting.ended());
  wire::JobT job;
  job.kind = wire::JobKind::kCollect;
  EXPECT_EQ(Code(MessageType::kJob, job), StatusCode::kResourceExhausted);
  jobs_->Stop();
  for (Running* stopped : {&running, &waiting}) {
    for (int i = 0; i < 1'000 && !stopped->ended(); i++) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      Hear(stopped);
    }
    EXPECT_TRUE(stopped->ended());
    EXPECT_EQ(stopped->last.code(), StatusCode::kUnavailable);
  }
  EXPECT_EQ(Code(MessageType::kJob, job), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace reprise
