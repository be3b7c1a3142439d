// `reprise scrub`, `fsck --repair` and `quarantine`, as a person runs them.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "store/records.h"
#include "store/rocks_engine.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

using nlohmann::json;

class ScrubCliTest : public testing::Test {
 protected:
  ScrubCliTest() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    WithDaemon([&](TestDaemon* daemon) {
      TestWorker worker(daemon->Connect());
      ASSERT_OK(worker.Save("good", ToyTokens(2, 150)));
      ASSERT_OK(worker.Save("bad", tokens_));
      model_ = IdOf(worker.model);
    });
  }
  ~ScrubCliTest() override { std::filesystem::remove_all(folder_); }

  // While it runs the directory is its.
  template <typename Function>
  void WithDaemon(Function function) {
    auto engine = OpenRocksEngine({.directory = store_});
    ASSERT_OK(engine);
    TestDaemon daemon(*std::move(engine));
    function(&daemon);
  }
  // Spoils or removes a frame of "bad"'s second segment.
  void Spoil(bool remove) {
    const auto engine = OpenRocksEngine({.directory = store_});
    ASSERT_OK(engine);
    const SegmentId id = SegmentIdsOf(model_, tokens_)[1];
    const DomainId tenant = TenantDomain("default");
    const auto head =
        (*engine)->GetHead(HeadSpace::kRendition, DomainKey(tenant, id.view()));
    ASSERT_OK(head);
    const auto set = DecodeRenditionSet(head->value.view());
    ASSERT_OK(set);
    const FrameRef frame = set->renditions[0].frames[0];
    const std::string key = FrameKey(tenant, id, frame.rendition, frame.index);
    const ObjectRef ref{frame.space, key};
    const auto bytes = (*engine)->Get(ref);
    ASSERT_OK(bytes);
    spoilt_.assign(bytes->view().begin(), bytes->view().end());
    spoilt_[200] ^= 1;
    ASSERT_OK((*engine)->RemoveIfUntouched({&ref, 1}, UINT64_MAX));
    if (remove) return;
    const ObjectPut put{frame.space, key, spoilt_};
    ASSERT_TRUE((*engine)->Put({&put, 1}, 1, Durability::kSynced).ok());
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
  Outcome Run(const std::string& words) {
    const std::string line = "exec tools/reprise " + words + " >" + folder_ +
                             "/out 2>" + folder_ + "/err";
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            TextOf(folder_ + "/out"), TextOf(folder_ + "/err")};
  }
  Outcome RunOn(const std::string& words) {
    return Run(words + " --dir " + store_ + " --json");
  }

  const std::string folder_ =
      std::string(std::getenv("TEST_TMPDIR")) + "/scrub_" +
      testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::string store_ = folder_ + "/store";
  const std::vector<TokenId> tokens_ = ToyTokens(1, 150);
  ModelId model_;
  Bytes spoilt_;
};

TEST_F(ScrubCliTest, OfflineItNamesSetsAsideAndTellsWhomItTouches) {
  EXPECT_EQ(RunOn("scrub --status").report()["phase"], "none");
  const Outcome good = RunOn("scrub --rate 1GB");
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_EQ(good.report()["phase"], "done");
  EXPECT_EQ(good.report()["bytes_per_s"], 1'000'000'000);
  ASSERT_NO_FATAL_FAILURE(Spoil(/*remove=*/false));
  const Outcome bad = RunOn("scrub --rate 1GB");
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.err.find("1 findings, 1 sessions"), std::string::npos)
      << bad.err;
  const json report = bad.report()["report"];
  ASSERT_EQ(report["findings"].size(), 1u);
  EXPECT_EQ(report["findings"][0]["kind"], "frame");
  EXPECT_EQ(report["findings"][0]["set_aside"], true);
  ASSERT_EQ(report["touched"].size(), 1u);
  EXPECT_EQ(report["touched"][0]["session"], "bad");
  EXPECT_EQ(report["touched"][0]["recompute_from_token"], 64);
  // As a table, and still named by the next one, which finds nothing new.
  const Outcome text = Run("scrub --rate 1GB --dir " + store_);
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_NE(text.out.find("recompute from"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("bad"), std::string::npos);
  EXPECT_NE(text.err.find("0 findings, 1 sessions"), std::string::npos);

  const Outcome quarantine = RunOn("quarantine --out " + folder_ + "/kept");
  EXPECT_EQ(quarantine.exit_code, 0) << quarantine.err;
  ASSERT_EQ(quarantine.report().size(), 1u);
  const json line = quarantine.report()[0];
  EXPECT_EQ(line["space"], "frame-exact");
  EXPECT_EQ(TextOf(line["file"]), AsText(spoilt_));

  WithDaemon([&](TestDaemon* daemon) {
    TestWorker worker(daemon->Connect());
    const auto restored = worker.Restore("bad");
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, 64u);
    EXPECT_EQ(restored->recompute_from, 64u);
    ASSERT_OK(worker.Save("bad", tokens_));
    // The daemon's own, from the command line.
    const Outcome online =
        Run("scrub --json --rate 1GB --server " + daemon->endpoint());
    EXPECT_EQ(online.exit_code, 0) << online.err;
    EXPECT_EQ(online.report()["phase"], "done");
    EXPECT_EQ(online.report()["report"]["touched"], json::array());
    EXPECT_EQ(Run("scrub --json --status --server " + daemon->endpoint())
                  .report()["phase"],
              "done");
    EXPECT_EQ(Run("scrub --cancel --server " + daemon->endpoint()).exit_code,
              1);
  });
}

TEST_F(ScrubCliTest, FsckIsADryRunUntilItIsToldToRepair) {
  ASSERT_NO_FATAL_FAILURE(Spoil(/*remove=*/true));
  for (int run = 0; run < 2; ++run) {
    const Outcome dry = RunOn("fsck");
    EXPECT_EQ(dry.exit_code, 1);
    ASSERT_EQ(dry.report()["findings"].size(), 1u);
    EXPECT_EQ(dry.report()["findings"][0]["set_aside"], false);
    EXPECT_EQ(dry.report()["touched"][0]["session"], "bad");
    EXPECT_EQ(dry.report()["touched"][0]["recompute_from_token"], 64);
  }
  EXPECT_NE(Run("fsck --dir " + store_).out.find("--repair"),
            std::string::npos);
  const Outcome repaired = RunOn("fsck --repair");
  EXPECT_EQ(repaired.exit_code, 1);
  EXPECT_EQ(repaired.report()["findings"][0]["set_aside"], true);
  const Outcome after = RunOn("fsck");
  EXPECT_EQ(after.report()["finding_count"], 0);
  EXPECT_EQ(after.report()["touched"].size(), 1u);
  EXPECT_EQ(Run("fsck --repair").exit_code, 2) << "only on a store directory";
  WithDaemon([&](TestDaemon* daemon) {
    TestWorker worker(daemon->Connect());
    EXPECT_EQ(worker.Restore("bad")->valid_end, 64u);
    EXPECT_EQ(worker.Restore("good")->valid_end, 150u);
    ASSERT_OK(worker.Save("bad", tokens_));
  });
  EXPECT_EQ(RunOn("fsck").exit_code, 0);
}

}  // namespace
}  // namespace reprise
