#include "store/fsck.h"

#include <gtest/gtest.h>

#include "tests/store/catalogue_fixture.h"

namespace reprise {
namespace {

class FsckTest : public CatalogueFixture {
 protected:
  FsckReport Check(FsckOptions options = {}) {
    const auto report = Fsck(catalogue_.get(), options);
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    return report.ok() ? *report : FsckReport();
  }

  std::string Key(const SegmentId& id) { return DomainKey(tenant_, id.view()); }
  // Replaces an object's bytes, or removes it when there are none.
  void Replace(ObjectSpace space, const std::string& key, ByteView bytes) {
    const ObjectRef ref{space, key};
    const auto removed = engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX);
    ASSERT_TRUE(removed.ok() && *removed == 1);
    if (bytes.empty()) return;
    const ObjectPut put{space, key, bytes};
    REPRISE_ASSERT_OK(engine_->Put({&put, 1}, 1, Durability::kWritten));
  }
  void FlipBit(ObjectSpace space, const std::string& key) {
    const auto bytes = engine_->Get({space, key});
    REPRISE_ASSERT_OK(bytes.status());
    Bytes changed(bytes->view().begin(), bytes->view().end());
    changed[changed.size() / 2] ^= 1;
    Replace(space, key, changed);
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

}  // namespace
}  // namespace reprise
