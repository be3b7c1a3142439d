// A real `reprised` for benchmarks: a process of its own, so that its memory
// and its cores are those of the daemon alone.
#ifndef REPRISE_BENCH_DAEMON_PROCESS_H_
#define REPRISE_BENCH_DAEMON_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise::bench {

class DaemonProcess {
 public:
  // Starts the daemon on `dir` and a loopback port that the kernel picks, and
  // waits until it listens. `flags` are added to the command line.
  static Result<std::unique_ptr<DaemonProcess>> Start(
      const std::string& dir, const std::vector<std::string>& flags);
  // SIGTERM, and waits.
  ~DaemonProcess();

  const std::string& endpoint() const { return endpoint_; }
  pid_t pid() const { return pid_; }

  // Resident anonymous memory now (pages of files are not counted), bytes.
  uint64_t AnonymousBytes() const;

 private:
  DaemonProcess() = default;
  pid_t pid_ = -1;
  std::string endpoint_;
};

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_DAEMON_PROCESS_H_
