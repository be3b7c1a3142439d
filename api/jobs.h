// Work on the whole store, on one thread beside live traffic: collections of
// garbage, by themselves at an interval or on request, checks, and scrubs. It
// also writes down every minute what time it is (store/clock_guard.h).
#ifndef REPRISE_API_JOBS_H_
#define REPRISE_API_JOBS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "api/job_state.h"
#include "api/scrub_runner.h"
#include "base/clock.h"
#include "base/status.h"
#include "store/catalogue.h"
#include "store/collector.h"

namespace reprise {

struct JobsOptions {
  int64_t collect_interval_ms = 10 * 60 * 1000;  // 0: only on request
  CollectorOptions collector;
  // A collection works at most this share of the time, so that live traffic
  // has the store for the rest.
  double collect_duty = 0.25;
  uint32_t max_queued = 16;
};

// Thread-safe.
class Jobs {
 public:
  // Neither is owned; both outlive this.
  Jobs(Catalogue* catalogue, const Clock* clock, const JobsOptions& options);
  // As Stop, and waits until the job under way has ended.
  ~Jobs();

  // kResourceExhausted when too many wait already; kUnavailable once stopped.
  Result<JobHandle> StartCheck(bool read_frames);
  // A collection that begins after this call; one serves all who wait for it.
  Result<JobHandle> StartCollection();

  // A scrub, or what to do about one; one serves all who ask.
  Result<JobHandle> StartScrub(const ScrubRequest& request);

  // Lets nothing new begin and ends the job under way soon; it and those that
  // wait answer kUnavailable.
  void Stop();

  // Of the last collection that finished; empty before it.
  std::string LastCollectionJson() const;
  uint64_t collections_finished() const;

 private:
  struct Check {
    bool read_frames = false;
    JobHandle job;
  };

  void Run();
  // All with mutex_ held by `lock`, which they release while they work.
  bool RunOneCheck(std::unique_lock<std::mutex>* lock);
  void StepScrub(std::unique_lock<std::mutex>* lock);
  void KeepTime(std::unique_lock<std::mutex>* lock);
  void StepCollection(std::unique_lock<std::mutex>* lock);
  void EndCollection(const Status& status);
  bool collection_is_due() const;
  void Rest(std::unique_lock<std::mutex>* lock, int64_t ms);

  Catalogue* catalogue_;
  const Clock* clock_;
  JobsOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopped_ = false;  // written with mutex_ held
  std::deque<Check> checks_;
  std::vector<JobHandle> wanted_collections_;  // for the next one
  std::vector<JobHandle> served_collections_;  // by the one under way
  std::unique_ptr<Collector> collector_;
  ScrubRunner scrubs_;
  bool is_scrubbing_ = false;
  int64_t resting_until_ms_ = 0;
  int64_t next_collection_ms_ = 0;
  int64_t next_clock_ms_ = 0;
  bool clock_was_good_ = true;
  std::string last_collection_json_;
  uint64_t collections_finished_ = 0;
  std::thread thread_;
};

}  // namespace reprise

#endif  // REPRISE_API_JOBS_H_
