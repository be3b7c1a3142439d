// Profiles that tiers lack: what is missing, what there is to train on, and
// that sessions sink once it is enough.
#include "tools/compaction/profile_maker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "tests/store/catalogue_fixture.h"
#include "tests/tools/compaction/coded_state.h"
#include "tools/compaction/compaction_run.h"

namespace reprise {
namespace {

constexpr uint64_t kEnoughMemory = 256ull << 20;

class ProfileMakerTest : public CatalogueFixture {
 protected:
  ProfileMakerTest() : coded_(catalogue_.get(), tenant_, TinyModel()) {
    rules_.policy = *ParsePolicy("exact 1h, near");  // by klt
  }

  void Save(const std::string& name, uint64_t seed, size_t tokens,
            const CodedOptions& options = {}) {
    REPRISE_ASSERT_OK(coded_.Save(name, ToyTokens(seed, tokens), options));
  }
  std::unique_ptr<ProfileMaker> Make(uint64_t memory = kEnoughMemory) {
    auto maker = std::make_unique<ProfileMaker>(
        catalogue_.get(), &rules_,
        ProfileMaker::Options{.max_memory_bytes = memory});
    REPRISE_EXPECT_CODE(kOk, maker->Run(stop_));
    return maker;
  }
  bool HasProfile(CodecId codec = CodecId::kKlt) {
    return catalogue_->FindProfile(tenant_, coded_.model(), codec).ok();
  }

  std::atomic<bool> stop_ = false;
  PolicyRules rules_;
  CodedWorker coded_;
};

TEST_F(ProfileMakerTest, WaitsForEnoughAndSaysHowMuch) {
  Save("a", 1, 130);
  Save("b", 2, 140);
  REPRISE_ASSERT_OK(
      catalogue_->Fork(tenant_, "a", CommitId(), "fork").status());
  const auto maker = Make();
  ASSERT_EQ(maker->needs().size(), 1u);
  const ProfileNeed& need = maker->needs()[0];
  EXPECT_EQ(need.sessions, 3u);
  EXPECT_EQ(need.has_tokens, 256u) << "what sessions share counts once";
  EXPECT_EQ(need.min_tokens, 1024u);
  EXPECT_FALSE(need.is_made);
  EXPECT_EQ(need.waits_for, "needs 1,024 tokens of exact state of model " +
                                coded_.model().ShortHex() +
                                " for codec klt, has 256");
  EXPECT_EQ(maker->made(), 0u);
  EXPECT_FALSE(HasProfile());
}

TEST_F(ProfileMakerTest, MadeOnceThereIsEnoughAndSessionsSink) {
  for (uint64_t s = 1; s <= 6; ++s) Save("s" + std::to_string(s), s, 64 * 3);
  clock_.AdvanceMs(2 * kHourMs);
  RunOptions options;
  options.job.has_store_alone = true;
  options.profile_memory_bytes = kEnoughMemory;
  RunHooks hooks;
  hooks.collect = [](std::atomic<bool>*) { return Status(); };
  CompactionRun run(catalogue_.get(), rules_, options, hooks);
  REPRISE_ASSERT_OK(run.Run());
  EXPECT_TRUE(HasProfile());
  EXPECT_EQ(run.Progress().profiles_made, 1u);
  EXPECT_EQ(run.Progress().profiles_wait, std::vector<std::string>());
  const auto read = coded_.ReadAll("s3");
  REPRISE_ASSERT_OK(read.status());
  EXPECT_EQ((*read)[0].rendition.tier, Tier::kNear);
  // What is there is not made again.
  EXPECT_EQ(Make()->needs().size(), 0u);
}

TEST_F(ProfileMakerTest, WithoutMemoryForItARunMakesNone) {
  for (uint64_t s = 1; s <= 6; ++s) Save("s" + std::to_string(s), s, 64 * 3);
  RunOptions options;
  options.job.has_store_alone = true;
  CompactionRun run(catalogue_.get(), rules_, options, {});
  REPRISE_ASSERT_OK(run.Run());
  EXPECT_FALSE(HasProfile());
  const auto maker = Make(1000);
  ASSERT_EQ(maker->needs().size(), 1u);
  EXPECT_NE(maker->needs()[0].waits_for.find("1000"), std::string::npos)
      << maker->needs()[0].waits_for;
  EXPECT_FALSE(HasProfile());
}

// Only exact state on an exact prefix tells what a model's state is like.
TEST_F(ProfileMakerTest, LossyStateIsNoData) {
  for (uint64_t s = 1; s <= 6; ++s) {
    Save("s" + std::to_string(s), s, 64 * 3, {.basis = Tier::kNear});
  }
  Save("lossy", 9, 64 * 3, {.codec = "tsc:bits=8"});
  Save("exact", 10, 64 * 3);
  const auto maker = Make();
  ASSERT_EQ(maker->needs().size(), 1u);
  EXPECT_EQ(maker->needs()[0].has_tokens, 192u);
}

// The first session alone would be enough: the last one counts all the same.
TEST_F(ProfileMakerTest, ItIsOfAllSessionsNotOfTheFirst) {
  const auto train = [&](uint64_t seed_of_last) {
    store_ = MakeMemoryStore();
    engine_ = OpenMemoryEngine(store_);
    catalogue_ = OpenCatalogue(engine_.get());
    CodedWorker coded(catalogue_.get(), tenant_, TinyModel());
    EXPECT_TRUE(coded.Save("a", ToyTokens(1, 64 * 70)).ok());
    EXPECT_TRUE(
        coded.Save("z", ToyTokens(2, 64 * 2), {.seed = seed_of_last}).ok());
    EXPECT_EQ(Make()->made(), 1u);
    const auto record =
        catalogue_->FindProfile(tenant_, coded.model(), CodecId::kKlt);
    EXPECT_TRUE(record.ok());
    return record.ok() ? record->profile.Hex() : std::string();
  };
  const std::string one = train(5);
  EXPECT_EQ(train(5), one);
  EXPECT_NE(train(6), one);
}

TEST_F(ProfileMakerTest, OnlyWhatPoliciesNameIsMissed) {
  Save("a", 1, 130);
  rules_.policy = *ParsePolicy("exact 1h, tokens");
  EXPECT_EQ(Make()->needs().size(), 0u);
  rules_.policy = *ParsePolicy("exact");
  REPRISE_ASSERT_OK(
      catalogue_
          ->SetPolicy(tenant_, "a", {.policy = "near 1h, coarse 2h, archive"})
          .status());
  ASSERT_EQ(Make()->needs().size(), 1u) << "one profile for three tiers";
  EXPECT_EQ(Make()->needs()[0].sessions, 1u);
}

TEST_F(ProfileMakerTest, StopsAndMakesNothing) {
  for (uint64_t s = 1; s <= 6; ++s) Save("s" + std::to_string(s), s, 64 * 3);
  stop_ = true;
  ProfileMaker maker(catalogue_.get(), &rules_, {});
  REPRISE_EXPECT_CODE(kUnavailable, maker.Run(stop_));
  EXPECT_FALSE(HasProfile());
}

}  // namespace
}  // namespace reprise
