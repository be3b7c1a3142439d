// Ctrl-C and SIGTERM for a command whose work can be gone on with later.
#ifndef REPRISE_TOOLS_SIGNAL_PAUSE_H_
#define REPRISE_TOOLS_SIGNAL_PAUSE_H_

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

namespace reprise {

// Holds back the signals to stop, from its making on. Then the first of them
// calls `pause`, on another thread; a second one ends the program.
class SignalPause {
 public:
  SignalPause();
  ~SignalPause();
  SignalPause(const SignalPause&) = delete;
  SignalPause& operator=(const SignalPause&) = delete;

  void Begin(std::function<void()> pause);
  // `pause` is not called any more. REQUIRES: Begin.
  void End();

 private:
  void Wait(const std::function<void()>& pause);

  sigset_t signals_;
  sigset_t before_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_SIGNAL_PAUSE_H_
