// Renditions that sink to a lower tier: derived from stages that are there,
// then dropped, beside fetches, collections and other daemons.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "store/collector.h"
#include "store/fsck.h"
#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"

namespace reprise {
namespace {

using Outcome = SinkOutcome;

class SinkTest : public CatalogueFixture {
 protected:
  SinkTest() { SaveStaged(); }

  void SaveStaged() {
    const auto saved = worker_.Save("a", tokens_, StagedToy());
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
  }
  // A store with the session in it, as new.
  void StartAgain() {
    store_ = MakeMemoryStore();
    engine_ = OpenMemoryEngine(store_);
    catalogue_ = OpenCatalogue(engine_.get());
    ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
    REPRISE_ASSERT_OK(worker.Save("a", tokens_, StagedToy()).status());
  }

  std::vector<Outcome> Derive(Tier from, Tier to) {
    std::vector<Outcome> out;
    const Status status =
        catalogue_->DeriveRenditions(tenant_, ids_, {from, to}, &out);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return out;
  }
  std::vector<Outcome> Drop(Tier tier) {
    std::vector<Outcome> out;
    const Status status = catalogue_->DropRenditions(tenant_, ids_, tier, &out);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return out;
  }
  std::vector<Outcome> Both(Outcome outcome) const {
    return std::vector<Outcome>(ids_.size(), outcome);
  }
  // Derives, then drops, with any catalogue.
  Status SinkWith(Catalogue* catalogue, Tier from, Tier to) const {
    std::vector<Outcome> out;
    REPRISE_RETURN_IF_ERROR(
        catalogue->DeriveRenditions(tenant_, ids_, {from, to}, &out));
    return catalogue->DropRenditions(tenant_, ids_, from, &out);
  }

  void Collect() {
    auto collector = MakeCollector(catalogue_.get(), {});
    while (collector->phase() != Collector::Phase::kDone) {
      Step(collector.get());
      if (HasFatalFailure()) return;
    }
  }
  void Step(Collector* collector) {
    if (collector->phase() == Collector::Phase::kWaitFirst ||
        collector->phase() == Collector::Phase::kWaitSecond) {
      clock_.AdvanceMs(collector->wait_until_ms() - clock_.MonotonicMs());
    }
    REPRISE_ASSERT_OK(collector->Step());
  }

  RenditionSet Stored(size_t segment) {
    const auto head = engine_->GetHead(
        HeadSpace::kRendition, DomainKey(tenant_, ids_[segment].view()));
    EXPECT_TRUE(head.ok());
    const auto set = DecodeRenditionSet(head->value.view());
    EXPECT_TRUE(set.ok());
    return *set;
  }
  std::vector<Tier> TiersOf(size_t segment) {
    std::vector<Tier> tiers;
    for (const Rendition& each : Stored(segment).renditions) {
      tiers.push_back(each.tier);
    }
    return tiers;
  }
  // Every frame's bytes by space and key.
  std::map<std::pair<ObjectSpace, std::string>, Bytes> Frames() {
    std::map<std::pair<ObjectSpace, std::string>, Bytes> frames;
    for (const ObjectSpace space : kAllObjectSpaces) {
      if (space < ObjectSpace::kTailFrame) continue;
      std::vector<ObjectStore::Listed> listed;
      EXPECT_TRUE(engine_->List(space, "", "", 100'000, &listed).ok());
      for (const auto& object : listed) {
        const auto bytes = engine_->Get({space, object.key});
        EXPECT_TRUE(bytes.ok());
        frames[{space, object.key}] =
            Bytes(bytes->view().begin(), bytes->view().end());
      }
    }
    return frames;
  }
  void RemoveFrame(size_t segment, uint8_t stage) {
    for (const Rendition& each : Stored(segment).renditions) {
      for (const FrameRef& frame : each.frames) {
        if (frame.stage != stage) continue;
        const std::string key =
            FrameKey(tenant_, ids_[segment], frame.rendition, frame.index);
        const ObjectRef ref{frame.space, key};
        EXPECT_TRUE(engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX).ok());
      }
    }
  }

  // Every frame of the plan can be read.
  Status ReadPlan(const FetchPlan& plan) {
    for (const FetchSegment& segment : plan.segments) {
      if (segment.rendition.tier == Tier::kTokens) {
        return DataLossError("a segment has no rendition");
      }
      std::vector<Result<PinnedBytes>> frames;
      catalogue_->GetFrames(plan.domain, segment.id, segment.rendition.frames,
                            &frames);
      for (const auto& frame : frames) REPRISE_RETURN_IF_ERROR(frame.status());
    }
    return Status();
  }
  FetchRequest Wanted(Tier highest = Tier::kExact) const {
    FetchRequest request;
    request.session = "a";
    request.lowest = Tier::kArchive;
    request.highest = highest;
    request.lease_ms = 1000;
    return request;
  }
  void ExpectIsClean(uint64_t unreferenced = 0) {
    FsckOptions options;
    options.read_frames = true;
    const auto report = Fsck(catalogue_.get(), options);
    REPRISE_ASSERT_OK(report.status());
    for (const auto& finding : report->findings) {
      ADD_FAILURE() << finding.what;
    }
    if (unreferenced != UINT64_MAX) {
      EXPECT_EQ(report->unreferenced, unreferenced);
    }
  }

  const std::vector<TokenId> tokens_ = ToyTokens(1, 128);
  const std::vector<SegmentId> ids_ = SegmentIdsOf(worker_.model(), tokens_);
};

TEST_F(SinkTest, TheLadderIsGoneDownByDroppingOnly) {
  auto before = Frames();
  EXPECT_EQ(before.size(), 6u);  // two segments of three stages
  const std::pair<Tier, Tier> steps[] = {{Tier::kNear, Tier::kCoarse},
                                         {Tier::kCoarse, Tier::kArchive}};
  for (const auto& [from, to] : steps) {
    SCOPED_TRACE(TierName(to));
    EXPECT_EQ(Derive(from, to), Both(Outcome::kDone));
    EXPECT_EQ(Frames(), before);
    EXPECT_EQ(Drop(from), Both(Outcome::kDone));
    Collect();
    const auto after = Frames();
    EXPECT_EQ(after.size(), before.size() - ids_.size());
    for (const auto& [key, bytes] : after) EXPECT_EQ(before.at(key), bytes);
    before = after;
    EXPECT_EQ(TiersOf(0), std::vector<Tier>{to});
    const auto plan = catalogue_->PlanFetch(tenant_, Wanted());
    REPRISE_ASSERT_OK(plan.status());
    EXPECT_EQ(plan->segments[0].rendition.tier, to);
    REPRISE_ASSERT_OK(ReadPlan(*plan));
    REPRISE_ASSERT_OK(catalogue_->ReleaseLease(plan->lease));
    ExpectIsClean();
  }
}

TEST_F(SinkTest, ADerivedRenditionNamesTheFramesOfTheOther) {
  ASSERT_EQ(Derive(Tier::kNear, Tier::kCoarse), Both(Outcome::kDone));
  const RenditionSet set = Stored(0);
  ASSERT_EQ(set.renditions.size(), 2u);
  const Rendition& near = set.renditions[0];
  const Rendition& coarse = set.renditions[1];
  EXPECT_NE(coarse.id, near.id);
  EXPECT_EQ(coarse.basis, near.basis);
  EXPECT_EQ(coarse.raw_bytes, near.raw_bytes);
  ASSERT_EQ(coarse.frames.size(), 2u);
  EXPECT_EQ(coarse.frames[0], near.frames[0]);
  EXPECT_EQ(coarse.frames[1], near.frames[1]);
  EXPECT_EQ(Derive(Tier::kNear, Tier::kCoarse), Both(Outcome::kKept));
  ExpectIsClean();
  // Shared frames are counted once.
  const auto size = catalogue_->MeasureSession(tenant_, "a");
  REPRISE_ASSERT_OK(size.status());
  uint64_t bytes = 0;
  for (const auto& [key, value] : Frames()) bytes += value.size();
  EXPECT_EQ(size->frame_bytes, bytes);
}

TEST_F(SinkTest, WhatCanNotBeDoneIsSaid) {
  EXPECT_EQ(Derive(Tier::kExact, Tier::kNear), Both(Outcome::kNoRendition));
  EXPECT_EQ(Drop(Tier::kNear), Both(Outcome::kLast));
  EXPECT_EQ(Drop(Tier::kCoarse), Both(Outcome::kNoRendition));
  std::vector<Outcome> out;
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      catalogue_->DeriveRenditions(
                          tenant_, ids_, {Tier::kCoarse, Tier::kNear}, &out));
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      catalogue_->DeriveRenditions(
                          tenant_, ids_, {Tier::kNear, Tier::kTokens}, &out));
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      catalogue_->DropRenditions(tenant_, ids_, Tier(), &out));
  const SegmentId nobody;
  REPRISE_ASSERT_OK(
      catalogue_->DropRenditions(tenant_, {&nobody, 1}, Tier::kNear, &out));
  EXPECT_EQ(out, std::vector<Outcome>{Outcome::kNoRendition});
  const auto plain = ToyTokens(2, 64);
  REPRISE_ASSERT_OK(
      worker_.Save("b", plain, {.seed = 3, .tier = Tier::kNear}).status());
  REPRISE_ASSERT_OK(catalogue_->DeriveRenditions(
      tenant_, SegmentIdsOf(worker_.model(), plain),
      {Tier::kNear, Tier::kArchive}, &out));
  EXPECT_EQ(out, std::vector<Outcome>{Outcome::kNotStaged});
}

TEST_F(SinkTest, FramesThatAreGoneAreNotReliedOn) {
  RemoveFrame(0, 2);
  // Its first stages are all that coarse needs.
  EXPECT_EQ(Derive(Tier::kNear, Tier::kCoarse), Both(Outcome::kDone));
  RemoveFrame(1, 0);
  EXPECT_EQ(Derive(Tier::kNear, Tier::kArchive),
            (std::vector<Outcome>{Outcome::kDone, Outcome::kMissingFrames}));
  EXPECT_EQ(Drop(Tier::kNear),
            (std::vector<Outcome>{Outcome::kDone, Outcome::kMissingFrames}));
}

TEST_F(SinkTest, AFetchUnderWayKeepsItsFrames) {
  FetchRequest request = Wanted();
  request.lease_ms = kMaxLeaseMs;
  const auto plan = catalogue_->PlanFetch(tenant_, request);
  REPRISE_ASSERT_OK(plan.status());
  REPRISE_ASSERT_OK(SinkWith(catalogue_.get(), Tier::kNear, Tier::kArchive));
  Collect();
  REPRISE_ASSERT_OK(ReadPlan(*plan));
  clock_.AdvanceMs(kMaxLeaseMs);
  Collect();
  REPRISE_EXPECT_CODE(kNotFound, ReadPlan(*plan));
  REPRISE_ASSERT_OK(ReadAll("a"));
  ExpectIsClean();
}

// Between each two of its calls of the engine the segments sink, and a whole
// collection runs.
TEST_F(SinkTest, AFetchThatBeginsWhileItSinksIsWholeOrRefused) {
  int fetched = 0;
  for (int at = 0;; ++at) {
    StartAgain();
    const auto handle = OpenMemoryEngine(store_);
    FailingEngine hooked(handle.get());
    const auto other = OpenCatalogue(&hooked);
    int call = 0;
    hooked.after = [&]() -> Status {
      if (call++ != at) return Status();
      REPRISE_RETURN_IF_ERROR(
          SinkWith(catalogue_.get(), Tier::kNear, Tier::kArchive));
      Collect();
      return Status();
    };
    FetchRequest request = Wanted();
    request.lease_ms = kMaxLeaseMs;
    const auto plan = other->PlanFetch(tenant_, request);
    hooked.after = nullptr;
    if (plan.ok()) {
      ++fetched;
      REPRISE_ASSERT_OK(ReadPlan(*plan));
    } else {
      REPRISE_EXPECT_CODE(kDeadlineExceeded, plan.status());
    }
    if (call <= at) break;
  }
  EXPECT_GE(fetched, 2);
}

TEST_F(SinkTest, ACutOffAtAnyPointLeavesAllWhole) {
  for (const bool is_done : {false, true}) {
    for (int at = 0;; ++at) {
      StartAgain();
      const auto handle = OpenMemoryEngine(store_);
      FailingEngine hooked(handle.get());
      const auto dying = OpenCatalogue(&hooked);
      int call = 0;
      const auto die = [&]() -> Status {
        return call++ < at ? Status() : UnavailableError("killed");
      };
      (is_done ? hooked.after : hooked.before) = die;
      const Status status = SinkWith(dying.get(), Tier::kNear, Tier::kCoarse);
      if (status.ok()) break;
      REPRISE_ASSERT_OK(ReadAll("a"));
      ExpectIsClean(UINT64_MAX);
      Collect();
      REPRISE_ASSERT_OK(ReadAll("a"));
      REPRISE_ASSERT_OK(SinkWith(catalogue_.get(), Tier::kNear, Tier::kCoarse));
      Collect();
      EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kCoarse});
      EXPECT_EQ(TiersOf(1), std::vector<Tier>{Tier::kCoarse});
      EXPECT_EQ(Frames().size(), 4u);
      ExpectIsClean();
      ASSERT_FALSE(HasFailure()) << "call " << at;
    }
  }
}

// Two daemons: at each call of one the other does something whole.
TEST_F(SinkTest, TwoHandlesMayRace) {
  ToyWorker* writer = nullptr;
  const std::vector<std::function<Status()>> others = {
      [&] { return SinkWith(catalogue_.get(), Tier::kNear, Tier::kCoarse); },
      [&] { return SinkWith(catalogue_.get(), Tier::kNear, Tier::kArchive); },
      [&] { return writer->Put(tokens_, {.seed = 5}); },
      [&] { return writer->Put(tokens_, StagedToy(6)); },
      [&] { return catalogue_->RemoveSession(tenant_, "b"); },
  };
  for (size_t other = 0; other < others.size(); ++other) {
    for (int at = 0;; ++at) {
      StartAgain();
      ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
      writer = &worker;
      REPRISE_ASSERT_OK(worker.Save("b", tokens_, StagedToy()).status());
      const auto handle = OpenMemoryEngine(store_);
      FailingEngine hooked(handle.get());
      const auto racing = OpenCatalogue(&hooked);
      int call = 0;
      Status of_other;
      hooked.before = [&] {
        if (call++ == at) of_other = others[other]();
        return Status();
      };
      REPRISE_ASSERT_OK(SinkWith(racing.get(), Tier::kNear, Tier::kCoarse));
      REPRISE_ASSERT_OK(of_other);
      REPRISE_ASSERT_OK(ReadAll("a"));
      Collect();
      REPRISE_ASSERT_OK(ReadAll("a"));
      ExpectIsClean();
      ASSERT_FALSE(HasFailure()) << "other " << other << " at call " << at;
      if (call <= at) break;
    }
  }
}

// A sink goes on at every pair of a collection's calls.
TEST_F(SinkTest, ItMayHappenInsideOfACollection) {
  int calls = 1;
  for (int first = 0; first < calls; ++first) {
    for (int second = first; second < calls; ++second) {
      StartAgain();
      // Something to collect: what a near rendition leaves.
      REPRISE_ASSERT_OK(SinkWith(catalogue_.get(), Tier::kNear, Tier::kCoarse));
      const auto handle = OpenMemoryEngine(store_);
      FailingEngine hooked(handle.get());
      const auto collecting = OpenCatalogue(&hooked);
      const auto collector = MakeCollector(collecting.get(), {});
      int call = 0;
      std::vector<Outcome> out;
      hooked.before = [&]() -> Status {
        const int now = call++;
        if (now == first) {
          REPRISE_RETURN_IF_ERROR(catalogue_->DeriveRenditions(
              tenant_, ids_, {Tier::kCoarse, Tier::kArchive}, &out));
        }
        if (now != second) return Status();
        return catalogue_->DropRenditions(tenant_, ids_, Tier::kCoarse, &out);
      };
      while (collector->phase() != Collector::Phase::kDone) {
        Step(collector.get());
        if (HasFatalFailure()) return;
      }
      calls = call;
      REPRISE_ASSERT_OK(ReadAll("a"));
      Collect();
      EXPECT_EQ(TiersOf(1), std::vector<Tier>{Tier::kArchive});
      EXPECT_EQ(Frames().size(), 2u);
      ExpectIsClean();
      ASSERT_FALSE(HasFailure()) << first << " and " << second;
    }
  }
}

// --- Dropping by id, down to the tokens. ---

TEST_F(SinkTest, WhatIsNamedGoesAndNothingElse) {
  ASSERT_EQ(Derive(Tier::kNear, Tier::kCoarse), Both(Outcome::kDone));
  const RenditionId near = Stored(0).renditions[0].id;
  const RenditionId coarse = Stored(0).renditions[1].id;
  std::vector<Outcome> out;
  const auto drop = [&](const RenditionDrop& named) {
    REPRISE_EXPECT_CODE(kOk, catalogue_->DropNamed(tenant_, {&named, 1}, &out));
    return out.at(0);
  };
  // Coarse is not enough; nobody has this id; then it is enough.
  EXPECT_EQ(drop({ids_[0], {near}, Tier::kNear}), Outcome::kMissingFrames);
  EXPECT_EQ(drop({ids_[0], {RenditionId()}, Tier::kTokens}),
            Outcome::kNoRendition);
  EXPECT_EQ(drop({ids_[0], {near, coarse}, Tier::kArchive}), Outcome::kLast);
  EXPECT_EQ(TiersOf(0), (std::vector<Tier>{Tier::kNear, Tier::kCoarse}));
  EXPECT_EQ(drop({ids_[0], {near}, Tier::kCoarse}), Outcome::kDone);
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kCoarse});
  // The other segment was not meant.
  EXPECT_EQ(TiersOf(1), (std::vector<Tier>{Tier::kNear, Tier::kCoarse}));
  const RenditionDrop bad{ids_[0], {coarse}, Tier()};
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      catalogue_->DropNamed(tenant_, {&bad, 1}, &out));
}

TEST_F(SinkTest, TokensAloneAreAStateThatCanBeMadeAgain) {
  std::vector<RenditionDrop> drops;
  for (size_t i = 0; i < ids_.size(); ++i) {
    drops.push_back({ids_[i], {Stored(i).renditions[0].id}, Tier::kTokens});
  }
  std::vector<Outcome> out;
  REPRISE_ASSERT_OK(catalogue_->DropNamed(tenant_, drops, &out));
  EXPECT_EQ(out, Both(Outcome::kDone));
  Collect();
  EXPECT_EQ(Frames().size(), 0u);
  ExpectIsClean();
  // The token ids are there, and nothing claims to be state.
  const auto plan = catalogue_->PlanFetch(tenant_, Wanted());
  REPRISE_ASSERT_OK(plan.status());
  ASSERT_EQ(plan->segments.size(), 2u);
  EXPECT_EQ(plan->segments[1].rendition.tier, Tier::kTokens);
  EXPECT_EQ(plan->segments[1].segment.tokens,
            std::vector<TokenId>(tokens_.begin() + 64, tokens_.end()));
  MatchRequest match;
  match.model = worker_.model();
  match.segments = ids_;
  match.lowest = Tier::kArchive;
  const auto matched = catalogue_->Match(tenant_, match);
  REPRISE_ASSERT_OK(matched.status());
  EXPECT_EQ(matched->matched.size(), 0u);
  const auto size = catalogue_->MeasureSession(tenant_, "a");
  REPRISE_ASSERT_OK(size.status());
  EXPECT_EQ(size->segments_by_tier[static_cast<size_t>(Tier::kTokens)], 2u);
  // Forks and rewinds need no state; a new session's commit does.
  REPRISE_ASSERT_OK(catalogue_->Fork(tenant_, "a", CommitId(), "b").status());
  const auto commit = worker_.Commit("c", tokens_);
  REPRISE_ASSERT_OK(commit.status());
  EXPECT_EQ(commit->missing, ids_);
  // A turn goes on top of it, and whoever computed it again may save it.
  auto longer = tokens_;
  const auto turn = ToyTokens(9, 64);
  longer.insert(longer.end(), turn.begin(), turn.end());
  REPRISE_ASSERT_OK(worker_.Put(longer, {.seed = 4}, 2));
  const auto appended = worker_.Commit("a", longer);
  REPRISE_ASSERT_OK(appended.status());
  EXPECT_EQ(appended->missing, std::vector<SegmentId>());
  REPRISE_ASSERT_OK(worker_.Put(tokens_, {.seed = 5}));
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kExact});
  REPRISE_ASSERT_OK(ReadAll("a"));
  REPRISE_ASSERT_OK(ReadAll("b"));
  ExpectIsClean();
}

// --- What was encoded anew. ---

class LoweredTest : public SinkTest {
 protected:
  // A plain rendition of the first segment, its frames put.
  LoweredItem Make(Tier tier, Tier basis, uint64_t seed = 77) {
    const SegmentRecord segment = ToySegments(worker_.model(), tokens_)[0];
    const ToyRendition toy = MakeToyRendition(
        worker_.spec(), segment, {.seed = seed, .tier = tier, .basis = basis});
    for (const Bytes& frame : toy.frames) {
      const FramePut put{toy.rendition.id, tier, frame};
      EXPECT_TRUE(catalogue_->PutFrames(tenant_, {&put, 1}).ok());
    }
    return {{segment, toy.rendition}, Stored(0).renditions[0].id};
  }
  PublishOutcome::Kind Publish(const LoweredItem& item) {
    std::vector<PublishOutcome> out;
    REPRISE_EXPECT_CODE(kOk,
                        catalogue_->PublishLowered(tenant_, {&item, 1}, &out));
    return out.at(0).kind;
  }
  Status Refusal(const LoweredItem& item) {
    std::vector<PublishOutcome> out;
    return catalogue_->PublishLowered(tenant_, {&item, 1}, &out);
  }
};

TEST_F(LoweredTest, ItLiesBesideItsSource) {
  EXPECT_EQ(Publish(Make(Tier::kCoarse, Tier::kNear)),
            PublishOutcome::Kind::kPublished);
  EXPECT_EQ(TiersOf(0), (std::vector<Tier>{Tier::kNear, Tier::kCoarse}));
  // Again, and another of the same worth: what is there stays.
  EXPECT_EQ(Publish(Make(Tier::kCoarse, Tier::kNear)),
            PublishOutcome::Kind::kPublished);
  EXPECT_EQ(Publish(Make(Tier::kCoarse, Tier::kNear, 78)),
            PublishOutcome::Kind::kKept);
  ExpectIsClean(1);
}

TEST_F(LoweredTest, NothingIsPromoted) {
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      Refusal(Make(Tier::kCoarse, Tier::kExact)));
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      Refusal(Make(Tier::kNear, Tier::kNear)));
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      Refusal(Make(Tier::kExact, Tier::kNear)));
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kNear});
}

TEST_F(LoweredTest, WithoutItsSourceOrItsFramesItIsNotPublished) {
  LoweredItem item = Make(Tier::kCoarse, Tier::kNear);
  const RenditionId source = std::exchange(item.source, RenditionId());
  EXPECT_EQ(Publish(item), PublishOutcome::Kind::kKept);
  item.source = source;
  const FrameRef& frame = item.item.rendition.frames[0];
  const std::string key =
      FrameKey(tenant_, ids_[0], frame.rendition, frame.index);
  const ObjectRef ref{frame.space, key};
  ASSERT_TRUE(engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX).ok());
  EXPECT_EQ(Publish(item), PublishOutcome::Kind::kMissingFrames);
  EXPECT_EQ(TiersOf(0), std::vector<Tier>{Tier::kNear});
}

// --- Reading no more than is wanted. ---

TEST_F(SinkTest, AFetchOfALowerTierReadsTheFirstStages) {
  const std::pair<Tier, size_t> tiers[] = {
      {Tier::kNear, 3}, {Tier::kCoarse, 2}, {Tier::kArchive, 1}};
  for (const auto& [tier, frames] : tiers) {
    SCOPED_TRACE(TierName(tier));
    const auto plan = catalogue_->PlanFetch(tenant_, Wanted(tier));
    REPRISE_ASSERT_OK(plan.status());
    EXPECT_EQ(plan->segments[1].rendition.tier, tier);
    EXPECT_EQ(plan->segments[1].rendition.frames.size(), frames);
    REPRISE_ASSERT_OK(ReadPlan(*plan));
    MatchRequest match;
    match.model = worker_.model();
    match.segments = ids_;
    match.lowest = Tier::kArchive;
    match.highest = tier;
    const auto matched = catalogue_->Match(tenant_, match);
    REPRISE_ASSERT_OK(matched.status());
    ASSERT_EQ(matched->matched.size(), 2u);
    EXPECT_EQ(matched->matched[0].tier, tier);
    uint64_t bytes = 0;
    for (const FetchSegment& segment : plan->segments) {
      bytes += segment.rendition.stored_bytes();
    }
    EXPECT_EQ(matched->bytes_to_move, bytes);
  }
  FetchRequest impossible = Wanted(Tier::kArchive);
  impossible.lowest = Tier::kNear;
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      catalogue_->PlanFetch(tenant_, impossible));
}

TEST_F(SinkTest, AFetchByIdsReadsUpToAFrameThatIsLost) {
  RemoveFrame(1, 1);
  FetchRequest request;
  request.segments = ids_;
  request.lowest = Tier::kArchive;
  const auto plan = catalogue_->PlanFetch(tenant_, request);
  REPRISE_ASSERT_OK(plan.status());
  EXPECT_EQ(plan->segments[0].rendition.tier, Tier::kNear);
  EXPECT_EQ(plan->segments[1].rendition.tier, Tier::kArchive);
  REPRISE_ASSERT_OK(ReadPlan(*plan));
}

}  // namespace
}  // namespace reprise
