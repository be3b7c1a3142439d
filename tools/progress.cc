#include "tools/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace reprise {
namespace {

constexpr auto kEvery = std::chrono::milliseconds(100);
constexpr int kWidth = 30;

}  // namespace

Progress::Progress(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (terminal_) std::fprintf(stderr, "\r\033[K");
}

void Progress::Update(uint64_t done, uint64_t total, const std::string& note) {
  const auto now = Clock::now();
  if (!terminal_ || now - shown_ < kEvery) return;
  shown_ = now;
  if (total == 0) {
    std::fprintf(stderr, "\r\033[K%s: %llu", what_.c_str(),
                 static_cast<unsigned long long>(done));
    return;
  }
  const double share =
      std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const double spent = std::chrono::duration<double>(now - start_).count();
  const int filled = static_cast<int>(share * kWidth);
  const std::string bar =
      std::string(filled, '#') + std::string(kWidth - filled, '.');
  std::fprintf(stderr, "\r\033[K%s [%s] %3.0f %%", what_.c_str(), bar.c_str(),
               share * 100);
  if (share > 0.01) {
    std::fprintf(stderr, ", %.0f s left", spent * (1 - share) / share);
  }
  if (!note.empty()) std::fprintf(stderr, ", %s", note.c_str());
}

}  // namespace reprise
