// A whole run on a RocksDB directory whose disk fails, fills up or goes away
// with its process, at every change of a file in turn: afterwards each segment
// is what it was or what it was to become, all sessions restore, and a later
// run comes to the end. The process that is killed is this program, started
// anew.
//
// By default at each few changes; with REPRISE_EVERY_STEP set, as by
// `./dev crash`, at every one.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "store/collector.h"
#include "store/fsck.h"
#include "store/rocks_engine.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/store/fault_env.h"
#include "tests/store/scratch_directory.h"
#include "tests/tools/compaction/coded_state.h"
#include "tools/compaction/compaction_run.h"
#include "tools/compaction/reclaim_hook.h"

namespace reprise {
namespace {

constexpr int kSessions = 5;
constexpr uint64_t kSegmentsOfAll = 2 * kSessions;
constexpr uint64_t kMiB = 1 << 20;

std::string NameOf(int s) { return "s" + std::to_string(s); }
// Two segments and a tail.
std::vector<TokenId> TokensOf(int s) {
  return ToyTokens(static_cast<uint64_t>(s) + 1, 140);
}
// A segment is 128 KiB: enough for files of their own.
ModelSpec Model() { return PlainModel("mid", 4, 2, 64, DType::kF16); }

// From one change of a file that goes wrong to the next.
int64_t StrideOf(int64_t usual) {
  return std::getenv("REPRISE_EVERY_STEP") == nullptr ? usual : 1;
}

// A directory, opened.
class OpenStore {
 public:
  static Result<std::unique_ptr<OpenStore>> Open(const RocksOptions& options) {
    std::unique_ptr<OpenStore> store(new OpenStore(options.directory));
    REPRISE_ASSIGN_OR_RETURN(store->engine_, OpenRocksEngine(options));
    REPRISE_ASSIGN_OR_RETURN(
        store->catalogue_,
        Catalogue::Open(store->engine_.get(), &store->clock_, {}));
    store->coded_ = std::make_unique<CodedWorker>(store->catalogue_.get(),
                                                  store->tenant_, Model());
    store->rules_.policy = *ParsePolicy("series: exact 1h, near");
    return store;
  }

  Status SaveAll() {
    for (int s = 0; s < kSessions; ++s) {
      REPRISE_RETURN_IF_ERROR(coded_->Save(NameOf(s), TokensOf(s)));
    }
    // Out of the log: what a run changes is then all that there is in it.
    return ReclaimRocksSpace(*engine_, {}).status();
  }

  // All stages of a run; what is garbage goes.
  Status Compact() {
    clock_.AdvanceMs(2 * kHourMs);
    RunOptions options;
    options.job.holder = "pid 1 (test)";
    options.job.step_tasks = 4;
    options.job.has_store_alone = true;
    // Several batches in a step.
    options.job.sinker.batch_bytes = 100'000;
    RunHooks hooks;
    hooks.collect = [this](std::atomic<bool>*) { return Collect(); };
    hooks.reclaim = MakeReclaimHook(engine_.get(), {directory_, {}, 0});
    hooks.on_progress = [this](const RunProgress& progress) {
      if (progress.stage != RunStage::kEnded) stage_ = progress.stage;
      if (on_progress != nullptr) on_progress(progress);
    };
    CompactionRun run(catalogue_.get(), rules_, options, std::move(hooks));
    const Status status = run.Run();
    progress_ = run.Progress();
    return status;
  }
  // Of the last run; the stage in which it ended.
  const RunProgress& progress() const { return progress_; }
  RunStage stage() const { return stage_; }
  std::function<void(const RunProgress&)> on_progress;

  // Whole, and each segment with the very values that were saved or, in tier
  // near, with such that are as near as the ladder promises.
  void ExpectOldOrNew(uint64_t* near_segments) {
    *near_segments = 0;
    CodecShelf shelf(catalogue_.get());
    const auto model = shelf.Model(tenant_, coded_->model());
    REPRISE_ASSERT_OK(model.status());
    for (int s = 0; s < kSessions; ++s) {
      const auto read = coded_->ReadAll(NameOf(s));
      REPRISE_ASSERT_OK(read.status());
      ASSERT_EQ(read->size(), 3u);
      for (const auto& each : *read) {
        const std::vector<Bytes> saved = coded_->Values(each.segment, 1);
        if (each.rendition.tier == Tier::kExact) {
          EXPECT_EQ(each.values, saved);
          continue;
        }
        ASSERT_EQ(each.rendition.tier, Tier::kNear);
        ++*near_segments;
        for (size_t g = 0; g < saved.size(); ++g) {
          double worst = 0;
          EXPECT_EQ("", FindErrorOver((*model)->groups[g], 64, saved[g],
                                      each.values[g], 0.1, &worst));
        }
      }
    }
  }
  // Goes on with what a run before this left, and comes to the end.
  void ExpectComesToTheEnd() {
    uint64_t near_segments = 0;
    ExpectOldOrNew(&near_segments);
    REPRISE_ASSERT_OK(Compact());
    ExpectOldOrNew(&near_segments);
    EXPECT_EQ(near_segments, kSegmentsOfAll);
    const auto recorded = ReadCompaction(engine_.get());
    REPRISE_ASSERT_OK(recorded.status());
    EXPECT_EQ((*recorded)->record.phase, JobPhase::kDone);
    const auto report = Fsck(catalogue_.get(), {});
    REPRISE_ASSERT_OK(report.status());
    for (const auto& finding : report->findings) ADD_FAILURE() << finding.what;
  }

  Engine* engine() { return engine_.get(); }
  PolicyRules& rules() { return rules_; }

 private:
  explicit OpenStore(std::string directory)
      : directory_(std::move(directory)), clock_(kNowMs) {}

  Status Collect() {
    const auto collector = MakeCollector(catalogue_.get(), {});
    while (collector->phase() != Collector::Phase::kDone) {
      const int64_t wait_ms = collector->wait_until_ms() - clock_.MonotonicMs();
      if (wait_ms > 0) clock_.AdvanceMs(wait_ms);
      REPRISE_RETURN_IF_ERROR(collector->Step());
    }
    return Status();
  }

  static constexpr int64_t kNowMs = 1'700'000'000'000;
  const std::string directory_;
  const DomainId tenant_ = TenantDomain("acme");
  ManualClock clock_;
  PolicyRules rules_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  std::unique_ptr<CodedWorker> coded_;
  RunProgress progress_;
  RunStage stage_ = RunStage::kExpire;
};

// The process that is killed at a change of a file; 0 when it came to the end.
int RunChild(const std::string& directory, int64_t kill_at) {
  FaultEnv faults;
  const auto store =
      OpenStore::Open({.directory = directory, .env = faults.env()});
  if (!store.ok()) return 1;
  faults.fs().KillAt(FaultKind::kAny, kill_at);
  return (*store)->Compact().ok() ? 0 : 1;
}

class CompactionFaultTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    saved_ = std::make_unique<ScratchDirectory>();
    const auto store = OpenStore::Open({.directory = saved_->path()});
    REPRISE_ASSERT_OK(store.status());
    REPRISE_ASSERT_OK((*store)->SaveAll());
  }
  static void TearDownTestSuite() { saved_.reset(); }

  CompactionFaultTest() { StartAgain(); }

  // All sessions, as they were saved.
  void StartAgain() {
    directory_ = std::make_unique<ScratchDirectory>();
    std::filesystem::copy(saved_->path(), directory_->path(),
                          std::filesystem::copy_options::recursive);
  }
  std::unique_ptr<OpenStore> Open(bool with_faults = true) {
    RocksOptions options;
    options.directory = directory_->path();
    if (with_faults) options.env = faults_.env();
    auto store = OpenStore::Open(options);
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Whether there are so many operations of the kind.
  bool RunWithFault(FaultKind kind, int64_t count,
                    const rocksdb::IOStatus& error, StatusCode wanted) {
    StartAgain();
    auto store = Open();
    faults_.fs().FailAt(kind, count, error, /*lasting=*/false);
    const Status status = store->Compact();
    const bool failed = faults_.fs().failed();
    EXPECT_TRUE(failed || status.ok()) << status.ToString();
    faults_.fs().FailNoMore();
    uint64_t near_segments = 0;
    if (!status.ok()) {
      EXPECT_EQ(status.code(), wanted) << status.ToString();
      EXPECT_FALSE(store->engine()->Health().ok());
      EXPECT_EQ(store->progress().failure, status.message());
      const CompactionProgress& jobs = store->progress().jobs;
      if (jobs.record.run != 0 && store->stage() == RunStage::kPolicy) {
        // What is recorded may be older: nothing could be written.
        EXPECT_EQ(jobs.record.phase, JobPhase::kFailed);
        EXPECT_EQ(jobs.record.reason, status.message());
      }
      ++failed_in_[store->stage()];
      // Nothing can be changed any more, but all can be read.
      store->ExpectOldOrNew(&near_segments);
    }
    std::mt19937_64 random(static_cast<uint64_t>(count));
    faults_.fs().PullThePlug();
    store.reset();
    faults_.fs().DropUnsynced(&random);
    store = Open(/*with_faults=*/false);
    if (store == nullptr) return false;
    uint64_t near_after = 0;
    store->ExpectOldOrNew(&near_after);
    // What was published was synced.
    EXPECT_GE(near_after, near_segments);
    store->ExpectComesToTheEnd();
    return failed;
  }

  static inline std::unique_ptr<ScratchDirectory> saved_;
  std::unique_ptr<ScratchDirectory> directory_;
  FaultEnv faults_;
  std::map<RunStage, int> failed_in_;
};

TEST_F(CompactionFaultTest, ADiskThatFailsLeavesOldOrNew) {
  const rocksdb::IOStatus error = rocksdb::IOStatus::IOError("EIO");
  int64_t count = 0;
  while (
      RunWithFault(FaultKind::kAny, count, error, StatusCode::kUnavailable)) {
    ASSERT_FALSE(HasFailure()) << "operation " << count;
    count += StrideOf(7);
  }
  RecordProperty("changes", std::to_string(count));
  EXPECT_GT(count, 50);
  EXPECT_GT(failed_in_[RunStage::kPolicy], 3);
  EXPECT_GT(failed_in_[RunStage::kReclaim], 0);
}

TEST_F(CompactionFaultTest, AFullDiskLeavesOldOrNew) {
  int64_t count = 0;
  while (RunWithFault(FaultKind::kAppend, count, rocksdb::IOStatus::NoSpace(),
                      StatusCode::kResourceExhausted)) {
    ASSERT_FALSE(HasFailure()) << "operation " << count;
    count += StrideOf(5);
  }
  RecordProperty("changes", std::to_string(count));
  EXPECT_GT(count, 50);
  EXPECT_GT(failed_in_[RunStage::kPolicy], 3);
}

TEST_F(CompactionFaultTest, KilledAtAnyChangeOfAFileItLeavesOldOrNew) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  uint64_t cut_off_in_the_middle = 0;
  for (int64_t at = 0;; at += StrideOf(6)) {
    StartAgain();
    const std::string count = std::to_string(at);
    const pid_t child = fork();
    if (child == 0) {
      execl(self.c_str(), "compaction_fault_test", "--child",
            directory_->path().c_str(), count.c_str(), nullptr);
      _exit(127);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      RecordProperty("changes", std::to_string(at));
      EXPECT_GT(at, 50);
      break;
    }
    ASSERT_EQ(WTERMSIG(status), SIGKILL);
    const auto store = Open(/*with_faults=*/false);
    ASSERT_NE(store, nullptr);
    uint64_t near_segments = 0;
    store->ExpectOldOrNew(&near_segments);
    if (near_segments % kSegmentsOfAll != 0) ++cut_off_in_the_middle;
    store->ExpectComesToTheEnd();
    ASSERT_FALSE(HasFailure()) << "operation " << at;
  }
  EXPECT_GT(cut_off_in_the_middle, 2u);
}

// Short of the space that is kept free it fails before anything breaks, and
// goes on in the same process.
TEST_F(CompactionFaultTest, ShortOfSpaceItSaysSoAndGoesOnOnceThereIsRoom) {
  faults_.fs().set_free_bytes(256 * kMiB + 500'000);
  const auto store = Open();
  ASSERT_NE(store, nullptr);
  store->on_progress = [&](const RunProgress& progress) {
    if (progress.jobs.record.done > 0) faults_.fs().set_free_bytes(200 * kMiB);
  };
  const Status status = store->Compact();
  REPRISE_EXPECT_CODE(kResourceExhausted, status);
  EXPECT_NE(status.message().find("bytes free"), std::string::npos);
  EXPECT_TRUE(store->engine()->Health().ok());
  const auto recorded = ReadCompaction(store->engine());
  REPRISE_ASSERT_OK(recorded.status());
  EXPECT_EQ((*recorded)->record.phase, JobPhase::kFailed);
  EXPECT_EQ((*recorded)->record.reason, status.message());
  uint64_t near_segments = 0;
  store->ExpectOldOrNew(&near_segments);
  EXPECT_GT(near_segments, 0u);
  EXPECT_LT(near_segments, kSegmentsOfAll);
  store->on_progress = nullptr;
  faults_.fs().set_free_bytes(1024 * kMiB);
  store->ExpectComesToTheEnd();
}

// That is what makes room: it must not need any.
TEST_F(CompactionFaultTest, WithoutRoomFramesAreDroppedAndGivenBack) {
  const auto store = Open();
  ASSERT_NE(store, nullptr);
  store->rules().policy = *ParsePolicy("exact 1h, tokens");
  const uint64_t before = store->engine()->GetStats().disk_bytes;
  const Bytes frame(100 * kMiB, 7);
  const ObjectPut put{ObjectSpace::kFrameExact, "a frame", frame};
  const auto put_frame = [&] {
    return store->engine()->Put({&put, 1}, 1, Durability::kWritten);
  };
  faults_.fs().set_free_bytes(100 * kMiB);
  REPRISE_EXPECT_CODE(kResourceExhausted, put_frame());
  REPRISE_EXPECT_CODE(kResourceExhausted, store->Compact());
  faults_.fs().set_free_bytes(200 * kMiB);
  REPRISE_EXPECT_CODE(kResourceExhausted, put_frame());
  REPRISE_ASSERT_OK(store->Compact());
  const CompactionProgress& jobs = store->progress().jobs;
  EXPECT_EQ(jobs.record.phase, JobPhase::kDone);
  EXPECT_EQ(jobs.totals.segments[static_cast<size_t>(SinkResult::kDropped)],
            kSegmentsOfAll + kSessions);
  EXPECT_LT(store->engine()->GetStats().disk_bytes, before / 4);
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--child") {
    return reprise::RunChild(argv[2], std::strtoll(argv[3], nullptr, 10));
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
