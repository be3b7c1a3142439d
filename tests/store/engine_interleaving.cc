// The part of the conformance suite that is about several callers: every
// short program over two handles, compared with a model, and threads that
// race for the same keys.
#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "tests/store/engine_conformance.h"

namespace reprise {
namespace {

using std::string;
using std::string_view;

// --- Every program of a few steps on one key. ---

enum class Step {
  kPutOld,  // at epoch 1
  kPutNew,  // at epoch 2
  kTouchOld,
  kTouchNew,
  kRemoveOld,  // if untouched at epoch 1
  kRemoveNew,
  kRemoveAll,  // at epoch 3
};
constexpr int kStepCount = 7;

// What an engine must answer to a step; `value` tells the puts apart.
class ObjectModel {
 public:
  string Run(Step step, string_view value) {
    switch (step) {
      case Step::kPutOld:
        return Put(value, 1);
      case Step::kPutNew:
        return Put(value, 2);
      case Step::kTouchOld:
        return Touch(1);
      case Step::kTouchNew:
        return Touch(2);
      case Step::kRemoveOld:
        return Remove(1);
      case Step::kRemoveNew:
        return Remove(2);
      case Step::kRemoveAll:
        return Remove(3);
    }
    return "";
  }
  string State() const {
    return value_ ? *value_ + "@" + std::to_string(epoch_) : "none";
  }

 private:
  string Put(string_view value, Epoch epoch) {
    epoch_ = value_ ? std::max(epoch_, epoch) : epoch;
    if (!value_) value_ = value;
    return "put";
  }
  string Touch(Epoch epoch) {
    if (!value_) return "touched 0";
    epoch_ = std::max(epoch_, epoch);
    return "touched 1";
  }
  string Remove(Epoch epoch) {
    if (!value_ || epoch_ >= epoch) return "removed 0";
    value_.reset();
    return "removed 1";
  }

  std::optional<string> value_;
  Epoch epoch_ = 0;
};

string PutStep(Engine* engine, string_view key, string_view value,
               Epoch epoch) {
  const ObjectPut put{ObjectSpace::kTail, key, AsBytes(value)};
  return engine->Put(std::span(&put, 1), epoch, Durability::kWritten).ok()
             ? "put"
             : "failed";
}

string TouchStep(Engine* engine, string_view key, Epoch epoch) {
  const ObjectRef ref{ObjectSpace::kTail, key};
  std::vector<bool> present;
  if (!engine->Touch(std::span(&ref, 1), epoch, &present).ok()) return "failed";
  return present[0] ? "touched 1" : "touched 0";
}

string RemoveStep(Engine* engine, string_view key, Epoch epoch) {
  const ObjectRef ref{ObjectSpace::kTail, key};
  const auto removed = engine->RemoveIfUntouched(std::span(&ref, 1), epoch);
  return removed.ok() ? "removed " + std::to_string(*removed) : "failed";
}

string RunStep(Engine* engine, Step step, string_view key, string_view value) {
  switch (step) {
    case Step::kPutOld:
      return PutStep(engine, key, value, 1);
    case Step::kPutNew:
      return PutStep(engine, key, value, 2);
    case Step::kTouchOld:
      return TouchStep(engine, key, 1);
    case Step::kTouchNew:
      return TouchStep(engine, key, 2);
    case Step::kRemoveOld:
      return RemoveStep(engine, key, 1);
    case Step::kRemoveNew:
      return RemoveStep(engine, key, 2);
    case Step::kRemoveAll:
      return RemoveStep(engine, key, 3);
  }
  return "";
}

// The object as a listing, a get and an exists show it, which must agree.
string StateOf(Engine* engine, string_view key) {
  const ObjectRef ref{ObjectSpace::kTail, key};
  std::vector<ObjectStore::Listed> listed;
  std::vector<bool> present;
  const auto got = engine->Get(ref);
  if (!engine->List(ref.space, key, "", 1, &listed).ok()) return "list failed";
  if (!engine->Exists(std::span(&ref, 1), &present).ok()) return "exists?";
  if (got.ok() != present[0]) return "get and exists differ";
  if (got.ok() != (listed.size() == 1)) return "get and list differ";
  if (!got.ok()) return "none";
  if (listed[0].bytes != got->size()) return "list has another size";
  return string(AsText(got->view())) + "@" + std::to_string(listed[0].epoch);
}

}  // namespace

TEST_P(EngineConformance, EveryProgramOfFourStepsOverTwoHandles) {
  constexpr int kLength = 4;
  int programs = 1;
  for (int i = 0; i < kLength; ++i) programs *= kStepCount;
  Engine* const handles[] = {engine_, other_};
  // The handles of the first and the last step are each other's mirror image:
  // which of the two is first makes no difference.
  for (int program = 0; program < programs; ++program) {
    for (int assignment = 0; assignment < 1 << (kLength - 1); ++assignment) {
      const string key =
          std::to_string(program) + "/" + std::to_string(assignment) + "/";
      ObjectModel model;
      int rest = program;
      for (int i = 0; i < kLength; ++i, rest /= kStepCount) {
        const Step step = static_cast<Step>(rest % kStepCount);
        const string value = "value " + string(i, '+');
        Engine* handle = handles[(assignment >> i) & 1];
        ASSERT_EQ(RunStep(handle, step, key, value), model.Run(step, value))
            << "program " << key << " step " << i;
      }
      ASSERT_EQ(StateOf(engine_, key), model.State()) << "program " << key;
    }
  }
}

// Each handle reads, then swaps or removes what it read: all orders.
TEST_P(EngineConformance, EveryOrderOfTwoReadersThatSwap) {
  Engine* const handles[] = {engine_, other_};
  // Each handle's script is read, change, read, change; bit i of `order`
  // says whose turn it is; `kinds` says which changes are removals.
  for (int order = 0; order < 256; ++order) {
    if (__builtin_popcount(order) != 4) continue;
    for (int kinds = 0; kinds < 16; ++kinds) {
      const string key = std::to_string(order) + "/" + std::to_string(kinds);
      HeadVersion current = 0;
      HeadVersion known[2] = {0, 0};
      int done[2] = {0, 0};
      for (int i = 0; i < 8; ++i) {
        const int who = (order >> i) & 1;
        Engine* handle = handles[who];
        const int step = done[who]++;
        if (step % 2 == 0) {
          const auto head = handle->GetHead(HeadSpace::kSession, key);
          known[who] = head.ok() ? head->version : 0;
          ASSERT_EQ(known[who], current);
          continue;
        }
        const bool wins = known[who] == current;
        const bool removes = (kinds >> (2 * who + step / 2)) & 1;
        if (removes) {
          const Status status = handle->RemoveHead(
              HeadSpace::kSession, key, known[who], Durability::kWritten);
          ASSERT_EQ(status.ok(), wins) << key << " " << status.ToString();
          if (wins) current = 0;
        } else {
          const auto swapped =
              handle->CompareAndSwap(HeadSpace::kSession, key, known[who],
                                     AsBytes("x"), Durability::kWritten);
          ASSERT_EQ(swapped.ok(), wins) << key;
          if (wins) current = *swapped;
        }
      }
    }
  }
}

// --- Threads. ---

namespace {

void RunThreads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_P(EngineConformance, ConcurrentSwapsLoseNoIncrement) {
  constexpr int kThreads = 8;
  constexpr int kIncrements = 40;
  std::set<HeadVersion> versions[kThreads];
  RunThreads(kThreads, [&](int id) {
    Engine* handle = id % 2 == 0 ? engine_ : other_;
    for (int done = 0; done < kIncrements;) {
      const auto head = handle->GetHead(HeadSpace::kMeta, "counter");
      uint64_t count = 0;
      if (head.ok()) count = LoadLe<uint64_t>(head->value.view().data());
      uint8_t next[8];
      StoreLe<uint64_t>(next, count + 1);
      const auto swapped = handle->CompareAndSwap(
          HeadSpace::kMeta, "counter", head.ok() ? head->version : 0, next,
          done % 8 == 0 ? Durability::kSynced : Durability::kWritten);
      if (!swapped.ok()) {
        EXPECT_TRUE(swapped.status().Is(StatusCode::kFailedPrecondition));
        continue;
      }
      versions[id].insert(*swapped);
      ++done;
    }
  });
  const auto head = engine_->GetHead(HeadSpace::kMeta, "counter");
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(LoadLe<uint64_t>(head->value.view().data()),
            uint64_t{kThreads} * kIncrements);
  std::set<HeadVersion> all;
  for (const auto& some : versions) all.insert(some.begin(), some.end());
  EXPECT_EQ(all.size(), size_t{kThreads} * kIncrements);
}

TEST_P(EngineConformance, ConcurrentBatchesOfSwapsHaveOneWinnerARecord) {
  constexpr int kThreads = 6;
  constexpr int kRounds = 20;
  constexpr int kKeys = 40;
  std::vector<string> keys;
  for (int i = 0; i < kKeys; ++i) keys.push_back("key" + std::to_string(i));
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<int> wins = 0;
    RunThreads(kThreads, [&](int id) {
      // Each thread names the keys in an order of its own.
      std::vector<HeadStore::Swap> swaps;
      for (int i = 0; i < kKeys; ++i) {
        const string& key = keys[(i * (2 * id + 1) + id) % kKeys];
        swaps.push_back({HeadSpace::kRendition, key, 0, AsBytes(key)});
      }
      std::sort(swaps.begin(), swaps.end(), [&](const auto& a, const auto& b) {
        return id % 2 == 0 ? a.key < b.key : b.key < a.key;
      });
      const auto last = std::unique(
          swaps.begin(), swaps.end(),
          [](const auto& a, const auto& b) { return a.key == b.key; });
      swaps.erase(last, swaps.end());
      std::vector<Result<HeadVersion>> out;
      engine_->CompareAndSwapMany(swaps, Durability::kWritten, &out);
      for (const auto& result : out) wins += result.ok() ? 1 : 0;
    });
    std::vector<HeadStore::ListedHead> listed;
    ASSERT_TRUE(
        engine_->ListHeads(HeadSpace::kRendition, "", "", 1000, &listed).ok());
    EXPECT_EQ(wins, static_cast<int>(listed.size()));
    for (const auto& head : listed) {
      ASSERT_TRUE(engine_
                      ->RemoveHead(HeadSpace::kRendition, head.key,
                                   head.record.version, Durability::kWritten)
                      .ok());
    }
  }
}

TEST_P(EngineConformance, TouchOrRemovalWinsButNeverBoth) {
  constexpr int kKeys = 300;
  std::vector<string> keys;
  for (int i = 0; i < kKeys; ++i) keys.push_back("key" + std::to_string(i));
  for (const string& key : keys) Put(ObjectSpace::kFrameNear, key, key, 1);
  std::vector<int> touched(kKeys), removed(kKeys);
  RunThreads(2, [&](int id) {
    for (int i = 0; i < kKeys; ++i) {
      const ObjectRef ref{ObjectSpace::kFrameNear, keys[i]};
      if (id == 0) {
        std::vector<bool> present;
        ASSERT_TRUE(engine_->Touch(std::span(&ref, 1), 2, &present).ok());
        touched[i] = present[0];
      } else {
        const auto count = other_->RemoveIfUntouched(std::span(&ref, 1), 2);
        ASSERT_TRUE(count.ok());
        removed[i] = static_cast<int>(*count);
      }
    }
  });
  for (int i = 0; i < kKeys; ++i) {
    EXPECT_EQ(touched[i] + removed[i], 1) << i;
    EXPECT_EQ(Present(ObjectSpace::kFrameNear, keys[i]), touched[i] == 1);
  }
}

TEST_P(EngineConformance, PutAtANewEpochOutlivesAConcurrentRemoval) {
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    const string key = "key" + std::to_string(round);
    Put(ObjectSpace::kTail, key, "value", 1);
    RunThreads(2, [&](int id) {
      if (id == 0) {
        const ObjectPut put{ObjectSpace::kTail, key, AsBytes("value")};
        ASSERT_TRUE(
            engine_->Put(std::span(&put, 1), 2, Durability::kWritten).ok());
      } else {
        const ObjectRef ref{ObjectSpace::kTail, key};
        ASSERT_TRUE(other_->RemoveIfUntouched(std::span(&ref, 1), 2).ok());
      }
    });
    EXPECT_EQ(Get(ObjectSpace::kTail, key), "value");
  }
}

TEST_P(EngineConformance, ConcurrentPutsOfOneKeyKeepOneValue) {
  constexpr int kThreads = 8;
  constexpr int kKeys = 50;
  std::vector<string> seen[kThreads];
  RunThreads(kThreads, [&](int id) {
    Engine* handle = id % 2 == 0 ? engine_ : other_;
    for (int i = 0; i < kKeys; ++i) {
      const string key = "key" + std::to_string(i);
      const string value = "from thread " + std::to_string(id);
      const ObjectPut put{ObjectSpace::kProfile, key, AsBytes(value)};
      ASSERT_TRUE(
          handle->Put(std::span(&put, 1), 1, Durability::kWritten).ok());
      const auto got = handle->Get({ObjectSpace::kProfile, key});
      ASSERT_TRUE(got.ok());
      seen[id].push_back(string(AsText(got->view())));
    }
  });
  for (int id = 1; id < kThreads; ++id) EXPECT_EQ(seen[id], seen[0]);
}

TEST_P(EngineConformance, OverlappingBatchesNeitherDeadlockNorMix) {
  constexpr int kThreads = 6;
  constexpr int kRounds = 60;
  constexpr int kKeys = 90;
  std::vector<string> keys;
  for (int i = 0; i < kKeys; ++i) keys.push_back("key" + std::to_string(i));
  RunThreads(kThreads, [&](int id) {
    for (int round = 0; round < kRounds; ++round) {
      std::vector<ObjectPut> puts;
      std::vector<ObjectRef> refs;
      for (int i = 0; i < kKeys / 2; ++i) {
        const string& key = keys[(i * 7 + id * 13 + round) % kKeys];
        puts.push_back({ObjectSpace::kSegment, key, AsBytes(key)});
        refs.push_back({ObjectSpace::kSegment, key});
      }
      if (id % 3 == 2) {
        ASSERT_TRUE(engine_->RemoveIfUntouched(refs, 2).ok());
      } else {
        ASSERT_TRUE(
            engine_->Put(puts, 1 + round % 2, Durability::kWritten).ok());
      }
    }
  });
  std::vector<ObjectStore::Listed> listed;
  ASSERT_TRUE(engine_->List(ObjectSpace::kSegment, "", "", 1000, &listed).ok());
  for (const auto& entry : listed) {
    EXPECT_EQ(Get(ObjectSpace::kSegment, entry.key), entry.key);
  }
}

}  // namespace reprise
