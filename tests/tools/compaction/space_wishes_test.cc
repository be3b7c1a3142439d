#include "tools/compaction/space_wishes.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "store/collector.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class SpaceWishesTest : public CatalogueFixture {
 protected:
  // Sessions a, b, ... each of two segments in stages, an hour apart.
  void SaveSome(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string name(1, static_cast<char>('a' + i));
      REPRISE_ASSERT_OK(StatusOf(
          worker_.Save(name, ToyTokens(1 + i, 128), StagedToy(1 + i))));
      clock_.AdvanceMs(kHourMs);
    }
  }
  uint64_t FrameBytes() {
    uint64_t bytes = 0;
    for (const ObjectSpace space : kAllObjectSpaces) {
      if (space < ObjectSpace::kTailFrame) continue;
      std::vector<ObjectStore::Listed> listed;
      EXPECT_TRUE(engine_->List(space, "", "", 100'000, &listed).ok());
      for (const auto& object : listed) bytes += object.bytes;
    }
    return bytes;
  }
  void Collect() {
    auto collector = MakeCollector(catalogue_.get(), {});
    while (collector->phase() != Collector::Phase::kDone) {
      if (collector->wait_until_ms() > clock_.MonotonicMs()) {
        clock_.AdvanceMs(collector->wait_until_ms() - clock_.MonotonicMs());
      }
      REPRISE_ASSERT_OK(collector->Step());
    }
  }

  // Over the high watermark by all that is there; `low_percent` of it stays.
  std::unique_ptr<SpaceWishes> Wishes(uint32_t low_percent,
                                      Catalogue* catalogue = nullptr) {
    SpaceWishes::Options options;
    options.used_bytes = FrameBytes();
    options.marks = {options.used_bytes, 95, low_percent};
    auto wishes = std::make_unique<SpaceWishes>(
        catalogue == nullptr ? catalogue_.get() : catalogue, &rules_,
        [](const DomainId&, const ModelId&, const Ladder&,
           Tier) -> Result<TierWay> {
          return FailedPreconditionError("no profile");
        },
        options);
    for (int i = 0; i < 1000 && !wishes->ready(); ++i) {
      (void)wishes->Prepare();
    }
    EXPECT_TRUE(wishes->ready());
    return wishes;
  }
  std::vector<SinkTask> TasksOf(SpaceWishes* wishes, uint32_t limit = 1) {
    std::vector<SinkTask> tasks;
    for (int i = 0; i < 1000; ++i) {
      const auto batch = wishes->Next(limit);
      if (!batch.ok()) continue;
      tasks.insert(tasks.end(), batch->tasks.begin(), batch->tasks.end());
      if (batch->is_last) return tasks;
    }
    ADD_FAILURE() << "there is no end";
    return tasks;
  }
  // "a>archive" for each two tasks of a session.
  std::string Short(const std::vector<SinkTask>& tasks) {
    std::string text;
    for (const SinkTask& task : tasks) {
      for (int i = 0; i < 26; ++i) {
        if (SegmentIdsOf(worker_.model(), ToyTokens(1 + i, 128))[0] !=
            task.segment) {
          continue;
        }
        text += std::string(1, static_cast<char>('a' + i)) + ">" +
                std::string(TierName(task.tiers[0])) + " ";
      }
    }
    return text;
  }

  PolicyRules rules_;
};

TEST_F(SpaceWishesTest, TheLeastValueSinksAsFarAsItsPolicyEverLetsIt) {
  SaveSome(4);
  const uint64_t before = FrameBytes();
  // A stage of the three is left of each that sinks: two free a third of all.
  auto wishes = Wishes(70);
  const std::vector<SinkTask> asked = TasksOf(wishes.get());
  EXPECT_EQ("a>archive b>archive ", Short(asked));
  EXPECT_EQ((std::vector<Tier>{Tier::kArchive, Tier::kCoarse, Tier::kNear}),
            asked[0].tiers);
  EXPECT_EQ(4u, wishes->total());
  EXPECT_TRUE(wishes->plan().is_enough);
  std::vector<SinkOutcome> out;
  for (const SinkTask& task : TasksOf(Wishes(70).get())) {
    const std::vector<SegmentId> ids = {task.segment};
    REPRISE_ASSERT_OK(catalogue_->DeriveRenditions(
        task.domain, ids, {Tier::kNear, task.tiers[0]}, &out));
    REPRISE_ASSERT_OK(
        catalogue_->DropRenditions(task.domain, ids, Tier::kNear, &out));
  }
  Collect();
  EXPECT_EQ(before - wishes->plan().freed_bytes, FrameBytes());
  EXPECT_LE(FrameBytes(), before * 70 / 100);
}

TEST_F(SpaceWishesTest, BelowTheHighWatermarkNothingIsAsked) {
  SaveSome(3);
  SpaceWishes::Options options;
  options.used_bytes = 90;
  options.marks = {100, 90, 50};
  SpaceWishes wishes(
      catalogue_.get(), &rules_,
      [](const DomainId&, const ModelId&, const Ladder&,
         Tier) -> Result<TierWay> { return FailedPreconditionError("none"); },
      options);
  while (!wishes.ready()) REPRISE_ASSERT_OK(wishes.Prepare());
  EXPECT_EQ(0u, wishes.total());
  const auto batch = wishes.Next(10);
  REPRISE_ASSERT_OK(batch.status());
  EXPECT_TRUE(batch->is_last);
  EXPECT_TRUE(batch->tasks.empty());
}

TEST_F(SpaceWishesTest, ThenTokensButNotAgainstAPolicy) {
  SaveSome(3);
  REPRISE_ASSERT_OK(StatusOf(
      catalogue_->SetPolicy(tenant_, "a", {.policy = "near 1d, coarse"})));
  EXPECT_EQ("a>coarse b>tokens c>tokens ", Short(TasksOf(Wishes(1).get())));
  EXPECT_FALSE(Wishes(1)->plan().is_enough);
}

TEST_F(SpaceWishesTest, WhatWasUsedOrChangedSinceIsLeftAlone) {
  SaveSome(5);
  const auto wishes = Wishes(1);
  catalogue_->MarkUsed(tenant_, "a");
  REPRISE_ASSERT_OK(catalogue_->Flush());
  REPRISE_ASSERT_OK(StatusOf(catalogue_->Pin(tenant_, "b", kForeverMs)));
  REPRISE_ASSERT_OK(StatusOf(
      catalogue_->SetPolicy(tenant_, "c", {.policy = "exact 1h, near"})));
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "d"));
  EXPECT_EQ("e>tokens ", Short(TasksOf(wishes.get())));
}

TEST_F(SpaceWishesTest, SharedSegmentsAreNoTasks) {
  SaveSome(2);
  auto tokens = ToyTokens(1, 64);
  tokens.resize(128, 9);
  REPRISE_ASSERT_OK(StatusOf(worker_.Save("branch", tokens, StagedToy(9))));
  clock_.AdvanceMs(kHourMs);
  const SegmentId shared = SegmentIdsOf(worker_.model(), tokens)[0];
  const std::vector<SinkTask> tasks = TasksOf(Wishes(1).get());
  EXPECT_EQ(4u, tasks.size());
  for (const SinkTask& task : tasks) EXPECT_NE(shared, task.segment);
}

TEST_F(SpaceWishesTest, WhatFailedMayBeTriedAgain) {
  SaveSome(4);
  const std::string expected = Short(TasksOf(Wishes(1).get()));
  FailingEngine hooked(engine_.get());
  const auto other = OpenCatalogue(&hooked);
  for (int at = 1;; ++at) {
    int calls = 0;
    bool has_failed = false;
    hooked.before = [&] {
      if (++calls != at) return Status();
      has_failed = true;
      return UnavailableError("down");
    };
    const auto wishes = Wishes(1, other.get());
    EXPECT_EQ(expected, Short(TasksOf(wishes.get(), 3))) << at;
    hooked.before = nullptr;
    if (!has_failed) break;
    ASSERT_LT(at, 100);
  }
}

}  // namespace
}  // namespace reprise
