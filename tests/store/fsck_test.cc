#include "store/fsck.h"

#include <gtest/gtest.h>

#include "tests/store/damage_fixture.h"

namespace reprise {
namespace {

class FsckTest : public DamageFixture {
 protected:
  FsckReport Check(FsckOptions options = {}) {
    const auto report = Fsck(catalogue_.get(), options);
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    return report.ok() ? *report : FsckReport();
  }

  std::string FirstFrameKey(ObjectSpace space) {
    std::vector<ObjectStore::Listed> listed;
    EXPECT_TRUE(engine_->List(space, "", "", 1, &listed).ok());
    return listed.empty() ? std::string() : listed[0].key;
  }

  const std::vector<TokenId> tokens_ = ToyTokens(1, 200);
};

TEST_F(FsckTest, FindsNothingInAGoodStore) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_, {.ranks = 2}).status());
  REPRISE_ASSERT_OK(worker_.Save("b", ToyTokens(2, 64)).status());
  uint64_t last = 0;
  FsckOptions options;
  options.progress = [&](uint64_t done, uint64_t) { last = done; };
  const FsckReport report = Check(options);
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(2u, report.sessions);
  EXPECT_EQ(2u, report.commits);
  EXPECT_EQ(5u, report.segments);
  EXPECT_EQ(5u, report.renditions);
  EXPECT_EQ(9u, report.frames);
  EXPECT_EQ(9u, last);
  EXPECT_GT(report.frame_bytes, 0u);
  EXPECT_EQ(0u, report.unreferenced);
}

TEST_F(FsckTest, CountsWhatNobodyRefersTo) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  REPRISE_ASSERT_OK(worker_.Put(ToyTokens(2, 64)));
  const FsckReport report = Check();
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(3u, report.unreferenced);  // segment, rendition record, frame
}

TEST_F(FsckTest, FindsADamagedFrameOnlyWhenItReadsThem) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  FlipBit(ObjectSpace::kTailFrame, FirstFrameKey(ObjectSpace::kTailFrame));
  FsckOptions options;
  options.read_frames = false;
  EXPECT_TRUE(Check(options).findings.empty());
  const FsckReport report = Check();
  ASSERT_EQ(1u, report.findings.size());
  EXPECT_EQ("a", report.findings[0].session);
  EXPECT_EQ(192u, report.findings[0].recompute_from_token);
}

TEST_F(FsckTest, FindsAMissingFrameWithoutReading) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  Replace(ObjectSpace::kTailFrame, FirstFrameKey(ObjectSpace::kTailFrame), {});
  FsckOptions options;
  options.read_frames = false;
  EXPECT_EQ(1u, Check(options).findings.size());
  EXPECT_EQ(1u, Check().findings.size());
}

TEST_F(FsckTest, FindsDamagedAndMissingSegments) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  FlipBit(ObjectSpace::kSegment, Key(ids[1]));
  Replace(ObjectSpace::kSegment, Key(ids[2]), {});
  const FsckReport report = Check();
  ASSERT_EQ(2u, report.findings.size());
  EXPECT_EQ(64u, report.findings[0].recompute_from_token);
  EXPECT_EQ(128u, report.findings[1].recompute_from_token);
}

TEST_F(FsckTest, FindsASegmentUnderAnotherKey) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const auto other = engine_->Get({ObjectSpace::kSegment, Key(ids[0])});
  REPRISE_ASSERT_OK(other.status());
  const Bytes bytes(other->view().begin(), other->view().end());
  Replace(ObjectSpace::kSegment, Key(ids[1]), bytes);
  EXPECT_EQ(1u, Check().findings.size());
}

TEST_F(FsckTest, FindsDamagedRenditionsAndCommits) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  REPRISE_ASSERT_OK(worker_.Save("b", ToyTokens(2, 64)).status());
  const std::string key = Key(SegmentIdsOf(worker_.model(), tokens_)[0]);
  const auto head = engine_->GetHead(HeadSpace::kRendition, key);
  REPRISE_ASSERT_OK(head.status());
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kRendition, key,
                                         head->version, Bytes(20, 1),
                                         Durability::kWritten)
                        .status());
  FlipBit(ObjectSpace::kCommit, DomainKey(tenant_, Session("b").head.view()));
  const FsckReport report = Check();
  ASSERT_EQ(2u, report.findings.size());
  EXPECT_EQ("a", report.findings[0].session);
  EXPECT_EQ("b", report.findings[1].session);
}

TEST_F(FsckTest, FindsADamagedSession) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  const std::string key = DomainKey(tenant_, AsBytes("a"));
  const auto head = engine_->GetHead(HeadSpace::kSession, key);
  REPRISE_ASSERT_OK(head.status());
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kSession, key,
                                         head->version, Bytes(20, 1),
                                         Durability::kWritten)
                        .status());
  const FsckReport report = Check();
  ASSERT_EQ(1u, report.findings.size());
  EXPECT_EQ("a", report.findings[0].session);
}

TEST_F(FsckTest, FindsADamagedProfile) {
  const Bytes profile(100, 3);
  const auto id = catalogue_->PutProfile(tenant_, worker_.model(),
                                         CodecId::kExact, profile, false);
  REPRISE_ASSERT_OK(id.status());
  EXPECT_TRUE(Check().findings.empty());
  FlipBit(ObjectSpace::kProfile, DomainKey(tenant_, id->view()));
  EXPECT_EQ(1u, Check().findings.size());
}

// --- Repair. ---

TEST_F(FsckTest, DryRunSaysWhatARepairWouldDoAndChangesNothing) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_, {.ranks = 2}).status());
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const FrameRef frame = FramesOf(ids[1])[1];
  Replace(frame.space, KeyOf(ids[1], frame), {});
  for (int run = 0; run < 2; ++run) {
    const FsckReport report = Check();
    ASSERT_EQ(1u, report.findings.size());
    EXPECT_EQ("frame", report.findings[0].kind);
    EXPECT_FALSE(report.findings[0].is_set_aside);
    ASSERT_EQ(1u, report.touched.size());
    EXPECT_EQ("a", report.touched[0].session);
    EXPECT_EQ(64u, report.touched[0].recompute_from_token);
    EXPECT_EQ(200u, report.touched[0].tokens);
    EXPECT_EQ(Tier::kTokens, report.touched[0].left);
  }
  EXPECT_EQ(2u, FramesOf(ids[1]).size());
}

TEST_F(FsckTest, RepairTakesOutWhatLostAFrameAndKeepsTheRest) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_, {.ranks = 2}).status());
  REPRISE_ASSERT_OK(worker_.Save("b", ToyTokens(2, 64)).status());
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const FrameRef frame = FramesOf(ids[1])[1];
  Replace(frame.space, KeyOf(ids[1], frame), {});
  const FsckReport report = Check({.repair = true});
  ASSERT_EQ(1u, report.findings.size());
  EXPECT_TRUE(report.findings[0].is_set_aside);
  ASSERT_EQ(1u, report.touched.size());
  EXPECT_EQ(64u, report.touched[0].recompute_from_token);
  EXPECT_TRUE(FramesOf(ids[1]).empty());
  EXPECT_EQ(2u, FramesOf(ids[0]).size());
  EXPECT_EQ(2u, FramesOf(ids[2]).size());
  EXPECT_EQ(64u, RestorableTokens("a"));
  // Consistent now; the session is named until it is saved again.
  const FsckReport after = Check();
  EXPECT_TRUE(after.findings.empty());
  ASSERT_EQ(1u, after.touched.size());
  EXPECT_EQ(64u, after.touched[0].recompute_from_token);
  REPRISE_ASSERT_OK(worker_.Save("a", ToyTokens(1, 210), {.seed = 7}).status());
  const FsckReport healed = Check();
  EXPECT_TRUE(healed.findings.empty());
  EXPECT_TRUE(healed.touched.empty());
  EXPECT_EQ(210u, RestorableTokens("a"));
}

TEST_F(FsckTest, RepairOfAStagedRenditionKeepsTheStagesThatAreWhole) {
  REPRISE_ASSERT_OK(worker_.Put(tokens_, StagedToy(), 0, 3));
  REPRISE_ASSERT_OK(
      worker_.Save("a", std::span(tokens_).first(192), StagedToy()).status());
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const std::vector<FrameRef> frames = FramesOf(ids[2]);
  ASSERT_EQ(2, frames.back().stage);
  Replace(frames.back().space, KeyOf(ids[2], frames.back()), {});
  const FsckReport dry = Check();
  ASSERT_EQ(1u, dry.touched.size());
  EXPECT_EQ(128u, dry.touched[0].recompute_from_token);
  EXPECT_EQ(Tier::kCoarse, dry.touched[0].left);
  const FsckReport report = Check({.repair = true});
  ASSERT_EQ(1u, report.touched.size());
  EXPECT_EQ(128u, report.touched[0].recompute_from_token);
  EXPECT_EQ(Tier::kCoarse, report.touched[0].left);
  EXPECT_EQ(128u, RestorableTokens("a", Tier::kNear));
  EXPECT_EQ(192u, RestorableTokens("a", Tier::kCoarse));
  EXPECT_TRUE(Check().findings.empty());
}

TEST_F(FsckTest, NamesSessionsWhoseCommitsAndSegmentsAreGone) {
  REPRISE_ASSERT_OK(worker_.Save("a", tokens_).status());
  REPRISE_ASSERT_OK(worker_.Save("b", ToyTokens(2, 130)).status());
  REPRISE_ASSERT_OK(worker_.Save("c", ToyTokens(3, 130)).status());
  Replace(ObjectSpace::kCommit, DomainKey(tenant_, Session("b").head.view()),
          {});
  Replace(ObjectSpace::kSegment,
          Key(SegmentIdsOf(worker_.model(), ToyTokens(3, 130))[1]), {});
  for (const bool repair : {false, true}) {
    const FsckReport report = Check({.repair = repair});
    ASSERT_EQ(2u, report.findings.size());
    EXPECT_EQ("commit", report.findings[0].kind);
    EXPECT_EQ("segment", report.findings[1].kind);
    ASSERT_EQ(2u, report.touched.size());
    EXPECT_EQ("b", report.touched[0].session);
    EXPECT_EQ(0u, report.touched[0].recompute_from_token);
    EXPECT_EQ("c", report.touched[1].session);
    EXPECT_EQ(64u, report.touched[1].recompute_from_token);
  }
  // Of the lost head nothing is known, but the name can be used again.
  EXPECT_EQ(0u, Session("b").token_count);
  REPRISE_ASSERT_OK(worker_.Save("b", ToyTokens(2, 130)).status());
  REPRISE_ASSERT_OK(worker_.Save("c", ToyTokens(3, 140)).status());
  EXPECT_EQ(130u, RestorableTokens("b"));
  EXPECT_EQ(140u, RestorableTokens("c"));
}

}  // namespace
}  // namespace reprise
