// `reprise compact` on a store directory, as a person runs it, and what is left
// when it is killed.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "store/rocks_engine.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr int kSessions = 8;
constexpr char kAtOnce[] = " --policy 'series: near'";

class CompactCliTest : public testing::Test {
 protected:
  CompactCliTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    WithDaemon([](TestDaemon* daemon) {
      TestWorker worker(daemon->Connect());
      for (int s = 0; s < kSessions; ++s) {
        ASSERT_OK(worker.Save(NameOf(s), TokensOf(s)));
      }
    });
  }
  ~CompactCliTest() override { std::filesystem::remove_all(folder_); }

  static std::string NameOf(int s) { return "s" + std::to_string(s); }
  // Four segments and a tail.
  static std::vector<TokenId> TokensOf(int s) {
    return ToyTokens(static_cast<uint64_t>(s) + 1, 4 * 64 + 9);
  }
  // While it runs the directory is its.
  template <typename Function>
  void WithDaemon(Function function) {
    auto engine = OpenRocksEngine({.directory = store_});
    ASSERT_OK(engine);
    TestDaemon daemon(*std::move(engine));
    function(&daemon);
  }

  struct Outcome {
    int exit_code = -1;
    std::string out;
    std::string err;
    json report() const { return json::parse(out, nullptr, false); }
  };
  static std::string TextOf(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string WordsOf(const std::string& words,
                      const std::string& name = {}) const {
    return "exec tools/reprise compact " + words + " --dir " + store_ +
           " --json >" + folder_ + "/" + name + "out 2>" + folder_ + "/" +
           name + "err";
  }
  Outcome Run(const std::string& words) {
    const int status = std::system(WordsOf(words).c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            TextOf(folder_ + "/out"), TextOf(folder_ + "/err")};
  }
  pid_t Start(const std::string& words, const std::string& name = {}) {
    const std::string line = WordsOf(words, name);
    const char* argv[] = {"sh", "-c", line.c_str(), nullptr};
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, "/bin/sh", nullptr, nullptr,
                          const_cast<char* const*>(argv), environ),
              0);
    return pid;
  }

  // Every session can be restored; segments are as they were or near.
  void ExpectAllRestore(uint64_t* near_segments) {
    *near_segments = 0;
    WithDaemon([&](TestDaemon* daemon) {
      TestWorker worker(daemon->Connect());
      for (int s = 0; s < kSessions; ++s) {
        RestoreRequest request;
        request.lowest = Tier::kNear;
        std::unique_ptr<KvCache> cache;
        request.model = worker.model;
        request.make_sink = [&](const RestoreInfo& info) -> Result<KvSink> {
          cache = std::make_unique<KvCache>(
              worker.spec, CacheOptions{.token_count = info.tokens.size()});
          return cache->sink();
        };
        const auto restored = worker.client->Restore(NameOf(s), request);
        ASSERT_OK(restored);
        EXPECT_EQ(restored->info.tokens, TokensOf(s));
        EXPECT_EQ(restored->valid_end, TokensOf(s).size());
        const auto size = daemon->catalogue()->MeasureSession(
            TenantDomain("default"), NameOf(s));
        if (size.ok()) {
          *near_segments +=
              size->segments_by_tier[static_cast<size_t>(Tier::kNear)];
        }
      }
      const auto fsck = worker.client->RunFsck(true, nullptr);
      ASSERT_OK(fsck);
      const json report = json::parse(*fsck, nullptr, false);
      EXPECT_EQ(report["findings"], json::array());
    });
  }

  const std::string folder_ =
      std::string(std::getenv("TEST_TMPDIR")) + "/compact_" +
      testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::string store_ = folder_ + "/store";
};

TEST_F(CompactCliTest, RunsAndTellsWhatItDid) {
  EXPECT_EQ(Run("status").report()["phase"], "none");
  EXPECT_EQ(Run("resume").exit_code, 1);
  // Nothing is idle for so long.
  const Outcome early = Run("run --policy 'series: exact 1h, near'");
  EXPECT_EQ(early.exit_code, 0) << early.err;
  EXPECT_EQ(early.report()["done_segments"], 0);
  const Outcome run = Run(std::string("run --threads 2") + kAtOnce);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const json report = run.report();
  EXPECT_EQ(report["phase"], "done");
  EXPECT_EQ(report["segments"]["encoded"], 4 * kSessions);
  EXPECT_LT(report["bytes_after"], report["bytes_before"]);
  EXPECT_EQ(Run("status").report()["phase"], "done");
  uint64_t near_segments = 0;
  ExpectAllRestore(&near_segments);
}

TEST_F(CompactCliTest, SinksAheadOfTimeOnlyInACopyThatSaysSo) {
  const std::string policy = " --policy 'series: exact 1h, near 1d, tokens'";
  const Outcome refused = Run("run --idle-plus 2h" + policy);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("touch " + store_ + "/REHEARSAL"),
            std::string::npos)
      << refused.err;
  EXPECT_EQ(Run("status").report()["phase"], "none");

  std::ofstream(store_ + "/REHEARSAL").close();
  EXPECT_EQ(Run("run --idle-plus 2" + policy).exit_code, 1);
  const Outcome early = Run("run --idle-plus 59m" + policy);
  EXPECT_EQ(early.exit_code, 0) << early.err;
  EXPECT_EQ(early.report()["done_segments"], 0);
  const Outcome run = Run("run --idle-plus 2h" + policy);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.report()["segments"]["encoded"], 4 * kSessions);
  EXPECT_EQ(run.report()["started_by"], "reprise compact run --idle-plus 2h");
  // Further ahead than a clock may jump: it is no jump, and leaves no trace.
  EXPECT_EQ(Run("run --idle-plus 400d --policy 'exact 2y, tokens'").exit_code,
            0);
  EXPECT_EQ(Run("plan").report()["clock_problem"], json());
  const Outcome now = Run("run" + policy);
  EXPECT_EQ(now.exit_code, 0) << now.err;
  EXPECT_EQ(now.report()["done_segments"], 0);
  uint64_t near_segments = 0;
  ExpectAllRestore(&near_segments);
  EXPECT_EQ(near_segments, 4u * kSessions);
  // It is for TTLs too.
  const std::string config = folder_ + "/config.toml";
  std::ofstream(config) << "ttl = \"90d\"\n";
  const Outcome kept = Run("run --idle-plus 89d --config " + config);
  EXPECT_EQ(kept.report()["sessions_removed"], 0) << kept.err;
  const Outcome expired = Run("run --idle-plus 91d --config " + config);
  EXPECT_EQ(expired.report()["sessions_removed"], kSessions) << expired.err;
  // And for a store that nobody serves.
  EXPECT_EQ(std::system("tools/reprise compact run --idle-plus 2h 2>/dev/null"),
            2 << 8);
}

TEST_F(CompactCliTest, TellsWhoHoldsTheDirectoryAndWhatIsWrong) {
  WithDaemon([&](TestDaemon*) {
    for (const char* words : {"run", "status", "pause", "cancel"}) {
      const Outcome held = Run(words);
      EXPECT_EQ(held.exit_code, 1);
      EXPECT_NE(held.err.find("pid " + std::to_string(getpid())),
                std::string::npos)
          << held.err;
    }
  });
  const Outcome wrong = Run("run --policy 'exact 1x'");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_NE(wrong.err.find("column"), std::string::npos) << wrong.err;
  EXPECT_EQ(Run("run --ladder series.near=vq").exit_code, 1);
  // A limit that nothing keeps: counted, reported, and no success.
  const Outcome strict =
      Run("run --policy 'mine: near' --ladder 'mine.near=tsc:bits=8 "
          "max-error=0.0000001'");
  EXPECT_EQ(strict.exit_code, 1);
  EXPECT_EQ(strict.report()["segments"]["failed-check"], 4 * kSessions);
  EXPECT_NE(strict.err.find("32 segments failed the check"), std::string::npos)
      << strict.err;
}

TEST_F(CompactCliTest, OfSeveralStartedAtOnceOneRunsAndTheOthersSaySo) {
  std::vector<pid_t> running;
  for (const char* name : {"a-", "b-", "c-"}) {
    // More than ten seconds for all of it.
    running.push_back(Start(std::string("run --rate 20000") + kAtOnce, name));
  }
  const std::vector<pid_t> all = running;
  for (int i = 0; i < 600 && running.size() > 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::erase_if(running, [](pid_t pid) {
      int status = 0;
      if (waitpid(pid, &status, WNOHANG) != pid) return false;
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
      return true;
    });
  }
  ASSERT_EQ(running.size(), 1u);
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string err =
        TextOf(folder_ + "/" + std::string(1, "abc"[i]) + "-err");
    EXPECT_EQ(err.find("is held by ") != std::string::npos,
              all[i] != running[0])
        << err;
  }
  // It is known by name once it has opened the store.
  for (int i = 0; i < 600 && !std::filesystem::exists(store_ + "/OWNER"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  const Outcome late = Run("run");
  EXPECT_EQ(late.exit_code, 1);
  EXPECT_NE(late.err.find("pid " + std::to_string(running[0])),
            std::string::npos)
      << late.err;
  kill(running[0], SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(running[0], &status, 0), running[0]);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(Run("status").report()["phase"], "paused");
  uint64_t near_segments = 0;
  ExpectAllRestore(&near_segments);
}

TEST_F(CompactCliTest, GoesOnAfterKillAndAfterASignal) {
  uint64_t near_segments = 0;
  int cut_off = 0;
  for (const int signal : {SIGKILL, SIGTERM, SIGKILL}) {
    // More than ten seconds for all of it.
    const pid_t pid = Start(std::string("run --rate 20000") + kAtOnce);
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    kill(pid, signal);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(WIFSIGNALED(status), signal == SIGKILL);
    if (signal == SIGTERM) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
    }
    const std::string phase = Run("status").report()["phase"];
    EXPECT_EQ(phase, signal == SIGTERM ? "paused" : "running");
    cut_off += phase == "running" ? 1 : 0;
    ExpectAllRestore(&near_segments);
  }
  EXPECT_GE(cut_off, 1);
  const Outcome resumed = Run(std::string("resume") + kAtOnce);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(resumed.report()["phase"], "done");
  EXPECT_EQ(resumed.report()["done_segments"],
            resumed.report()["total_segments"]);
  ExpectAllRestore(&near_segments);
  EXPECT_EQ(Run("cancel").exit_code, 1);
}

}  // namespace
}  // namespace reprise
