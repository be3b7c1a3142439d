// The real reprised in a process of its own, on a port that the kernel picks.
#ifndef REPRISE_TESTS_CLIENT_LLAMA_SPAWNED_DAEMON_H_
#define REPRISE_TESTS_CLIENT_LLAMA_SPAWNED_DAEMON_H_

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace reprise {

class SpawnedDaemon {
 public:
  // Its store is a fresh folder, removed at the end. endpoint() is empty when
  // the daemon does not listen after half a minute.
  SpawnedDaemon() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "reprised.XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    Start();
  }
  ~SpawnedDaemon() {
    Kill();
    std::filesystem::remove_all(folder_);
  }
  SpawnedDaemon(const SpawnedDaemon&) = delete;
  SpawnedDaemon& operator=(const SpawnedDaemon&) = delete;

  const std::string& endpoint() const { return endpoint_; }

  // As a power switch would, but for the kernel's caches.
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  void Start() {
    const std::string port_file = folder_ + "/port";
    std::filesystem::remove(port_file);
    const std::string store = folder_ + "/store";
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      execl("tools/reprised", "reprised", "--dir", store.c_str(), "--listen",
            "127.0.0.1:0", "--admin", "", "--log-level", "warn", "--port-file",
            port_file.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    endpoint_.clear();
    for (int i = 0; i < 1500 && endpoint_.empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      std::ifstream(port_file) >> endpoint_;
    }
  }

 private:
  std::string folder_;
  std::string endpoint_;
  pid_t pid_ = -1;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_LLAMA_SPAWNED_DAEMON_H_
