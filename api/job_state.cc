#include "api/job_state.h"

#include <utility>

namespace reprise {

JobState::Progress JobState::Get() const {
  std::lock_guard lock(mutex_);
  return progress_;
}

void JobState::Update(uint64_t done, uint64_t total, std::string detail) {
  std::lock_guard lock(mutex_);
  progress_.done = done;
  progress_.total = total;
  progress_.detail = std::move(detail);
}

void JobState::Finish(Status status, std::string json) {
  std::lock_guard lock(mutex_);
  progress_.finished = true;
  progress_.status = std::move(status);
  progress_.json = std::move(json);
}

}  // namespace reprise
