// A progress line on stderr, for work that takes a while. Shown only where
// stderr is a terminal, so that logs and pipes stay clean.
#ifndef REPRISE_TOOLS_PROGRESS_H_
#define REPRISE_TOOLS_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace reprise {

class Progress {
 public:
  explicit Progress(std::string what);
  // Clears the line.
  ~Progress();
  // At most ten times a second; `total` 0: not known. `note` is shown behind.
  void Update(uint64_t done, uint64_t total, const std::string& note = {});

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  bool terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_{};
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_PROGRESS_H_
