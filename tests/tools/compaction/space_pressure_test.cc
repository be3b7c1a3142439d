// A store on a disk that fills up: from the watermark to files that are
// smaller, by a daemon that nobody asked.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "store/fsck.h"
#include "store/rocks_engine.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/store/scratch_directory.h"
#include "tests/tools/compaction/coded_state.h"
#include "tools/compaction/daemon_compaction.h"
#include "tools/compaction/reclaim_hook.h"

namespace reprise {
namespace {

constexpr int kSessions = 12;
constexpr size_t kTokens = 4 * 64;

class SpacePressureTest : public testing::Test {
 protected:
  SpacePressureTest() {
    // Its frames are large enough for files of their own.
    const ModelSpec model = PlainModel("mid", 4, 4, 64, DType::kF16);
    auto engine = OpenRocksEngine({.directory = directory_.path()});
    REPRISE_CHECK(engine.ok());
    engine_ = *std::move(engine);
    auto catalogue = Catalogue::Open(engine_.get(), &clock_, {});
    REPRISE_CHECK(catalogue.ok());
    catalogue_ = *std::move(catalogue);
    coded_ = std::make_unique<CodedWorker>(catalogue_.get(), tenant_, model);
    for (int s = 0; s < kSessions; ++s) {
      REPRISE_EXPECT_CODE(kOk, coded_->Save(NameOf(s), TokensOf(s)));
      clock_.AdvanceMs(kHourMs);
    }
  }

  static std::string NameOf(int s) { return "s" + std::to_string(s); }
  static std::vector<TokenId> TokensOf(int s) {
    return ToyTokens(static_cast<uint64_t>(s) + 1, kTokens);
  }
  // What the file system says.
  uint64_t DiskBytes() const {
    uint64_t bytes = 0;
    for (const auto& file :
         std::filesystem::directory_iterator(directory_.path())) {
      std::error_code gone;
      const uint64_t size = std::filesystem::file_size(file.path(), gone);
      if (!gone) bytes += size;
    }
    return bytes;
  }
  Tier TierOfFirst(int s) {
    const auto read = coded_->ReadAll(NameOf(s));
    EXPECT_TRUE(read.ok()) << read.status().ToString();
    return read.ok() ? (*read)[0].rendition.tier : Tier::kTokens;
  }

  const DomainId tenant_ = TenantDomain("acme");
  ScratchDirectory directory_;
  ManualClock clock_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  std::unique_ptr<CodedWorker> coded_;
};

TEST_F(SpacePressureTest, FilesShrinkUntilTheLowWatermark) {
  // What the log holds twice does not count as pressure.
  ASSERT_TRUE(ReclaimRocksSpace(*engine_, {}).ok());
  const uint64_t full = DiskBytes();
  DaemonCompactionOptions options;
  options.rules.policy = *ParsePolicy("series: exact 1y, near");
  options.marks = {full, 90, 80};
  options.interval_ms = kDayMs;
  options.reclaim =
      MakeReclaimHook(engine_.get(), {directory_.path(), options.marks, 0});
  Jobs jobs(catalogue_.get(), &clock_,
            {.collect_interval_ms = 0, .collector = {.wait_ms = 5}});
  DaemonCompaction daemon(catalogue_.get(), &jobs, options);
  for (int i = 0; i < 10'000 && daemon.Figures().runs == 0; ++i) {
    clock_.AdvanceMs(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const CompactionFigures figures = daemon.Figures();
  ASSERT_EQ(figures.runs, 1u);
  EXPECT_EQ(figures.failed_runs, 0u);
  EXPECT_NE(figures.last_run_json.find("\"is_over\":false"), std::string::npos)
      << figures.last_run_json;
  EXPECT_LE(DiskBytes(), options.marks.high_bytes());
  EXPECT_LT(DiskBytes(), full * 90 / 100);
  // Who was away the longest went first, and the others kept what they had.
  EXPECT_EQ(TierOfFirst(0), Tier::kNear);
  EXPECT_EQ(TierOfFirst(kSessions - 1), Tier::kExact);
  for (int s = 0; s < kSessions; ++s) (void)TierOfFirst(s);
  const auto report = Fsck(catalogue_.get(), {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->findings.size(), 0u);
}

}  // namespace
}  // namespace reprise
