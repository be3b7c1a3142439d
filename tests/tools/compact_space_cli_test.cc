// `reprise compact run --until-below` on a store directory, by what the file
// system says before and after.
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
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "store/fsck.h"
#include "store/rocks_engine.h"
#include "tests/client/test_worker.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/tools/compaction/coded_state.h"

namespace reprise {
namespace {

using nlohmann::json;

constexpr int kSessions = 12;

class CompactSpaceCliTest : public testing::Test {
 protected:
  CompactSpaceCliTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    // What is used now is not sunk for space: these are hours old.
    ManualClock clock(SystemClock().WallMs() - kSessions * kHourMs);
    WithStore(clock, [&](Catalogue* catalogue) {
      CodedWorker coded(catalogue, tenant_, Model());
      for (int s = 0; s < kSessions; ++s) {
        REPRISE_ASSERT_OK(coded.Save(NameOf(s), TokensOf(s)));
        clock.AdvanceMs(kHourMs / 2);
      }
    });
  }
  ~CompactSpaceCliTest() override { std::filesystem::remove_all(folder_); }

  // Its frames are large enough for files of their own.
  static ModelSpec Model() { return PlainModel("mid", 4, 4, 64, DType::kF16); }
  static std::string NameOf(int s) { return "s" + std::to_string(s); }
  static std::vector<TokenId> TokensOf(int s) {
    return ToyTokens(static_cast<uint64_t>(s) + 1, 4 * 64);
  }
  template <typename Function>
  void WithStore(const Clock& clock, Function function) {
    const auto engine = OpenRocksEngine({.directory = store_});
    REPRISE_ASSERT_OK(engine.status());
    const auto catalogue = Catalogue::Open(engine->get(), &clock, {});
    REPRISE_ASSERT_OK(catalogue.status());
    function(catalogue->get());
  }
  uint64_t DiskBytes() const {
    uint64_t bytes = 0;
    for (const auto& file : std::filesystem::directory_iterator(store_)) {
      bytes += std::filesystem::file_size(file.path());
    }
    return bytes;
  }
  std::string TextOf(const std::string& name) const {
    std::ifstream file(folder_ + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  int Run(const std::string& words) {
    const std::string line = "exec tools/reprise compact " + words + " --dir " +
                             store_ + " >" + folder_ + "/out 2>" + folder_ +
                             "/err";
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // The sessions that are near, by their number; all must decode.
  std::vector<int> NearSessions() {
    std::vector<int> near_sessions;
    WithStore(SystemClock(), [&](Catalogue* catalogue) {
      CodedWorker coded(catalogue, tenant_, Model());
      for (int s = 0; s < kSessions; ++s) {
        const auto read = coded.ReadAll(NameOf(s));
        REPRISE_ASSERT_OK(read.status());
        if ((*read)[0].rendition.tier == Tier::kNear)
          near_sessions.push_back(s);
      }
      const auto report = Fsck(catalogue, {});
      REPRISE_ASSERT_OK(report.status());
      EXPECT_EQ(report->findings.size(), 0u);
    });
    return near_sessions;
  }

  static pid_t Spawn(const std::string& line) {
    const char* argv[] = {"sh", "-c", line.c_str(), nullptr};
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, "/bin/sh", nullptr, nullptr,
                          const_cast<char* const*>(argv), environ),
              0);
    return pid;
  }

  const std::vector<TokenId> tokens_of_0_ = TokensOf(0);
  const DomainId tenant_ = TenantDomain("default");
  const std::string folder_ =
      std::string(std::getenv("TEST_TMPDIR")) + "/compact_space_" +
      testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::string store_ = folder_ + "/store";
};

TEST_F(CompactSpaceCliTest, UntilBelowMakesTheDirectorySmaller) {
  // Only what was written twice, into a log and a file, goes.
  ASSERT_EQ(Run("run --policy 'series: exact 1y, near' --json"), 0)
      << TextOf("/err");
  const json idle = json::parse(TextOf("/out"), nullptr, false);
  EXPECT_EQ(idle["done_segments"], 0);
  EXPECT_EQ(NearSessions(), std::vector<int>());
  const uint64_t before = DiskBytes();
  const uint64_t limit = before * 85 / 100;
  ASSERT_EQ(Run("run --policy 'series: exact 1y, near' --json --until-below " +
                std::to_string(limit)),
            0)
      << TextOf("/err");
  const json report = json::parse(TextOf("/out"), nullptr, false);
  EXPECT_EQ(report["phase"], "done");
  EXPECT_EQ(report["is_over"], false) << report;
  EXPECT_EQ(report["target_bytes"], limit);
  EXPECT_GT(report["used_bytes_before"], limit);
  EXPECT_LE(report["used_bytes_after"], limit);
  EXPECT_LE(DiskBytes(), limit + before / 50) << "but for a log or two";
  const std::vector<int> near_sessions = NearSessions();
  ASSERT_FALSE(near_sessions.empty());
  EXPECT_EQ(near_sessions.front(), 0) << "the one that was away the longest";
  EXPECT_LT(near_sessions.back(), kSessions - 1);
}

TEST_F(CompactSpaceCliTest, SaysWhatItCouldNotReach) {
  ASSERT_EQ(Run("run --policy 'series: exact 1y, near' --until-below 1000"), 0)
      << TextOf("/err");
  const std::string text = TextOf("/out");
  EXPECT_NE(text.find("taken on the disk: "), std::string::npos) << text;
  EXPECT_NE(text.find("still over 1000 B"), std::string::npos) << text;
  EXPECT_EQ(NearSessions().size(), size_t{kSessions});
}

// The same of a real daemon, beside a client. What a lease names stays as it is
// and readable through both collections.
TEST_F(CompactSpaceCliTest, ADaemonMakesRoomAndKeepsWhatIsLeased) {
  const std::string ports = folder_ + "/ports";
  const pid_t daemon =
      Spawn("exec tools/reprised --dir " + store_ +
            " --listen 127.0.0.1:0 --admin '' --port-file " + ports +
            " --policy 'series: exact 1y, near' --compact-interval 0"
            " --collect-interval 0 --max-commit 2 2>" +
            folder_ + "/log");
  for (int i = 0; i < 600 && !std::filesystem::exists(ports); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  std::string server = TextOf("/ports");
  server.erase(server.find_last_not_of('\n') + 1);
  {
    TestWorker worker(*Client::Connect({.endpoint = server}), Model());
    // The one that would go first.
    const auto leased =
        worker.client->Match(worker.model, TokensOf(0), {.lease_ms = 600'000});
    ASSERT_OK(leased);
    ASSERT_EQ(leased->tokens, TokensOf(0).size());
    const std::string line = "exec tools/reprise --server " + server +
                             " --json compact run --until-below 1000 >" +
                             folder_ + "/out 2>" + folder_ + "/err";
    ASSERT_EQ(std::system(line.c_str()), 0) << TextOf("/err");
    const json report = json::parse(TextOf("/out"), nullptr, false);
    EXPECT_EQ(report["phase"], "done");
    EXPECT_EQ(report["options"], "until-below=1000\n");
    EXPECT_EQ(report["segments"]["encoded"], 4 * (kSessions - 1)) << report;
    EXPECT_LT(report["used_bytes_after"], report["used_bytes_before"]);
    const auto again = worker.client->Match(worker.model, TokensOf(0), {});
    ASSERT_OK(again);
    EXPECT_EQ(again->ranges, leased->ranges);
    RestoreRequest request;
    request.model = worker.model;
    request.match = leased->ticket;
    request.tokens = tokens_of_0_;
    std::unique_ptr<KvCache> cache;
    request.make_sink = [&](const RestoreInfo& info) -> Result<KvSink> {
      cache = std::make_unique<KvCache>(
          worker.spec, CacheOptions{.token_count = info.tokens.size()});
      return cache->sink();
    };
    const auto restored = worker.client->Restore("", request);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, TokensOf(0).size());
  }
  kill(daemon, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(daemon, &status, 0), daemon);
  EXPECT_EQ(WEXITSTATUS(status), 0) << TextOf("/log");
  std::vector<int> others;
  for (int s = 1; s < kSessions; ++s) others.push_back(s);
  EXPECT_EQ(NearSessions(), others);
}

}  // namespace
}  // namespace reprise
