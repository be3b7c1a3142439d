#include "api/scrub_runner.h"

#include <unistd.h>

#include <utility>

#include "api/admin_json.h"
#include "base/log.h"

namespace reprise {

Result<JobHandle> ScrubRunner::Start(const ScrubRequest& request) {
  if (request.bytes_per_s != 0 && request.bytes_per_s < kLeastScrubRate) {
    return InvalidArgumentError(
        "job: the rate is " + std::to_string(request.bytes_per_s) +
        " bytes a second, at least " + std::to_string(kLeastScrubRate) +
        " are wanted");
  }
  auto handle = std::make_shared<JobState>();
  std::lock_guard lock(mutex_);
  if (request.action == ScrubAction::kStatus) {
    std::string json = json_;
    if (job_ == nullptr) {
      REPRISE_ASSIGN_OR_RETURN(const auto last,
                               ReadScrub(catalogue_->engine()));
      json =
          last ? ScrubReportJson(last->record, last->bytes_per_s, last->counts)
               : "{\"phase\":\"none\"}";
    }
    handle->Finish(Status(), std::move(json));
    return handle;
  }
  if (waiting_.size() >= kMostWaiting) {
    return ResourceExhaustedError("job: " + std::to_string(waiting_.size()) +
                                  " wait for the scrub, the limit is " +
                                  std::to_string(kMostWaiting));
  }
  const bool ends = request.action == ScrubAction::kPause ||
                    request.action == ScrubAction::kCancel;
  if (ends) {
    asked_ = request.action == ScrubAction::kPause ? JobPhase::kPaused
                                                   : JobPhase::kCancelled;
  }
  if (job_ != nullptr) {
    if (request.bytes_per_s != 0) job_->SetRate(request.bytes_per_s);
    if (asked_ == JobPhase::kPaused) job_->Pause();
    if (asked_ == JobPhase::kCancelled) job_->Cancel();
  } else {
    // Who asks for a run is not to be told that there is none.
    const bool only_go_on = ends || request.action == ScrubAction::kResume;
    options_.only_go_on = only_go_on && (options_.only_go_on || !is_wanted_);
    if (request.bytes_per_s != 0) options_.bytes_per_s = request.bytes_per_s;
    is_wanted_ = true;
  }
  waiting_.push_back(handle);
  return handle;
}

void ScrubRunner::Begin(std::unique_lock<std::mutex>* lock) {
  ScrubOptions options = options_;
  options.holder = "pid " + std::to_string(getpid()) + " (reprised)";
  options.started_by = "reprise scrub";
  // Each engine that there is belongs to one process.
  options.has_store_alone = true;
  is_wanted_ = false;
  lock->unlock();
  Result<std::unique_ptr<ScrubJob>> job = ScrubJob::Start(catalogue_, options);
  lock->lock();
  // Somebody else may have asked meanwhile: then it is tried again for him.
  if (!job.ok() && is_wanted_) return;
  if (!job.ok()) {
    options_ = ScrubOptions();
    const bool is_news = !job.status().Is(StatusCode::kNotFound);
    if (is_news) REPRISE_LOG_WARN("{}", job.status().ToString());
    Finish(job.status());
    return;
  }
  job_ = *std::move(job);
  is_wanted_ = false;
  if (options_.bytes_per_s != 0) job_->SetRate(options_.bytes_per_s);
  options_ = ScrubOptions();
  Tell();
  if (asked_ == JobPhase::kPaused) job_->Pause();
  if (asked_ == JobPhase::kCancelled) job_->Cancel();
}

bool ScrubRunner::Step() {
  std::unique_lock lock(mutex_);
  if (job_ == nullptr && is_wanted_) Begin(&lock);
  if (job_ == nullptr) return false;
  lock.unlock();
  const Status status = job_->Step();
  lock.lock();
  Tell();
  if (!status.ok()) {
    REPRISE_LOG_WARN("scrub failed: {}", status.ToString());
  } else if (!job_->ended()) {
    return true;
  } else {
    const FsckReport& report = job_->report();
    REPRISE_LOG_INFO("scrub {}: {} bytes, {} findings, {} sessions touched",
                     JobPhaseName(job_->record().phase), report.bytes_read,
                     report.finding_count, report.touched_count);
  }
  Finish(status);
  return false;
}

void ScrubRunner::Tell() {
  const JobRecord& record = job_->record();
  // Without the findings: they are for the end.
  FsckReport counts = job_->ended() ? job_->report() : FsckReport();
  if (!job_->ended()) {
    const FsckReport& now = job_->report();
    counts.sessions = now.sessions;
    counts.commits = now.commits;
    counts.segments = now.segments;
    counts.renditions = now.renditions;
    counts.frames = now.frames;
    counts.frame_bytes = now.frame_bytes;
    counts.bytes_read = now.bytes_read;
    counts.set_aside = now.set_aside;
    counts.finding_count = now.finding_count;
  }
  json_ = ScrubReportJson(record, job_->bytes_per_s(), counts);
  if (job_->ended()) return;
  for (const JobHandle& handle : waiting_) {
    handle->Update(record.done, record.total, json_);
  }
}

void ScrubRunner::Finish(const Status& status) {
  for (const JobHandle& handle : waiting_) {
    if (job_ != nullptr && status.ok()) {
      handle->Update(job_->record().done, job_->record().total);
    }
    handle->Finish(status, status.ok() ? json_ : std::string());
  }
  waiting_.clear();
  job_.reset();
  asked_ = JobPhase::kRunning;
}

int64_t ScrubRunner::wait_until_ms() const {
  std::lock_guard lock(mutex_);
  return job_ == nullptr ? clock_->MonotonicMs() : job_->wait_until_ms();
}

void ScrubRunner::Stop() {
  std::lock_guard lock(mutex_);
  if (job_ != nullptr && !job_->ended()) {
    const Status status = job_->Checkpoint();
    if (!status.ok()) REPRISE_LOG_WARN("{}", status.ToString());
  }
  Finish(UnavailableError("job: the daemon is stopping"));
}

}  // namespace reprise
