// The daemon itself and `reprise compact` against it: a person's commands, and
// what is left when the daemon is killed in the middle of a run.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/client/test_worker.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr int kSessions = 8;
constexpr int kSegments = 4;

class ReprisedCompactTest : public testing::Test {
 protected:
  ReprisedCompactTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~ReprisedCompactTest() override {
    if (daemon_ > 0) KillDaemon(SIGKILL);
    std::filesystem::remove_all(folder_);
  }

  static std::string NameOf(int s) { return "s" + std::to_string(s); }
  static std::vector<TokenId> TokensOf(int s) {
    return ToyTokens(static_cast<uint64_t>(s) + 1, kSegments * 64 + 9);
  }

  static pid_t Spawn(const std::string& line) {
    const char* argv[] = {"sh", "-c", line.c_str(), nullptr};
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, "/bin/sh", nullptr, nullptr,
                          const_cast<char* const*>(argv), environ),
              0);
    return pid;
  }
  static std::string TextOf(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static bool Await(const std::function<bool()>& is_true) {
    for (int i = 0; i < 600 && !is_true(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return is_true();
  }

  // Sinks what policies ask for at once, but only when it is asked to.
  void StartDaemon(const std::string& words = {}) {
    const std::string ports = folder_ + "/ports";
    std::filesystem::remove(ports);
    daemon_ = Spawn("exec tools/reprised --dir " + folder_ +
                    "/store --listen 127.0.0.1:0 --admin '' --port-file " +
                    ports + " --policy 'series: near' --compact-interval 0 " +
                    words + " 2>>" + folder_ + "/log");
    ASSERT_TRUE(Await([&] { return std::filesystem::exists(ports); }))
        << TextOf(folder_ + "/log");
    server_ = TextOf(ports);
    server_.erase(server_.find_last_not_of('\n') + 1);
    ClientOptions options;
    options.endpoint = server_;
    auto client = Client::Connect(options);
    ASSERT_OK(client);
    worker_ = std::make_unique<TestWorker>(*std::move(client));
  }
  // Its exit status, or minus the signal.
  int KillDaemon(int signal) {
    worker_.reset();
    kill(daemon_, signal);
    int status = 0;
    EXPECT_EQ(waitpid(daemon_, &status, 0), daemon_);
    daemon_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void SaveAll() {
    for (int s = 0; s < kSessions; ++s) {
      ASSERT_OK(worker_->Save(NameOf(s), TokensOf(s)));
    }
  }

  struct Outcome {
    int exit_code = -1;
    std::string out;
    std::string err;
    json report() const { return json::parse(out, nullptr, false); }
  };
  std::string LineOf(const std::string& words, const std::string& name) const {
    return "exec tools/reprise --server " + server_ + " --json compact " +
           words + " >" + folder_ + "/" + name + ".out 2>" + folder_ + "/" +
           name + ".err";
  }
  Outcome OutcomeOf(int status, const std::string& name) {
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            TextOf(folder_ + "/" + name + ".out"),
            TextOf(folder_ + "/" + name + ".err")};
  }
  Outcome Run(const std::string& words) {
    return OutcomeOf(std::system(LineOf(words, "run").c_str()), "run");
  }
  // A run that takes more than ten seconds, under way.
  pid_t StartSlowRun() {
    const pid_t pid = Spawn(LineOf("run --rate 60000", "slow"));
    EXPECT_TRUE(Await([&] {
      const json report = Run("status").report();
      return report.value("stage", "") == "policy" &&
             !report.value("preparing", true);
    }));
    return pid;
  }
  Outcome WaitFor(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return OutcomeOf(status, "slow");
  }
  void AwaitDone() {
    ASSERT_TRUE(Await([&] {
      return Run("status").report()["phase"] == "done";
    })) << Run("status").out;
  }

  // Whole, as they were or near.
  void ExpectAllRestore() {
    for (int s = 0; s < kSessions; ++s) {
      RestoreRequest request;
      request.lowest = Tier::kNear;
      std::unique_ptr<KvCache> cache;
      request.model = worker_->model;
      request.make_sink = [&](const RestoreInfo& info) -> Result<KvSink> {
        cache = std::make_unique<KvCache>(
            worker_->spec, CacheOptions{.token_count = info.tokens.size()});
        return cache->sink();
      };
      const auto restored = worker_->client->Restore(NameOf(s), request);
      ASSERT_OK(restored);
      EXPECT_EQ(restored->info.tokens, TokensOf(s));
      EXPECT_EQ(restored->valid_end, TokensOf(s).size());
    }
    const auto fsck = worker_->client->RunFsck(true, nullptr);
    ASSERT_OK(fsck);
    EXPECT_EQ(json::parse(*fsck, nullptr, false)["findings"], json::array());
  }
  uint64_t NearSegments() {
    uint64_t near_segments = 0;
    for (int s = 0; s < kSessions; ++s) {
      const auto details = worker_->client->Describe(NameOf(s));
      EXPECT_TRUE(details.ok());
      if (!details.ok()) continue;
      for (const auto& [tier, count] : details->segments_by_tier) {
        if (tier == Tier::kNear) near_segments += count;
      }
    }
    return near_segments;
  }

  const std::string folder_ =
      std::string(std::getenv("TEST_TMPDIR")) + "/reprised_compact_" +
      testing::UnitTest::GetInstance()->current_test_info()->name();
  pid_t daemon_ = 0;
  std::string server_;
  std::unique_ptr<TestWorker> worker_;
};

TEST_F(ReprisedCompactTest, KilledInTheMiddleOfARunItGoesOn) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  ASSERT_NO_FATAL_FAILURE(SaveAll());
  const pid_t run = StartSlowRun();
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  EXPECT_EQ(KillDaemon(SIGKILL), -SIGKILL);
  EXPECT_EQ(WaitFor(run).exit_code, 1);
  uint64_t near_before = 0;
  for (const int signal : {SIGKILL, SIGTERM}) {
    // As slowly as it was asked to, whatever is configured.
    ASSERT_NO_FATAL_FAILURE(StartDaemon("--compact-rate 0"));
    // By itself, since it was cut off; also though nothing is done by itself.
    ASSERT_TRUE(
        Await([&] { return Run("status").report()["phase"] == "running"; }));
    EXPECT_EQ(Run("status").report()["options"], "rate=60000\n");
    ExpectAllRestore();
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    EXPECT_GE(NearSegments(), near_before);
    near_before = NearSegments();
    EXPECT_LT(near_before, uint64_t{kSessions * kSegments});
    EXPECT_EQ(KillDaemon(signal), signal == SIGTERM ? 0 : -SIGKILL);
  }
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  ASSERT_NO_FATAL_FAILURE(AwaitDone());
  EXPECT_EQ(NearSegments(), uint64_t{kSessions * kSegments});
  ExpectAllRestore();
  const json report = Run("status").report();
  EXPECT_EQ(report["done_segments"], report["total_segments"]);
  // Also where it waits for a collection it ends when it is told to.
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(KillDaemon(SIGTERM), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  EXPECT_EQ(Run("status").report()["phase"], "done");
}

TEST_F(ReprisedCompactTest, DoesWhatAPersonAsksFor) {
  ASSERT_NO_FATAL_FAILURE(StartDaemon());
  ASSERT_NO_FATAL_FAILURE(SaveAll());
  EXPECT_EQ(Run("status").report()["phase"], "none");
  for (const char* words : {"pause", "resume", "cancel"}) {
    const Outcome nothing = Run(words);
    EXPECT_EQ(nothing.exit_code, 1);
    EXPECT_NE(nothing.err.find("no job is under way"), std::string::npos)
        << nothing.err;
  }
  const Outcome plan = Run("plan --policy 'series: exact 1d, near'");
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_TRUE(plan.report().contains("at_ms"));
  EXPECT_FALSE(plan.report().contains("text"));
  const Outcome wrong = Run("run --policy 'exact 1x'");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_NE(wrong.err.find("column"), std::string::npos) << wrong.err;
  EXPECT_EQ(Run("run --config x.toml").exit_code, 2) << "only with --dir";
  const Outcome clock = Run("confirm-clock");
  EXPECT_EQ(clock.exit_code, 0) << clock.err;
  EXPECT_GT(clock.report()["now_ms"], 0);

  const pid_t first = StartSlowRun();
  const Outcome second = Run("run");
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_NE(second.err.find("under way"), std::string::npos) << second.err;
  // It does not stand in the way of others.
  ASSERT_OK(worker_->Save("another", TokensOf(99)));
  EXPECT_EQ(Run("pause").report()["phase"], "paused");
  const Outcome paused = WaitFor(first);
  EXPECT_EQ(paused.exit_code, 0) << paused.err;
  EXPECT_EQ(paused.report()["phase"], "paused");
  EXPECT_EQ(Run("cancel").report()["phase"], "cancelled");
  EXPECT_EQ(Run("resume").exit_code, 1);
  const pid_t again = StartSlowRun();
  EXPECT_EQ(Run("cancel").report()["phase"], "cancelled");
  EXPECT_EQ(WaitFor(again).report()["phase"], "cancelled");
  ExpectAllRestore();
}

}  // namespace
}  // namespace reprise
