#include "bench/daemon_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace reprise::bench {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(20);
constexpr int kPolls = 1500;  // half a minute

// Beside this program: bazel-bin/bench/bench and bazel-bin/tools/reprised.
std::string DaemonPath() {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  return (self.parent_path().parent_path() / "tools" / "reprised").string();
}

pid_t Spawn(const std::string& program, const std::vector<std::string>& args) {
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(program.c_str()));
  for (const auto& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  execv(program.c_str(), argv.data());
  _exit(127);
}

}  // namespace

Result<std::unique_ptr<DaemonProcess>> DaemonProcess::Start(
    const std::string& dir, const std::vector<std::string>& flags) {
  const std::string port_file = dir + ".port";
  std::filesystem::remove(port_file);
  std::vector<std::string> args = {
      "--dir",   dir,       "--listen", "127.0.0.1:0", "--port-file",
      port_file, "--admin", "",         "--log-level", "warn"};
  args.insert(args.end(), flags.begin(), flags.end());
  std::unique_ptr<DaemonProcess> daemon(new DaemonProcess);
  daemon->pid_ = Spawn(DaemonPath(), args);
  for (int i = 0; i < kPolls; ++i) {
    if (std::ifstream(port_file) >> daemon->endpoint_) return daemon;
    if (waitpid(daemon->pid_, nullptr, WNOHANG) != 0) {
      daemon->pid_ = -1;
      return UnavailableError("daemon: ended before it listened");
    }
    std::this_thread::sleep_for(kPoll);
  }
  return DeadlineExceededError("daemon: not listening after 30 s");
}

DaemonProcess::~DaemonProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

uint64_t DaemonProcess::AnonymousBytes() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  std::string word;
  uint64_t kib = 0;
  while (status >> word) {
    if (word == "RssAnon:" && status >> kib) break;
  }
  return kib * 1024;
}

}  // namespace reprise::bench
