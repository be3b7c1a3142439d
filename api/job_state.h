// How far a job of the daemon is: written by who does it, read by who waits.
#ifndef REPRISE_API_JOB_STATE_H_
#define REPRISE_API_JOB_STATE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/status.h"

namespace reprise {

// Thread-safe.
class JobState {
 public:
  struct Progress {
    uint64_t done = 0;
    uint64_t total = 0;  // as far as known
    bool finished = false;
    Status status;       // of a finished one
    std::string json;    // its report
    std::string detail;  // how far it is, as JSON; empty: nothing to tell
  };
  Progress Get() const;
  void Update(uint64_t done, uint64_t total, std::string detail = {});
  void Finish(Status status, std::string json);

 private:
  mutable std::mutex mutex_;
  Progress progress_;
};
using JobHandle = std::shared_ptr<JobState>;

}  // namespace reprise

#endif  // REPRISE_API_JOB_STATE_H_
