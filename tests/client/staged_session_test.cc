// Sessions in stages: saved once, restored at any of their tiers, sunk without
// being encoded again, exported and imported.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "store/catalogue.h"
#include "tests/client/staged_fixture.h"

namespace reprise {
namespace {

using StagedSessionTest = StagedFixture;

uint64_t BytesOf(Engine* engine, ObjectSpace space) {
  std::vector<ObjectStore::Listed> listed;
  EXPECT_TRUE(engine->List(space, "", "", 100'000, &listed).ok());
  uint64_t bytes = 0;
  for (const auto& object : listed) bytes += object.bytes;
  return bytes;
}

TEST_F(StagedSessionTest, FramesLieInTheSpacesOfTheirTiers) {
  const auto saved = Save();
  ASSERT_OK(saved);
  EXPECT_EQ(saved->new_segments, 3u);
  EXPECT_EQ(saved->raw_bytes, kStagedTokens * worker_.spec.token_bytes());
  uint64_t stored = 0;
  for (const ObjectSpace space :
       {ObjectSpace::kFrameNear, ObjectSpace::kFrameCoarse,
        ObjectSpace::kFrameArchive}) {
    std::vector<ObjectStore::Listed> listed;
    ASSERT_TRUE(daemon_.engine()->List(space, "", "", 1000, &listed).ok());
    EXPECT_EQ(listed.size(), 3u * 3);  // segments and layer groups
    stored += BytesOf(daemon_.engine(), space);
  }
  EXPECT_EQ(BytesOf(daemon_.engine(), ObjectSpace::kFrameExact), 0u);
  EXPECT_EQ(saved->frame_bytes, stored);
  // The same again sends nothing.
  const auto again = Save();
  ASSERT_OK(again);
  EXPECT_EQ(again->frame_bytes, 0u);
  EXPECT_EQ(again->version, saved->version);
}

TEST_F(StagedSessionTest, AllTiersComeOutOfOneSave) {
  ASSERT_OK(Save());
  uint64_t last_bytes = UINT64_MAX;
  for (const Tier tier : {Tier::kNear, Tier::kCoarse, Tier::kArchive}) {
    for (const bool token_major : {false, true}) {
      SCOPED_TRACE(TierName(tier));
      RestoreRequest request = Any(tier);
      request.token_major = token_major;
      const auto restored = Restore(request);
      ASSERT_OK(restored);
      EXPECT_EQ(restored->valid_end, kStagedTokens);
      EXPECT_EQ(restored->info.ranges, AllAt(tier));
      if (token_major) continue;
      EXPECT_LT(restored->info.bytes_to_move, last_bytes);
      last_bytes = restored->info.bytes_to_move;
      const auto match = worker_.client->Match(
          worker_.model, tokens_,
          {.lowest = Tier::kArchive, .highest = tier, .lease_ms = 1000});
      ASSERT_OK(match);
      EXPECT_EQ(match->ranges, AllAt(tier));
      EXPECT_EQ(match->bytes_to_move, last_bytes);
      RestoreRequest by_match = Any(tier);
      by_match.match = match->ticket;
      by_match.tokens = tokens_;
      const auto matched = Restore(by_match);
      ASSERT_OK(matched);
      EXPECT_EQ(matched->info.ranges, AllAt(tier));
    }
  }
}

TEST_F(StagedSessionTest, ATailStaysExact) {
  const std::vector<TokenId> longer = ToyTokens(2, 70);
  const auto saved = worker_.Save("tail", longer, {.codec = "staged"});
  ASSERT_OK(saved);
  TestWorker small(daemon_.Connect({.max_buffer_bytes = 1}), StagedModel());
  for (int way = 0; way < 8; ++way) {
    SCOPED_TRACE(way);
    const RestoreRequest request{.lowest = Tier::kNear,
                                 .token_major = (way & 1) != 0,
                                 .progressive = (way & 2) != 0};
    TestWorker& worker = (way & 4) != 0 ? small : worker_;
    const auto restored = worker.Restore("tail", request);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, 70u);
    EXPECT_EQ(restored->info.ranges,
              (std::vector<TierRange>{{0, 64, Tier::kNear, Tier::kExact},
                                      {64, 70, Tier::kExact, Tier::kExact}}));
  }
}

TEST_F(StagedSessionTest, AWorseTierThanWantedIsNotServed) {
  ASSERT_OK(Save("staged:tier=coarse"));
  RestoreRequest request;
  request.lowest = Tier::kNear;
  const auto near = Restore(request);
  ASSERT_OK(near);
  EXPECT_EQ(near->valid_end, 0u);
  const auto any = Restore(Any());
  ASSERT_OK(any);
  EXPECT_EQ(any->info.ranges, AllAt(Tier::kCoarse));
  request.highest = Tier::kCoarse;
  ExpectStatus(Restore(request).status(), StatusCode::kInvalidArgument,
               "restore: the highest tier is coarse");
  ExpectStatus(worker_.client
                   ->Match(worker_.model, tokens_,
                           {.lowest = Tier::kNear, .highest = Tier::kCoarse})
                   .status(),
               StatusCode::kInvalidArgument,
               "match: the highest tier is coarse");
}

TEST_F(StagedSessionTest, ABetterRenditionTakesItsPlace) {
  ASSERT_OK(Save("staged:tier=archive"));
  ASSERT_OK(Save("staged:tier=near"));
  const auto near = Restore(Any());
  ASSERT_OK(near);
  EXPECT_EQ(near->info.ranges, AllAt(Tier::kNear));
  ASSERT_OK(Save("exact"));
  const auto exact = Restore(Any());
  ASSERT_OK(exact);
  EXPECT_EQ(
      exact->info.ranges,
      (std::vector<TierRange>{{0, kStagedTokens, Tier::kExact, Tier::kExact}}));
  // What is there in a better form only comes in that; else what fits.
  const auto coarse = Restore(Any(Tier::kCoarse));
  ASSERT_OK(coarse);
  EXPECT_LE(coarse->info.ranges[0].tier, Tier::kArchive);
  EXPECT_GE(coarse->info.ranges[0].tier, Tier::kCoarse);
}

TEST_F(StagedSessionTest, TheLadderIsGoneDownWithoutEncoding) {
  ASSERT_OK(Save());
  const std::pair<Tier, Tier> steps[] = {{Tier::kNear, Tier::kCoarse},
                                         {Tier::kCoarse, Tier::kArchive}};
  auto details = worker_.client->Describe("s");
  ASSERT_OK(details);
  for (const auto& [from, to] : steps) {
    SCOPED_TRACE(TierName(to));
    std::vector<SinkOutcome> out;
    ASSERT_TRUE(daemon_.catalogue()
                    ->DeriveRenditions(Domain(), Segments(), {from, to}, &out)
                    .ok());
    ASSERT_TRUE(daemon_.catalogue()
                    ->DropRenditions(Domain(), Segments(), from, &out)
                    .ok());
    EXPECT_EQ(out, std::vector<SinkOutcome>(3, SinkOutcome::kDone));
    ASSERT_OK(worker_.client->RunCollection());
    const auto less = worker_.client->Describe("s");
    ASSERT_OK(less);
    EXPECT_LT(less->frame_bytes, details->frame_bytes);
    details = less;
    const auto restored = Restore(Any());
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, kStagedTokens);
    EXPECT_EQ(restored->info.ranges, AllAt(to));
    const auto fsck = worker_.client->RunFsck(true, nullptr);
    ASSERT_OK(fsck);
    EXPECT_NE(fsck->find("\"findings\":[]"), std::string::npos) << *fsck;
  }
}

TEST_F(StagedSessionTest, RanksSaveTheirShares) {
  SaveRequest request;
  request.model = worker_.model;
  request.tokens = tokens_;
  request.codec = "staged";
  CacheOptions options;
  options.token_count = kStagedTokens;
  std::vector<std::unique_ptr<KvCache>> ranks;
  for (uint16_t rank = 0; rank < 2; ++rank) {
    options.heads = {rank, 1, 2};
    ranks.push_back(std::make_unique<KvCache>(worker_.spec, options));
    ranks.back()->FillAll();
  }
  request.kv = ranks[0]->view();
  request.shards.push_back(ranks[1]->view());
  ASSERT_OK(worker_.client->Save("ranks", request));
  for (const bool progressive : {false, true}) {
    RestoreRequest near;
    near.lowest = Tier::kNear;
    near.progressive = progressive;
    const auto restored = worker_.Restore("ranks", near);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, kStagedTokens);
    EXPECT_EQ(restored->info.ranges, AllAt(Tier::kNear));
  }
}

TEST_F(StagedSessionTest, ATierWithoutAProfileSaysHowToMakeOne) {
  for (const char* tier : {"near", "coarse", "archive"}) {
    ExpectStatus(Save(tier).status(), StatusCode::kFailedPrecondition,
                 "no profile of codec klt for this model; `reprise calibrate "
                 "klt` makes one");
  }
}

// --- Frames that are lost. ---

TEST_F(StagedSessionTest, ALostRefinementCostsOnlyTheRefinement) {
  for (const uint8_t stage : {1, 2}) {
    SCOPED_TRACE(int{stage});
    const std::string name = "s" + std::to_string(stage);
    ASSERT_OK(Save("staged", name));
    // Of the first segment only, so that segments differ.
    RemoveFrame(0, stage);
    const Tier left = stage == 1 ? Tier::kArchive : Tier::kCoarse;
    const std::vector<TierRange> ranges = {
        {0, 64, left, Tier::kExact},
        {64, kStagedTokens, Tier::kNear, Tier::kExact}};
    for (const bool progressive : {false, true}) {
      RestoreRequest request = Any();
      request.progressive = progressive;
      const auto any = Restore(request, name);
      ASSERT_OK(any);
      EXPECT_EQ(any->valid_end, kStagedTokens);
      EXPECT_EQ(any->info.ranges, ranges);
      request.lowest = Tier::kNear;
      const auto near = Restore(request, name);
      ASSERT_OK(near);
      EXPECT_EQ(near->valid_end, 0u);
    }
    ASSERT_TRUE(worker_.client->Remove(name).ok());
    ASSERT_OK(worker_.client->RunCollection());
  }
}

TEST_F(StagedSessionTest, ALostBaseCostsTheSegment) {
  ASSERT_OK(Save());
  RemoveFrame(1, 0);
  for (const bool progressive : {false, true}) {
    RestoreRequest request = Any();
    request.progressive = progressive;
    const auto restored = Restore(request);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, 64u);
  }
}

// Damage that no checksum shows: the frame is well formed, but not what its
// codec would have written.
TEST_F(StagedSessionTest, ADamagedRefinementCostsOnlyTheRefinement) {
  ASSERT_OK(Save());
  const FrameRef coarse = FrameOf(1, 1);
  const std::string key =
      FrameKey(Domain(), Segments()[1], coarse.rendition, coarse.index);
  const ObjectRef ref{coarse.space, key};
  const auto stored = daemon_.engine()->Get(ref);
  ASSERT_OK(stored);
  FrameView view;
  ASSERT_TRUE(ParseFrame(stored->view(), &view).ok());
  FrameBuilder builder;
  builder.Start(view.info, static_cast<uint32_t>(view.sections.size()));
  for (const FrameSection& section : view.sections) {
    const ByteView bytes = view.Section(section);
    const MutableByteView out = builder.BeginSection(bytes.size());
    std::copy(bytes.begin(), bytes.end(), out.begin());
    if (&section == &view.sections.back()) out.back() |= 0x80;
    builder.EndSection(section, bytes.size());
  }
  const auto wrong = builder.Finish();
  ASSERT_OK(wrong);
  // The record must name it, else the daemon would not send it.
  const std::string record_key = DomainKey(Domain(), Segments()[1].view());
  const auto head =
      daemon_.engine()->GetHead(HeadSpace::kRendition, record_key);
  ASSERT_OK(head);
  RenditionSet set = *DecodeRenditionSet(head->value.view());
  for (FrameRef& frame : set.renditions[0].frames) {
    if (frame.index == coarse.index) frame.checksum = Checksum(*wrong);
  }
  ASSERT_TRUE(daemon_.engine()->RemoveIfUntouched({&ref, 1}, UINT64_MAX).ok());
  const ObjectPut put{ref.space, ref.key, *wrong};
  ASSERT_TRUE(daemon_.engine()->Put({&put, 1}, 1, Durability::kWritten).ok());
  ASSERT_TRUE(daemon_.engine()
                  ->CompareAndSwap(HeadSpace::kRendition, record_key,
                                   head->version, EncodeRenditionSet(set),
                                   Durability::kWritten)
                  .ok());
  for (const bool progressive : {false, true}) {
    SCOPED_TRACE(progressive);
    RestoreRequest request = Any();
    request.progressive = progressive;
    const auto restored = Restore(request);
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, kStagedTokens);
    EXPECT_EQ(restored->info.ranges[1],
              (TierRange{64, 128, Tier::kArchive, Tier::kExact}));
  }
}

// --- Memory. ---

TEST_F(StagedSessionTest, FramesThatCanNotBeKeptAreFetchedAgain) {
  ASSERT_OK(Save());
  auto client = daemon_.Connect({.codec_threads = 2, .max_buffer_bytes = 1});
  for (const bool progressive : {false, true}) {
    for (const bool token_major : {false, true}) {
      SCOPED_TRACE(progressive);
      SCOPED_TRACE(token_major);
      RestoreRequest request = Any();
      request.progressive = progressive;
      request.token_major = token_major;
      const auto restored = RestoreBy(client.get(), request);
      ASSERT_OK(restored);
      EXPECT_EQ(restored->valid_end, kStagedTokens);
      EXPECT_EQ(restored->info.ranges, AllAt(Tier::kNear));
    }
  }
  SaveRequest request;
  request.model = worker_.model;
  request.tokens = tokens_;
  request.kv = exact_.View();
  request.codec = "staged";
  auto longer = tokens_;
  longer[0] ^= 1;
  request.tokens = longer;
  ASSERT_OK(client->Save("other", request));
}

// --- Export and import. ---

TEST_F(StagedSessionTest, AnExportKeepsItsStages) {
  ASSERT_OK(Save());
  Bytes file;
  ASSERT_TRUE(worker_.client
                  ->Export("s",
                           [&](ByteView piece) {
                             file.insert(file.end(), piece.begin(),
                                         piece.end());
                             return Status();
                           })
                  .ok());
  TestDaemon other;
  auto client = other.Connect();
  size_t at = 0;
  const auto read = [&](MutableByteView out) -> Result<size_t> {
    const size_t count = std::min(out.size(), file.size() - at);
    std::copy_n(file.begin() + at, count, out.begin());
    at += count;
    return count;
  };
  ASSERT_OK(client->Import("copy", read));
  for (const ObjectSpace space :
       {ObjectSpace::kFrameNear, ObjectSpace::kFrameCoarse,
        ObjectSpace::kFrameArchive, ObjectSpace::kTailFrame}) {
    EXPECT_EQ(BytesOf(other.engine(), space), BytesOf(daemon_.engine(), space));
  }
  for (const Tier tier : {Tier::kNear, Tier::kCoarse, Tier::kArchive}) {
    const auto restored = RestoreBy(client.get(), Any(tier), "copy");
    ASSERT_OK(restored);
    EXPECT_EQ(restored->valid_end, kStagedTokens);
    EXPECT_EQ(restored->info.ranges, AllAt(tier));
  }
  // And one that has sunk.
  std::vector<SinkOutcome> out;
  ASSERT_TRUE(other.catalogue()
                  ->DeriveRenditions(Domain(), Segments(),
                                     {Tier::kNear, Tier::kCoarse}, &out)
                  .ok());
  ASSERT_TRUE(other.catalogue()
                  ->DropRenditions(Domain(), Segments(), Tier::kNear, &out)
                  .ok());
  Bytes sunk;
  ASSERT_TRUE(client
                  ->Export("copy",
                           [&](ByteView piece) {
                             sunk.insert(sunk.end(), piece.begin(),
                                         piece.end());
                             return Status();
                           })
                  .ok());
  EXPECT_LT(sunk.size(), file.size());
  file = sunk;
  at = 0;
  ASSERT_TRUE(client->Remove("copy").ok());
  TestDaemon third;
  auto last = third.Connect();
  ASSERT_OK(last->Import("again", read));
  const auto restored = RestoreBy(last.get(), Any(), "again");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->info.ranges, AllAt(Tier::kCoarse));
}

}  // namespace
}  // namespace reprise
