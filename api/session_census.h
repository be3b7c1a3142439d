// How many sessions there are and how many tokens they hold, for figures that
// are asked for every few seconds.
#ifndef REPRISE_API_SESSION_CENSUS_H_
#define REPRISE_API_SESSION_CENSUS_H_

#include <cstdint>
#include <mutex>
#include <optional>

#include "base/clock.h"
#include "store/engine.h"

namespace reprise {

struct SessionFigures {
  uint64_t sessions = 0;
  uint64_t tokens = 0;   // of all heads; shared prefixes count for each
  bool at_least = true;  // there are, or may be, more
  int64_t age_ms = 0;    // since they were counted
};

// Counts the records of sessions, at most `max_sessions` of them and at most
// every `max_age_ms`; in between it answers what it last counted. A counter
// that is kept along with each commit would have to be one record that all
// commits write. Thread-safe.
class SessionCensus {
 public:
  struct Options {
    uint64_t max_sessions = 10'000;
    int64_t max_age_ms = 30'000;
  };
  // Neither is owned; both outlive this.
  SessionCensus(Engine* engine, const Clock* clock, const Options& options);
  SessionCensus(Engine* engine, const Clock* clock)
      : SessionCensus(engine, clock, Options()) {}

  // May block on the store. Where it can't be read, what was known stays,
  // with its age.
  SessionFigures Get();

 private:
  Result<SessionFigures> Count();

  Engine* const engine_;
  const Clock* const clock_;
  const Options options_;

  std::mutex mutex_;
  // All guarded by mutex_.
  SessionFigures figures_;
  int64_t counted_ms_ = 0;
  std::optional<int64_t> tried_ms_;
};

}  // namespace reprise

#endif  // REPRISE_API_SESSION_CENSUS_H_
