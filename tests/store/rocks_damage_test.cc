// Damaged bytes in a store's files, and stores that must not be opened.
#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>

#include "store/memory_engine.h"
#include "store/rocks_engine.h"
#include "tests/store/scratch_directory.h"
#include "tests/store/store_script.h"

namespace reprise {
namespace {

using std::string;

class RocksDamageTest : public ::testing::Test {
 protected:
  Status Open(bool accept_log_loss = false, bool read_only = false) {
    RocksOptions options;
    options.directory = directory_.path();
    options.accept_log_loss = accept_log_loss;
    options.read_only = read_only;
    auto opened = OpenRocksEngine(options);
    if (!opened.ok()) return opened.status();
    engine_ = *std::move(opened);
    return Status::Ok();
  }

  Status Put(const string& key, size_t bytes, Durability durability) {
    const string value(bytes, key.back());
    const ObjectPut put{ObjectSpace::kFrameExact, key, AsBytes(value)};
    return engine_->Put(std::span(&put, 1), 1, durability);
  }
  Status Get(const string& key) {
    return engine_->Get({ObjectSpace::kFrameExact, key}).status();
  }

  // The files that end in `suffix`, the biggest first.
  std::vector<string> Files(const string& suffix) {
    std::vector<string> paths;
    for (const auto& entry :
         std::filesystem::directory_iterator(directory_.path())) {
      if (entry.path().string().ends_with(suffix)) {
        paths.push_back(entry.path().string());
      }
    }
    std::sort(paths.begin(), paths.end(), [](const auto& a, const auto& b) {
      return std::filesystem::file_size(a) > std::filesystem::file_size(b);
    });
    return paths;
  }

  static string Read(const string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file),
            std::istreambuf_iterator<char>()};
  }
  static void Write(const string& path, const string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }
  // Inverts the byte after the first place where `text` stands.
  static bool FlipAfter(const string& path, const string& text) {
    string content = Read(path);
    const size_t at = content.find(text);
    if (at == string::npos) return false;
    content[at + text.size()] ^= 0x5a;
    Write(path, content);
    return true;
  }

  ScratchDirectory directory_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(RocksDamageTest, LogTornAtAnyByteOpensWithAPrefix) {
  ASSERT_TRUE(Open().ok());
  auto model = OpenMemoryEngine(MakeMemoryStore());
  std::vector<string> history = {DumpStore(model.get())};
  for (const ScriptStep& step : MakeScript(3, 14)) {
    ASSERT_TRUE(RunStep(engine_.get(), step).ok());
    ASSERT_TRUE(RunStep(model.get(), step).ok());
    history.push_back(DumpStore(model.get()));
  }
  engine_.reset();
  ScratchDirectory saved;
  std::filesystem::copy(directory_.path(), saved.path() + "/store");
  const string log = Files(".log")[0];
  const string content = Read(log);
  size_t position = history.size() - 1;
  for (size_t cut = 0; cut < content.size(); cut += 1 + content.size() / 24) {
    std::filesystem::remove_all(directory_.path());
    std::filesystem::copy(saved.path() + "/store", directory_.path());
    Write(log, content.substr(0, content.size() - cut));
    const Status status = Open();
    ASSERT_TRUE(status.ok()) << cut << " " << status.ToString();
    const string found = DumpStore(engine_.get());
    // The longer the cut, the earlier the state.
    while (position > 0 && history[position] != found) --position;
    EXPECT_EQ(history[position], found) << "cut " << cut;
    engine_.reset();
  }
}

TEST_F(RocksDamageTest, DamageInTheLogsMiddleIsRefusedUntilAccepted) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Put("before", 3000, Durability::kSynced).ok());
  ASSERT_TRUE(Put("damaged-marker", 50'000, Durability::kWritten).ok());
  ASSERT_TRUE(Put("after", 3000, Durability::kSynced).ok());
  engine_.reset();
  const string log = Files(".log")[0];
  ASSERT_TRUE(FlipAfter(log, "damaged-marker"));

  const Status refused = Open();
  EXPECT_TRUE(refused.Is(StatusCode::kDataLoss)) << refused.ToString();
  const string name = std::filesystem::path(log).filename().string();
  EXPECT_NE(refused.message().find(name), string::npos) << refused.ToString();
  EXPECT_NE(refused.message().find("can't be read at byte"), string::npos);
  EXPECT_TRUE(Open(/*accept_log_loss=*/false, /*read_only=*/true)
                  .Is(StatusCode::kDataLoss));
  EXPECT_TRUE(Files(".lost").empty()) << "a refusal changes nothing";

  const Status accepted = Open(/*accept_log_loss=*/true);
  ASSERT_TRUE(accepted.ok()) << accepted.ToString();
  EXPECT_TRUE(Get("before").ok());
  EXPECT_TRUE(Get("damaged-marker").Is(StatusCode::kNotFound));
  EXPECT_TRUE(Get("after").Is(StatusCode::kNotFound));
  EXPECT_EQ(Files(".lost").size(), 1u);
  ASSERT_TRUE(Put("new", 3000, Durability::kSynced).ok());
  engine_.reset();
  ASSERT_TRUE(Open().ok());
  EXPECT_TRUE(Get("new").ok());
}

// A store that was killed right after its last sync: nothing but the
// confirmation lies behind the damage.
TEST_F(RocksDamageTest, DamageBeforeTheLastSyncIsRefused) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Put("damaged-marker", 200, Durability::kWritten).ok());
  ASSERT_TRUE(engine_->Sync().ok());
  engine_.reset();
  ASSERT_TRUE(FlipAfter(Files(".log")[0], "damaged-marker"));
  EXPECT_TRUE(Open().Is(StatusCode::kDataLoss));
}

TEST_F(RocksDamageTest, VersionsGoOnAfterAnAcceptedLoss) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Put("damaged-marker", 200, Durability::kSynced).ok());
  const auto before = engine_->CompareAndSwap(HeadSpace::kSession, "s", 0, {},
                                              Durability::kSynced);
  ASSERT_TRUE(before.ok());
  engine_.reset();
  ASSERT_TRUE(FlipAfter(Files(".log")[0], "damaged-marker"));
  ASSERT_TRUE(Open(/*accept_log_loss=*/true).ok());
  const auto after = engine_->CompareAndSwap(HeadSpace::kSession, "s", 0, {},
                                             Durability::kSynced);
  ASSERT_TRUE(after.ok()) << after.status().ToString();
  EXPECT_GT(*after, *before);
}

class RocksMissingLogTest : public RocksDamageTest {
 protected:
  // Leaves the store as a crash does, with files of the log that RocksDB still
  // needs: returns, oldest first, the paths from the one that holds "before"
  // to the newest, at least three. "after" is synced behind the second.
  std::vector<string> MakeLogs() {
    // Flushes are held up: RocksDB would drop what they make needless.
    std::promise<void> over;
    std::shared_future<void> wait = over.get_future();
    rocksdb::Env::Default()->Schedule(
        [](void* until) {
          static_cast<std::shared_future<void>*>(until)->wait();
        },
        &wait, rocksdb::Env::Priority::HIGH);
    RocksOptions options;
    options.directory = directory_.path();
    options.memtable_bytes = 1 << 20;
    engine_ = *OpenRocksEngine(options);
    EXPECT_TRUE(Put("before", 100, Durability::kSynced).ok());
    const size_t wanted = Files(".log").size() + 2;
    for (const ObjectSpace space : kAllObjectSpaces) {
      if (Files(".log").size() >= wanted) break;
      const ObjectPut put{space, "between", AsBytes("x")};
      EXPECT_TRUE(
          engine_->Put(std::span(&put, 1), 1, Durability::kWritten).ok());
    }
    EXPECT_TRUE(Put("after", 100, Durability::kSynced).ok());
    ScratchDirectory crashed;
    const string copy = crashed.path() + "/store";
    std::filesystem::copy(directory_.path(), copy);
    over.set_value();
    engine_.reset();
    std::filesystem::remove_all(directory_.path());
    std::filesystem::copy(copy, directory_.path());
    std::vector<string> logs = Logs();
    while (!logs.empty() && Read(logs[0]).find("before") == string::npos) {
      logs.erase(logs.begin());
    }
    EXPECT_GE(logs.size(), 3u);
    return logs;
  }

  std::vector<string> Logs() {
    std::vector<string> logs = Files(".log");
    std::sort(logs.begin(), logs.end());
    return logs;
  }

  // With every one of `parts` in the message. Once the loss was accepted, the
  // store is as good as any.
  void ExpectRefusedUntilAccepted(const string& missing,
                                  const std::vector<string>& parts) {
    for (const bool read_only : {false, true}) {
      const Status refused = Open(/*accept_log_loss=*/false, read_only);
      EXPECT_TRUE(refused.Is(StatusCode::kDataLoss)) << refused.ToString();
      EXPECT_NE(refused.message().find(
                    std::filesystem::path(missing).filename().string() +
                    " is missing"),
                string::npos)
          << refused.ToString();
      for (const string& part : parts) {
        EXPECT_NE(refused.message().find(part), string::npos)
            << refused.ToString();
      }
      engine_.reset();
    }
    EXPECT_TRUE(Files(".lost").empty()) << "a refusal changes nothing";
    const Status accepted = Open(/*accept_log_loss=*/true);
    ASSERT_TRUE(accepted.ok()) << accepted.ToString();
    EXPECT_TRUE(Get("after").Is(StatusCode::kNotFound));
    EXPECT_TRUE(Put("new", 3000, Durability::kSynced).ok());
    engine_.reset();
    const Status again = Open();
    ASSERT_TRUE(again.ok()) << again.ToString();
    EXPECT_TRUE(Get("new").ok());
  }
};

TEST_F(RocksMissingLogTest, TheOnlyLogIsMissed) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Put("after", 100, Durability::kSynced).ok());
  engine_.reset();
  const std::vector<string> logs = Files(".log");
  ASSERT_EQ(logs.size(), 1u);
  std::filesystem::remove(logs[0]);
  ExpectRefusedUntilAccepted(logs[0], {"how much it held is unknown",
                                       "reprise fsck --dir DIR --accept-loss"});
}

TEST_F(RocksMissingLogTest, ALogBetweenOthersIsMissed) {
  const std::vector<string> logs = MakeLogs();
  std::filesystem::remove(logs[1]);
  ExpectRefusedUntilAccepted(logs[1], {" changes up to the next file",
                                       "lie behind it", "--accept-loss"});
  EXPECT_TRUE(Get("before").ok());
}

TEST_F(RocksMissingLogTest, TheOldestLogIsMissed) {
  MakeLogs();
  const string oldest = Logs()[0];
  std::filesystem::remove(oldest);
  ExpectRefusedUntilAccepted(oldest, {"lie behind it"});
}

TEST_F(RocksMissingLogTest, TheNewestLogIsMissed) {
  const std::vector<string> logs = MakeLogs();
  std::filesystem::remove(logs.back());
  ExpectRefusedUntilAccepted(logs.back(), {"how much it held is unknown"});
  EXPECT_TRUE(Get("before").ok());
}

TEST_F(RocksMissingLogTest, ALogThatIsNotNeededIsNotMissed) {
  const std::vector<string> logs = MakeLogs();
  ASSERT_TRUE(Open().ok());  // replays all of them
  EXPECT_TRUE(Get("before").ok());
  EXPECT_TRUE(Get("after").ok());
  engine_.reset();
  for (const string& log : logs) {
    EXPECT_FALSE(std::filesystem::exists(log)) << log;
  }
  const Status status = Open();
  EXPECT_TRUE(status.ok()) << status.ToString();
}

// By a release that remembered no logs, or damaged: nothing can be missed.
TEST_F(RocksMissingLogTest, OpensWithoutItsListOfLogs) {
  MakeLogs();
  const string list = directory_.path() + "/SYNCED-LOGS";
  ASSERT_TRUE(FlipAfter(list, "reprise"));
  ASSERT_TRUE(Open(false, /*read_only=*/true).ok());
  engine_.reset();
  std::filesystem::remove(list);
  ASSERT_TRUE(Open().ok());
  EXPECT_TRUE(Get("after").ok());
  EXPECT_TRUE(std::filesystem::exists(list));
}

// RocksDB tells of a switch before it makes it: while a file waits behind the
// current one, the list is made again after each sync.
TEST_F(RocksMissingLogTest, ListsLogsAgainUntilTheSwitchIsMade) {
  RocksOptions options;
  options.directory = directory_.path();
  options.memtable_bytes = 32 << 20;
  engine_ = *OpenRocksEngine(options);
  const string list = directory_.path() + "/SYNCED-LOGS";
  const string before = Logs().back();
  for (int i = 0; Logs().back() == before; ++i) {
    ASSERT_LT(i, 10'000);
    ASSERT_TRUE(
        Put("k" + std::to_string(i), 20'000, Durability::kWritten).ok());
  }
  std::ofstream(directory_.path() + "/999999.log").flush();
  for (const char* key : {"a", "b"}) {
    std::filesystem::remove(list);
    ASSERT_TRUE(Put(key, 100, Durability::kSynced).ok());
    EXPECT_TRUE(std::filesystem::exists(list)) << key;
    EXPECT_EQ(Read(list).find("999999"), string::npos);
  }
  std::filesystem::remove(directory_.path() + "/999999.log");
  ASSERT_TRUE(Put("c", 100, Durability::kSynced).ok());
  std::filesystem::remove(list);
  ASSERT_TRUE(Put("d", 100, Durability::kSynced).ok());
  EXPECT_FALSE(std::filesystem::exists(list));
}

TEST_F(RocksDamageTest, ADamagedBlobCostsItsObjectAlone) {
  ASSERT_TRUE(Open().ok());
  for (const char* key : {"blob-a", "blob-b", "blob-c"}) {
    ASSERT_TRUE(Put(key, 20'000, Durability::kSynced).ok());
  }
  engine_.reset();
  ASSERT_TRUE(Open().ok());  // replays, and flushes into a blob file
  engine_.reset();
  ASSERT_FALSE(Files(".blob").empty());
  ASSERT_TRUE(FlipAfter(Files(".blob")[0], "blob-bbbbb"));
  ASSERT_TRUE(Open().ok());
  EXPECT_TRUE(Get("blob-a").ok());
  EXPECT_TRUE(Get("blob-b").Is(StatusCode::kDataLoss))
      << Get("blob-b").ToString();
  EXPECT_TRUE(Get("blob-c").ok());
  const ObjectRef refs[] = {{ObjectSpace::kFrameExact, "blob-a"},
                            {ObjectSpace::kFrameExact, "blob-b"},
                            {ObjectSpace::kFrameExact, "blob-c"}};
  std::vector<Result<PinnedBytes>> got;
  engine_->GetMany(refs, &got);
  EXPECT_TRUE(got[0].ok());
  EXPECT_TRUE(got[1].status().Is(StatusCode::kDataLoss));
  EXPECT_TRUE(got[2].ok());
  EXPECT_TRUE(engine_->Health().ok());
  // It can be taken out and put again.
  EXPECT_EQ(*engine_->RemoveIfUntouched(std::span(&refs[1], 1), 9), 1u);
  ASSERT_TRUE(Put("blob-b", 20'000, Durability::kSynced).ok());
  EXPECT_TRUE(Get("blob-b").ok());
}

TEST_F(RocksDamageTest, AMissingBlobFileCostsItsObjects) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Put("blob-a", 20'000, Durability::kSynced).ok());
  engine_.reset();
  ASSERT_TRUE(Open().ok());
  std::filesystem::remove(Files(".blob")[0]);
  EXPECT_TRUE(Get("blob-a").Is(StatusCode::kDataLoss))
      << Get("blob-a").ToString();
}

TEST_F(RocksDamageTest, ADamagedTableAnswersDataLoss) {
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Put("small-a", 300, Durability::kSynced).ok());
  engine_.reset();
  ASSERT_TRUE(Open().ok());
  engine_.reset();
  bool flipped = false;
  for (const string& path : Files(".sst")) {
    flipped = flipped || FlipAfter(path, "aaaaaaaaaaaa");
  }
  ASSERT_TRUE(flipped);
  ASSERT_TRUE(Open().ok());
  EXPECT_TRUE(Get("small-a").Is(StatusCode::kDataLoss))
      << Get("small-a").ToString();
}

TEST_F(RocksDamageTest, ReadOnlyReadsBlobsAndRefusesWrites) {
  EXPECT_TRUE(Open(false, /*read_only=*/true).Is(StatusCode::kNotFound));
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(Put("blob-a", 20'000, Durability::kSynced).ok());
  engine_.reset();
  for (int flushed = 0; flushed < 2; ++flushed) {
    const Status status = Open(false, /*read_only=*/true);
    ASSERT_TRUE(status.ok()) << status.ToString();
    EXPECT_TRUE(Get("blob-a").ok()) << Get("blob-a").ToString();
    EXPECT_TRUE(
        Put("x", 1, Durability::kWritten).Is(StatusCode::kFailedPrecondition));
    engine_.reset();
    ASSERT_TRUE(Open().ok());
    engine_.reset();
  }
}

TEST_F(RocksDamageTest, SaysWhoHoldsTheStore) {
  ASSERT_TRUE(Open().ok());
  RocksOptions options;
  options.directory = directory_.path();
  const auto second = OpenRocksEngine(options);
  ASSERT_FALSE(second.ok());
  EXPECT_TRUE(second.status().Is(StatusCode::kFailedPrecondition));
  EXPECT_NE(second.status().message().find("held by pid "), string::npos)
      << second.status().ToString();
}

TEST_F(RocksDamageTest, StoreIsOpenUntilItsLastHandleGoes) {
  ASSERT_TRUE(Open().ok());
  auto other = ShareRocksEngine(*engine_);
  engine_.reset();
  const ObjectPut put{ObjectSpace::kTail, "key", AsBytes("x")};
  EXPECT_TRUE(other->Put(std::span(&put, 1), 1, Durability::kSynced).ok());
  other.reset();
  EXPECT_TRUE(Open().ok());
}

TEST_F(RocksDamageTest, MissingStoreIsNotMadeUnlessAsked) {
  RocksOptions options;
  options.directory = directory_.path();
  options.create_if_missing = false;
  const auto opened = OpenRocksEngine(options);
  EXPECT_TRUE(opened.status().Is(StatusCode::kNotFound))
      << opened.status().ToString();
}

}  // namespace
}  // namespace reprise
