#include "api/jobs.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "api/admin_json.h"
#include "base/log.h"
#include "store/clock_guard.h"
#include "store/fsck.h"

namespace reprise {

Jobs::Jobs(Catalogue* catalogue, const Clock* clock, const JobsOptions& options)
    : catalogue_(catalogue),
      clock_(clock),
      options_(options),
      scrubs_(catalogue, clock),
      next_collection_ms_(clock->MonotonicMs() + options.collect_interval_ms),
      next_clock_ms_(clock->MonotonicMs()),
      thread_([this] { Run(); }) {}

Jobs::~Jobs() {
  Stop();
  thread_.join();
}

void Jobs::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  wake_.notify_all();
}

Result<JobHandle> Jobs::StartCheck(bool read_frames) {
  std::lock_guard lock(mutex_);
  if (stopped_) return UnavailableError("job: the daemon is stopping");
  if (checks_.size() >= options_.max_queued) {
    return ResourceExhaustedError("job: " + std::to_string(checks_.size()) +
                                  " checks wait, the limit is " +
                                  std::to_string(options_.max_queued));
  }
  auto job = std::make_shared<JobState>();
  checks_.push_back({read_frames, job});
  wake_.notify_all();
  return job;
}

Result<JobHandle> Jobs::StartCollection() {
  std::lock_guard lock(mutex_);
  if (stopped_) return UnavailableError("job: the daemon is stopping");
  if (wanted_collections_.size() >= options_.max_queued) {
    return ResourceExhaustedError(
        "job: " + std::to_string(wanted_collections_.size()) +
        " wait for a collection, the limit is " +
        std::to_string(options_.max_queued));
  }
  auto job = std::make_shared<JobState>();
  wanted_collections_.push_back(job);
  wake_.notify_all();
  return job;
}

Result<JobHandle> Jobs::StartScrub(const ScrubRequest& request) {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return UnavailableError("job: the daemon is stopping");
  }
  // Not with the lock held: it may read the store.
  Result<JobHandle> handle = scrubs_.Start(request);
  wake_.notify_all();
  return handle;
}

std::string Jobs::LastCollectionJson() const {
  std::lock_guard lock(mutex_);
  return last_collection_json_;
}

uint64_t Jobs::collections_finished() const {
  std::lock_guard lock(mutex_);
  return collections_finished_;
}

void Jobs::Run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (clock_->MonotonicMs() >= next_clock_ms_) {
      KeepTime(&lock);
      continue;
    }
    if (RunOneCheck(&lock)) continue;
    StepScrub(&lock);
    int64_t now = clock_->MonotonicMs();
    if (collector_ == nullptr && collection_is_due()) {
      collector_ = MakeCollector(catalogue_, options_.collector);
      served_collections_ = std::exchange(wanted_collections_, {});
      resting_until_ms_ = now;
    }
    if (collector_ != nullptr && now >= resting_until_ms_) {
      StepCollection(&lock);
    } else {
      int64_t until = collector_ != nullptr ? resting_until_ms_ : now + 1000;
      if (is_scrubbing_) until = std::min(until, scrubs_.wait_until_ms());
      Rest(&lock, until - now);
    }
  }
  lock.unlock();
  scrubs_.Stop();
  lock.lock();
  Status stopped = UnavailableError("job: the daemon is stopping");
  for (const Check& check : checks_) check.job->Finish(stopped, "");
  for (const JobHandle& job : wanted_collections_) job->Finish(stopped, "");
  for (const JobHandle& job : served_collections_) job->Finish(stopped, "");
}

void Jobs::Rest(std::unique_lock<std::mutex>* lock, int64_t ms) {
  // The clock may be moved by hand: look again soon.
  constexpr int64_t kLongestMs = 200;
  wake_.wait_for(
      *lock, std::chrono::milliseconds(std::clamp<int64_t>(ms, 1, kLongestMs)));
}

bool Jobs::collection_is_due() const {
  return !wanted_collections_.empty() ||
         (options_.collect_interval_ms > 0 &&
          clock_->MonotonicMs() >= next_collection_ms_);
}

bool Jobs::RunOneCheck(std::unique_lock<std::mutex>* lock) {
  if (checks_.empty()) return false;
  Check check = checks_.front();
  checks_.pop_front();
  lock->unlock();
  FsckOptions options;
  options.read_frames = check.read_frames;
  options.progress = [&](uint64_t done, uint64_t total) {
    check.job->Update(done, total);
  };
  options.stop = [this] { return stopped_.load(); };
  Result<FsckReport> report = Fsck(catalogue_, options);
  if (report.ok()) {
    check.job->Update(report->frames, report->frames);
    check.job->Finish(Status::Ok(), FsckReportJson(*report));
  } else {
    check.job->Finish(report.status(), "");
  }
  lock->lock();
  return true;
}

void Jobs::StepScrub(std::unique_lock<std::mutex>* lock) {
  lock->unlock();
  const bool is_scrubbing = scrubs_.Step();
  lock->lock();
  is_scrubbing_ = is_scrubbing;
}

void Jobs::KeepTime(std::unique_lock<std::mutex>* lock) {
  lock->unlock();
  const Result<ClockReading> reading =
      KeepClock(catalogue_->engine(), clock_->WallMs());
  const Status status = reading.ok() ? CheckClock(*reading) : reading.status();
  // Once, not every minute until somebody comes.
  if (!status.ok() && clock_was_good_) {
    REPRISE_LOG_WARN("{}", status.ToString());
  }
  lock->lock();
  clock_was_good_ = status.ok();
  next_clock_ms_ = clock_->MonotonicMs() + kClockKeptMs;
}

void Jobs::StepCollection(std::unique_lock<std::mutex>* lock) {
  lock->unlock();
  int64_t began_ns = clock_->MonotonicNs();
  Status status = collector_->Step();
  int64_t worked_ns = clock_->MonotonicNs() - began_ns;
  auto phase = static_cast<uint64_t>(collector_->phase());
  constexpr auto kDone = static_cast<uint64_t>(Collector::Phase::kDone);
  for (const JobHandle& job : served_collections_) job->Update(phase, kDone);
  lock->lock();
  if (!status.ok() || phase == kDone) {
    EndCollection(status);
    return;
  }
  double share = std::clamp(options_.collect_duty, 0.01, 1.0);
  auto pause_ns =
      static_cast<int64_t>(static_cast<double>(worked_ns) * (1 / share - 1));
  resting_until_ms_ = std::max(clock_->MonotonicMs() + pause_ns / 1'000'000,
                               collector_->wait_until_ms());
}

void Jobs::EndCollection(const Status& status) {
  std::string json = CollectorReportJson(collector_->report());
  collector_.reset();
  next_collection_ms_ = clock_->MonotonicMs() + options_.collect_interval_ms;
  if (status.ok()) {
    last_collection_json_ = json;
    collections_finished_++;
    REPRISE_LOG_INFO("collection finished: {}", json);
  } else {
    REPRISE_LOG_WARN("collection failed: {}", status.ToString());
  }
  for (const JobHandle& job : served_collections_) job->Finish(status, json);
  served_collections_.clear();
}

}  // namespace reprise
