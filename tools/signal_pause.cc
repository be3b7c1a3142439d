#include "tools/signal_pause.h"

#include <pthread.h>

#include <utility>

namespace reprise {

SignalPause::SignalPause() {
  sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    sigaddset(&signals_, signal);
  }
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
}

SignalPause::~SignalPause() {
  if (thread_.joinable()) End();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void SignalPause::Begin(std::function<void()> pause) {
  done_ = false;
  thread_ = std::thread([this, pause = std::move(pause)] { Wait(pause); });
}

void SignalPause::End() {
  done_ = true;
  thread_.join();
}

void SignalPause::Wait(const std::function<void()>& pause) {
  constexpr timespec kLook{0, 50'000'000};
  while (!done_) {
    if (sigtimedwait(&signals_, nullptr, &kLook) < 0) continue;
    pause();
    pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  }
}

}  // namespace reprise
