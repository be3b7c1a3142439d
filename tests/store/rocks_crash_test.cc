// kill -9 in the middle of a save loop, again and again, on one store: every
// step that was acknowledged, synced or not, must be there, and nothing else
// but the one that was on its way. The child is this program, started anew.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "store/memory_engine.h"
#include "store/rocks_engine.h"
#include "tests/store/scratch_directory.h"
#include "tests/store/store_script.h"

namespace reprise {
namespace {

constexpr int kKills = 32;
constexpr size_t kSteps = 40'000;
constexpr uint64_t kSeed = 21;

RocksOptions Options(const std::string& directory) {
  RocksOptions options;
  options.directory = directory;
  options.memtable_bytes = 2 << 20;
  options.max_log_bytes = 4 << 20;
  return options;
}

// The child: runs steps from `first` on and writes a byte to stdout for each
// that was acknowledged.
int RunChild(const std::string& directory, size_t first) {
  auto engine = OpenRocksEngine(Options(directory));
  if (!engine.ok()) {
    std::fprintf(stderr, "%s\n", engine.status().ToString().c_str());
    return 1;
  }
  const std::vector<ScriptStep> script = MakeScript(kSeed, kSteps);
  for (size_t i = first; i < kSteps; ++i) {
    if (!RunStep(engine->get(), script[i]).ok()) return 1;
    if (write(STDOUT_FILENO, "+", 1) != 1) return 1;
  }
  return 0;
}

// Lets a child run from step `first` on until it has acknowledged `wanted`
// steps and a little longer, kills it, and returns how many it acknowledged.
size_t RunAndKill(const std::string& directory, size_t first, size_t wanted,
                  int extra_us) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return 0;
  const std::string first_text = std::to_string(first);
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], STDOUT_FILENO);
    close(pipe_ends[0]);
    execl("/proc/self/exe", "rocks_crash_test", "--child", directory.c_str(),
          first_text.c_str(), nullptr);
    _exit(127);
  }
  close(pipe_ends[1]);
  size_t acknowledged = 0;
  char buffer[4096];
  ssize_t got = 1;
  while (acknowledged < wanted && got > 0) {
    got = read(pipe_ends[0], buffer, sizeof(buffer));
    if (got > 0) acknowledged += static_cast<size_t>(got);
  }
  std::this_thread::sleep_for(std::chrono::microseconds(extra_us));
  kill(child, SIGKILL);
  while ((got = read(pipe_ends[0], buffer, sizeof(buffer))) > 0) {
    acknowledged += static_cast<size_t>(got);
  }
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
  return acknowledged;
}

TEST(RocksCrashTest, KillLosesNothingThatWasAcknowledged) {
  ScratchDirectory directory;
  std::mt19937_64 random(5);
  const std::vector<ScriptStep> script = MakeScript(kSeed, kSteps);
  auto model = OpenMemoryEngine(MakeMemoryStore());
  size_t done = 0;
  for (int round = 0; round < kKills; ++round) {
    const size_t acknowledged =
        RunAndKill(directory.path(), done, 1 + random() % 60,
                   static_cast<int>(random() % 3000));
    for (size_t i = 0; i < acknowledged; ++i) {
      ASSERT_TRUE(RunStep(model.get(), script[done++]).ok());
    }
    RocksOptions options = Options(directory.path());
    options.read_only = true;
    const auto opened = OpenRocksEngine(options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    const std::string found = DumpStore(opened->get());
    if (found != DumpStore(model.get())) {
      // The step on its way may have happened.
      ASSERT_TRUE(RunStep(model.get(), script[done++]).ok());
      ASSERT_EQ(found, DumpStore(model.get())) << "round " << round;
    }
  }
  EXPECT_GT(done, size_t{kKills} * 10);
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--child") {
    return reprise::RunChild(argv[2], std::strtoull(argv[3], nullptr, 10));
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
