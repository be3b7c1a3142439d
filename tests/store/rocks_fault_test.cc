// Pulls the plug, fills the disk and fails syncs under the RocksDB engine.
// The oracle is the memory engine: what a store shows after a failure must be
// the content after some step, none before the last one said to be synced.
#include <gtest/gtest.h>

#include <algorithm>

#include "store/memory_engine.h"
#include "store/rocks_engine.h"
#include "tests/store/fault_env.h"
#include "tests/store/scratch_directory.h"
#include "tests/store/store_script.h"

namespace reprise {
namespace {

class RocksFaultTest : public ::testing::Test {
 protected:
  RocksOptions Options() {
    RocksOptions options;
    options.directory = directory_.path();
    options.env = faults_.env();
    // Small, so that flushes and new logs happen within a script.
    options.memtable_bytes = 600 << 10;
    options.max_log_bytes = 1 << 20;
    return options;
  }

  Status Open() {
    auto opened = OpenRocksEngine(Options());
    if (!opened.ok()) return opened.status();
    engine_ = *std::move(opened);
    return Status::Ok();
  }

  // Starts the history with the store's present content.
  void BeginHistory() {
    model_ = OpenMemoryEngine(MakeMemoryStore());
    history_ = {DumpStore(model_.get())};
    synced_ = 0;
  }

  // Runs the step on store and model. A step that failed may or may not have
  // happened.
  Status Run(const ScriptStep& step) {
    const Status status = RunStep(engine_.get(), step);
    const Status model = RunStep(model_.get(), step);
    EXPECT_TRUE(model.ok()) << model.ToString();
    history_.push_back(DumpStore(model_.get()));
    if (status.ok() && step.durability == Durability::kSynced) {
      synced_ = history_.size() - 1;
    }
    return status;
  }

  // What the store shows is in the history, at or after `first`.
  void ExpectInHistory(size_t first) {
    const std::string found = DumpStore(engine_.get());
    EXPECT_TRUE(std::find(history_.begin() + first, history_.end(), found) !=
                history_.end())
        << "synced: step " << synced_ << " of " << history_.size()
        << "\nfound:\n"
        << found << "\nlast:\n"
        << history_.back();
  }

  void PowerFailure(std::mt19937_64* random) {
    faults_.fs().PullThePlug();
    engine_.reset();
    faults_.fs().DropUnsynced(random);
  }

  ScratchDirectory directory_;
  FaultEnv faults_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Engine> model_;
  std::vector<std::string> history_;
  size_t synced_ = 0;
};

TEST_F(RocksFaultTest, PowerFailureLosesNothingThatWasSynced) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 15; ++round) {
    ScratchDirectory fresh;
    RocksOptions options = Options();
    options.directory = fresh.path();
    auto opened = OpenRocksEngine(options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    engine_ = *std::move(opened);
    BeginHistory();
    for (const ScriptStep& step : MakeScript(round, 10 + random() % 120)) {
      const Status status = Run(step);
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
    PowerFailure(&random);
    opened = OpenRocksEngine(options);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    engine_ = *std::move(opened);
    ExpectInHistory(synced_);
    EXPECT_TRUE(engine_->Health().ok());
    engine_.reset();
  }
}

// One directory through many power failures: what recovery writes is subject
// to the next one.
TEST_F(RocksFaultTest, SurvivesPowerFailureAfterPowerFailure) {
  std::mt19937_64 random(8);
  ASSERT_TRUE(Open().ok());
  for (int round = 0; round < 10; ++round) {
    // The model can't be set to what the store shows: begin with nothing.
    for (const ObjectSpace space : kAllObjectSpaces) {
      std::vector<ObjectStore::Listed> listed;
      ASSERT_TRUE(engine_->List(space, "", "", 1000, &listed).ok());
      for (const auto& entry : listed) {
        const ObjectRef ref{space, entry.key};
        ASSERT_TRUE(
            engine_->RemoveIfUntouched(std::span(&ref, 1), UINT64_MAX).ok());
      }
    }
    for (const HeadSpace space : kAllHeadSpaces) {
      std::vector<HeadStore::ListedHead> listed;
      ASSERT_TRUE(engine_->ListHeads(space, "", "", 1000, &listed).ok());
      for (const auto& head : listed) {
        ASSERT_TRUE(engine_
                        ->RemoveHead(space, head.key, head.record.version,
                                     Durability::kWritten)
                        .ok());
      }
    }
    ASSERT_TRUE(engine_->Sync().ok());
    BeginHistory();
    for (const ScriptStep& step : MakeScript(round, 20 + random() % 60)) {
      ASSERT_TRUE(Run(step).ok());
    }
    PowerFailure(&random);
    const Status status = Open();
    ASSERT_TRUE(status.ok()) << status.ToString();
    ExpectInHistory(synced_);
  }
}

TEST_F(RocksFaultTest, VersionsAreNeverGivenAgainAfterAPowerFailure) {
  std::mt19937_64 random(9);
  HeadVersion highest = 0;
  for (int round = 0; round < 6; ++round) {
    const Status status = Open();
    ASSERT_TRUE(status.ok()) << status.ToString();
    for (int i = 0; i < 3; ++i) {
      const std::string key = std::to_string(round * 3 + i);
      const auto version = engine_->CompareAndSwap(
          HeadSpace::kSession, key, 0, AsBytes("x"), Durability::kWritten);
      ASSERT_TRUE(version.ok());
      EXPECT_GT(*version, highest);
      highest = *version;
    }
    PowerFailure(&random);
  }
}

// The N-th operation of a kind fails, for N = 0, 1, 2, ... while a store is
// made, filled and closed.
class RocksFailAtTest : public RocksFaultTest {
 protected:
  // Returns whether the failure was delivered.
  bool RunWithFault(FaultKind kind, int64_t count, rocksdb::IOStatus error,
                    StatusCode wanted) {
    ScratchDirectory fresh;
    RocksOptions options = Options();
    options.directory = fresh.path();
    // No background jobs: RocksDB, where built with assertions, aborts when
    // a write syncs a log whose sync a flush has just seen fail.
    options.memtable_bytes = 64 << 20;
    options.max_log_bytes = 64 << 20;
    BeginHistory();
    faults_.fs().FailAt(kind, count, error, /*lasting=*/false);
    auto opened = OpenRocksEngine(options);
    if (opened.ok()) {
      engine_ = *std::move(opened);
      RunUntilFailure(wanted);
    } else {
      EXPECT_TRUE(faults_.fs().failed()) << opened.status().ToString();
    }
    const bool failed = faults_.fs().failed();
    std::mt19937_64 random(count);
    PowerFailure(&random);
    opened = OpenRocksEngine(options);
    EXPECT_TRUE(opened.ok()) << count << " " << opened.status().ToString();
    if (!opened.ok()) return false;
    engine_ = *std::move(opened);
    ExpectInHistory(synced_);
    engine_.reset();
    return failed;
  }

 private:
  void RunUntilFailure(StatusCode wanted) {
    for (const ScriptStep& step : MakeScript(11, 40)) {
      const Status status = Run(step);
      if (status.ok()) continue;
      EXPECT_TRUE(status.Is(wanted)) << status.ToString();
      EXPECT_FALSE(engine_->Health().ok());
      // No second chance, though the fault is over: nothing is acknowledged.
      ScriptStep again;
      again.keys = {"key z"};
      again.durability = Durability::kSynced;
      EXPECT_TRUE(RunStep(engine_.get(), again).Is(wanted));
      EXPECT_TRUE(engine_->Sync().Is(wanted));
      // Reads go on, and show what was acknowledged, or one step more.
      const std::string found = DumpStore(engine_.get());
      EXPECT_TRUE(found == history_[history_.size() - 2] ||
                  found == history_.back());
      return;
    }
  }
};

TEST_F(RocksFailAtTest, AfterAFailedSyncNothingIsAcknowledged) {
  int64_t count = 0;
  while (RunWithFault(FaultKind::kSync, count,
                      rocksdb::IOStatus::IOError("sync failed"),
                      StatusCode::kUnavailable)) {
    count += count < 25 ? 1 : 3;
  }
  EXPECT_GT(count, 20);
}

TEST_F(RocksFailAtTest, AfterAFailedAppendNothingIsAcknowledged) {
  int64_t count = 0;
  while (RunWithFault(FaultKind::kAppend, count,
                      rocksdb::IOStatus::IOError("write failed"),
                      StatusCode::kUnavailable)) {
    // In strides: a run has hundreds.
    count += count < 20 ? 2 : 9;
  }
  EXPECT_GT(count, 60);
}

TEST_F(RocksFailAtTest, AFullDiskIsToldApart) {
  int64_t count = 0;
  while (RunWithFault(FaultKind::kAny, count, rocksdb::IOStatus::NoSpace(),
                      StatusCode::kResourceExhausted)) {
    count += count < 30 ? 5 : 17;
  }
  EXPECT_GT(count, 60);
}

TEST_F(RocksFaultTest, KeepsSpaceFree) {
  faults_.fs().set_free_bytes(300 << 20);
  ASSERT_TRUE(Open().ok());
  const Bytes value(1 << 20, 'x');
  const ObjectPut put{ObjectSpace::kFrameExact, "first", value};
  ASSERT_TRUE(engine_->Put(std::span(&put, 1), 1, Durability::kWritten).ok());
  faults_.fs().set_free_bytes((256 << 20) + 1000);
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    const std::string key = std::to_string(i);
    const ObjectPut more{ObjectSpace::kFrameExact, key, value};
    status = engine_->Put(std::span(&more, 1), 1, Durability::kWritten);
  }
  EXPECT_TRUE(status.Is(StatusCode::kResourceExhausted)) << status.ToString();
  // Nothing broke: it goes on as soon as there is room again, and removals
  // are what makes room.
  EXPECT_TRUE(engine_->Health().ok());
  const ObjectRef ref{ObjectSpace::kFrameExact, "first"};
  EXPECT_TRUE(engine_->RemoveIfUntouched(std::span(&ref, 1), 2).ok());
  faults_.fs().set_free_bytes(1 << 30);
  EXPECT_TRUE(engine_->Put(std::span(&put, 1), 1, Durability::kSynced).ok());
}

}  // namespace
}  // namespace reprise
