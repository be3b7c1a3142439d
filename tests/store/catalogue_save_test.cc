// Putting, publishing and committing.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/store/catalogue_fixture.h"
#include "tests/support/failing_engine.h"

namespace reprise {
namespace {

using Kind = PublishOutcome::Kind;

class PutFramesTest : public CatalogueFixture {
 protected:
  ToyRendition Toy(const ToyOptions& options = {}) {
    const auto segments = ToySegments(worker_.model(), ToyTokens(1, 64));
    return MakeToyRendition(worker_.spec(), segments[0], options);
  }
  Status Put(const ToyRendition& toy, Tier tier = Tier::kExact) {
    const FramePut put{toy.rendition.id, tier, toy.frames[0]};
    return catalogue_->PutFrames(tenant_, {&put, 1});
  }
};

TEST_F(PutFramesTest, RefusesEveryFlippedByte) {
  ToyRendition toy = Toy();
  for (size_t i = 0; i < toy.frames[0].size(); ++i) {
    toy.frames[0][i] ^= 0x40;
    ASSERT_FALSE(Put(toy).ok()) << i;
    toy.frames[0][i] ^= 0x40;
  }
  REPRISE_EXPECT_CODE(kOk, Put(toy));
}

TEST_F(PutFramesTest, RefusesModelsThatAreNotStored) {
  const ModelSpec other = TinyModel(DType::kBf16);
  const ModelId id = ModelIdOf(other);
  const auto segments = ToySegments(id, ToyTokens(1, 64));
  const ToyRendition toy = MakeToyRendition(other, segments[0], {});
  REPRISE_EXPECT_CODE(kFailedPrecondition, Put(toy));
}

TEST_F(PutFramesTest, RefusesTiersWithoutFramesAndNoRendition) {
  ToyRendition toy = Toy();
  REPRISE_EXPECT_CODE(kInvalidArgument, Put(toy, Tier::kTokens));
  REPRISE_EXPECT_CODE(kInvalidArgument, Put(toy, static_cast<Tier>(0)));
  toy.rendition.id = RenditionId();
  REPRISE_EXPECT_CODE(kInvalidArgument, Put(toy));
}

TEST_F(PutFramesTest, StoresAllOrNothing) {
  const ToyRendition good = Toy({.seed = 1});
  ToyRendition bad = Toy({.seed = 2});
  bad.frames[0].back() ^= 1;
  const FramePut puts[] = {{good.rendition.id, Tier::kExact, good.frames[0]},
                           {bad.rendition.id, Tier::kExact, bad.frames[0]}};
  REPRISE_EXPECT_CODE(kDataLoss, catalogue_->PutFrames(tenant_, puts));
  std::vector<ObjectStore::Listed> listed;
  REPRISE_ASSERT_OK(
      engine_->List(ObjectSpace::kFrameExact, "", "", 10, &listed));
  EXPECT_TRUE(listed.empty());
}

class PublishTest : public CatalogueFixture {
 protected:
  PublishTest()
      : tokens_(ToyTokens(1, 100)),
        segments_(ToySegments(worker_.model(), tokens_)) {}

  // Frames put, and the item to publish.
  PublishItem Item(size_t index, const ToyOptions& options = {}) {
    const ToyRendition toy =
        MakeToyRendition(worker_.spec(), segments_[index], options);
    for (const Bytes& frame : toy.frames) {
      const FramePut put{toy.rendition.id, options.tier, frame};
      EXPECT_TRUE(catalogue_->PutFrames(tenant_, {&put, 1}).ok());
    }
    return {segments_[index], toy.rendition};
  }
  Status Publish(const PublishItem& item, Kind* kind = nullptr) {
    std::vector<PublishOutcome> outcomes;
    REPRISE_RETURN_IF_ERROR(
        catalogue_->Publish(tenant_, {&item, 1}, &outcomes));
    if (kind != nullptr) *kind = outcomes[0].kind;
    return Status();
  }
  Kind KindOf(const PublishItem& item) {
    Kind kind{};
    const Status status = Publish(item, &kind);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return kind;
  }
  RenditionSet Stored(size_t index) {
    const auto head =
        engine_->GetHead(HeadSpace::kRendition,
                         DomainKey(tenant_, segments_[index].Id().view()));
    if (!head.ok()) return {};
    const auto set = DecodeRenditionSet(head->value.view());
    EXPECT_TRUE(set.ok());
    return set.ok() ? *set : RenditionSet();
  }

  const std::vector<TokenId> tokens_;
  const std::vector<SegmentRecord> segments_;
};

TEST_F(PublishTest, MakesASegmentVisible) {
  const PublishItem item = Item(0, {.ranks = 2, .stages = 2});
  const SegmentId id = segments_[0].Id();
  MatchRequest match;
  match.model = worker_.model();
  match.segments = {&id, 1};
  EXPECT_TRUE(catalogue_->Match(tenant_, match)->matched.empty());
  EXPECT_EQ(Kind::kPublished, KindOf(item));
  const auto result = catalogue_->Match(tenant_, match);
  ASSERT_EQ(1u, result->matched.size());
  EXPECT_EQ(item.rendition.stored_bytes(), result->matched[0].stored_bytes);
  // Sent again after a lost answer, it is what is stored.
  EXPECT_EQ(Kind::kPublished, KindOf(item));
}

TEST_F(PublishTest, WorksOutWhatFollows) {
  PublishItem item = Item(0);
  item.rendition.raw_bytes = 12345;
  item.rendition.time_ms = 0;
  EXPECT_EQ(Kind::kPublished, KindOf(item));
  const Rendition stored = Stored(0).renditions[0];
  EXPECT_EQ(64 * worker_.spec().token_bytes(), stored.raw_bytes);
  EXPECT_EQ(clock_.WallMs(), stored.time_ms);
}

TEST_F(PublishTest, TakesFramesInAnyOrder) {
  PublishItem item = Item(0, {.ranks = 2, .stages = 2});
  std::swap(item.rendition.frames[0], item.rendition.frames[3]);
  EXPECT_EQ(Kind::kPublished, KindOf(item));
  EXPECT_EQ(0u, Stored(0).renditions[0].frames[0].index);
}

TEST_F(PublishTest, NamesMissingFramesByPosition) {
  PublishItem item = Item(0, {.ranks = 2, .stages = 2});
  const FrameRef& gone = item.rendition.frames[2];
  const std::string key =
      FrameKey(tenant_, segments_[0].Id(), gone.rendition, gone.index);
  const ObjectRef ref{gone.space, key};
  REPRISE_ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, 1000).status());
  std::swap(item.rendition.frames[2], item.rendition.frames[0]);
  std::vector<PublishOutcome> outcomes;
  REPRISE_ASSERT_OK(catalogue_->Publish(tenant_, {&item, 1}, &outcomes));
  EXPECT_EQ(Kind::kMissingFrames, outcomes[0].kind);
  EXPECT_EQ(std::vector<uint32_t>{0}, outcomes[0].missing);
  EXPECT_TRUE(Stored(0).renditions.empty());
}

TEST_F(PublishTest, ADamagedFrameIsMissingAndCanBePutAgain) {
  const PublishItem item = Item(0);
  const FrameRef& frame = item.rendition.frames[0];
  const std::string key =
      FrameKey(tenant_, segments_[0].Id(), frame.rendition, frame.index);
  const ObjectRef ref{frame.space, key};
  REPRISE_ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, 1000).status());
  const Bytes junk(frame.bytes, 5);
  const ObjectPut put{frame.space, key, junk};
  REPRISE_ASSERT_OK(engine_->Put({&put, 1}, 1, Durability::kWritten));
  // A daemon that did not take the frame itself must look at it.
  catalogue_ = OpenCatalogue(engine_.get());
  EXPECT_EQ(Kind::kMissingFrames, KindOf(item));
  EXPECT_EQ(Kind::kPublished, KindOf(Item(0)));
}

TEST_F(PublishTest, RefusesWhatStoredFramesAreNot) {
  const PublishItem good = Item(0, {.ranks = 2});
  for (const auto& change : std::vector<std::function<void(FrameRef*)>>{
           [](FrameRef* f) { ++f->bytes; },
           [](FrameRef* f) { ++f->checksum; },
           [](FrameRef* f) {
             f->heads = {0, 2, 4};
           },
       }) {
    PublishItem item = good;
    change(&item.rendition.frames[0]);
    REPRISE_EXPECT_CODE(kInvalidArgument, Publish(item));
  }
  EXPECT_TRUE(Stored(0).renditions.empty());
}

TEST_F(PublishTest, RefusesIncompleteAndMisplacedRenditions) {
  const PublishItem good = Item(0, {.ranks = 2});
  for (const auto& change : std::vector<std::function<void(PublishItem*)>>{
           [](PublishItem* i) { i->rendition.frames.pop_back(); },
           [](PublishItem* i) { i->rendition.frames.clear(); },
           [](PublishItem* i) {
             i->rendition.frames.push_back(i->rendition.frames[0]);
           },
           [](PublishItem* i) { i->rendition.tier = Tier::kTokens; },
           [](PublishItem* i) { i->rendition.basis = static_cast<Tier>(0); },
           [](PublishItem* i) {
             i->rendition.frames[0].space = ObjectSpace::kTailFrame;
           },
           [](PublishItem* i) { i->rendition.tier = Tier::kNear; },
           [](PublishItem* i) { i->segment.tokens.clear(); },
           [](PublishItem* i) { i->segment.tokens.resize(65); },
           [](PublishItem* i) { i->segment.first_token = 1; },
           [](PublishItem* i) { i->segment.first_token = 64; },
           [](PublishItem* i) { i->segment.first_token = 5 << 20; },
       }) {
    PublishItem item = good;
    change(&item);
    REPRISE_EXPECT_CODE(kInvalidArgument, Publish(item));
  }
  const PublishItem twice[] = {good, good};
  std::vector<PublishOutcome> outcomes;
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      catalogue_->Publish(tenant_, twice, &outcomes));
}

TEST_F(PublishTest, WantsTheParentFirst) {
  const PublishItem tail = Item(1);
  REPRISE_EXPECT_CODE(kFailedPrecondition, Publish(tail));
  // Together they may come in any order.
  const PublishItem both[] = {tail, Item(0)};
  std::vector<PublishOutcome> outcomes;
  REPRISE_ASSERT_OK(catalogue_->Publish(tenant_, both, &outcomes));
  EXPECT_EQ(Kind::kPublished, outcomes[0].kind);
  EXPECT_EQ(Kind::kPublished, outcomes[1].kind);
}

TEST_F(PublishTest, RefusesAFirstTokenThatDoesNotFollowTheParent) {
  REPRISE_ASSERT_OK(Publish(Item(0)));
  SegmentRecord far = segments_[1];
  far.first_token = 128;
  const ToyRendition toy = MakeToyRendition(worker_.spec(), far, {});
  const FramePut put{toy.rendition.id, Tier::kExact, toy.frames[0]};
  REPRISE_ASSERT_OK(catalogue_->PutFrames(tenant_, {&put, 1}));
  REPRISE_EXPECT_CODE(kInvalidArgument, Publish({far, toy.rendition}));
}

TEST_F(PublishTest, ABetterBasisReplacesAWorseOneNeverTheReverse) {
  const auto item = [&](uint64_t seed, Tier basis) {
    return Item(0, {.seed = seed, .basis = basis});
  };
  EXPECT_EQ(Kind::kPublished, KindOf(item(1, Tier::kCoarse)));
  EXPECT_EQ(Tier::kCoarse, Stored(0).renditions[0].effective());
  EXPECT_EQ(Kind::kPublished, KindOf(item(2, Tier::kNear)));
  EXPECT_EQ(Kind::kKept, KindOf(item(3, Tier::kNear)));
  EXPECT_EQ(Kind::kKept, KindOf(item(4, Tier::kCoarse)));
  EXPECT_EQ(Kind::kPublished, KindOf(item(5, Tier::kExact)));
  EXPECT_EQ(Kind::kKept, KindOf(item(6, Tier::kNear)));
  ASSERT_EQ(1u, Stored(0).renditions.size());
  EXPECT_EQ(Tier::kExact, Stored(0).renditions[0].effective());
}

TEST_F(PublishTest, ABetterTierStandsBesideAWorseOne) {
  EXPECT_EQ(Kind::kPublished,
            KindOf(Item(0, {.seed = 1, .tier = Tier::kNear})));
  EXPECT_EQ(Kind::kPublished,
            KindOf(Item(0, {.seed = 2, .basis = Tier::kNear})));
  EXPECT_EQ(Kind::kPublished, KindOf(Item(0, {.seed = 3})));
  ASSERT_EQ(2u, Stored(0).renditions.size());
  EXPECT_EQ(Tier::kExact, Stored(0).renditions[0].tier);
  EXPECT_EQ(Tier::kExact, Stored(0).renditions[0].basis);
  EXPECT_EQ(Tier::kNear, Stored(0).renditions[1].tier);
  // What exact on an exact basis covers adds nothing.
  EXPECT_EQ(Kind::kKept, KindOf(Item(0, {.seed = 4, .tier = Tier::kCoarse})));
}

TEST_F(PublishTest, ReplacesARenditionThatLostAFrame) {
  REPRISE_ASSERT_OK(Publish(Item(0, {.seed = 1})));
  const FrameRef frame = Stored(0).renditions[0].frames[0];
  const std::string key =
      FrameKey(tenant_, segments_[0].Id(), frame.rendition, frame.index);
  const ObjectRef ref{frame.space, key};
  REPRISE_ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, 1000).status());
  EXPECT_EQ(Kind::kPublished, KindOf(Item(0, {.seed = 2})));
  ASSERT_EQ(1u, Stored(0).renditions.size());
}

TEST_F(PublishTest, ReplacesARenditionThatWasFoundDamaged) {
  REPRISE_ASSERT_OK(Publish(Item(0, {.seed = 1})));
  const SegmentId id = segments_[0].Id();
  const FrameRef frame = Stored(0).renditions[0].frames[0];
  const std::string key = FrameKey(tenant_, id, frame.rendition, frame.index);
  const ObjectRef ref{frame.space, key};
  const auto bytes = engine_->Get(ref);
  Bytes damaged(bytes->view().begin(), bytes->view().end());
  damaged.back() ^= 1;
  REPRISE_ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, 1000).status());
  const ObjectPut put{frame.space, key, damaged};
  REPRISE_ASSERT_OK(engine_->Put({&put, 1}, 1, Durability::kWritten));
  REPRISE_EXPECT_CODE(kDataLoss, catalogue_->GetFrame(tenant_, id, frame));
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->GetFrame(tenant_, id, frame));
  EXPECT_EQ(Kind::kPublished, KindOf(Item(0, {.seed = 2})));
  const FrameRef mended = Stored(0).renditions[0].frames[0];
  REPRISE_EXPECT_CODE(kOk, catalogue_->GetFrame(tenant_, id, mended));
}

TEST_F(PublishTest, MendsADamagedSegmentAndRecord) {
  REPRISE_ASSERT_OK(Publish(Item(0, {.seed = 1})));
  const std::string key = DomainKey(tenant_, segments_[0].Id().view());
  const ObjectRef ref{ObjectSpace::kSegment, key};
  REPRISE_ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, 1000).status());
  const Bytes junk(50, 1);
  const ObjectPut put{ObjectSpace::kSegment, key, junk};
  REPRISE_ASSERT_OK(engine_->Put({&put, 1}, 1, Durability::kWritten));
  const auto head = engine_->GetHead(HeadSpace::kRendition, key);
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kRendition, key,
                                         head->version, junk,
                                         Durability::kWritten)
                        .status());
  EXPECT_EQ(Kind::kPublished, KindOf(Item(0, {.seed = 2})));
  const auto mended = engine_->Get(ref);
  REPRISE_ASSERT_OK(mended.status());
  EXPECT_EQ(segments_[0], *DecodeSegment(mended->view()));
  EXPECT_EQ(1u, Stored(0).renditions.size());
}

// --- Commit. ---

class CommitTest : public CatalogueFixture {
 protected:
  Result<CommitOutcome> Commit(const CommitRecord& record,
                               uint64_t incarnation = 0, uint64_t version = 0,
                               Catalogue* catalogue = nullptr) {
    const Bytes bytes = EncodeCommit(record);
    CommitRequest request;
    request.session = "chat";
    request.expected_incarnation = incarnation;
    request.expected_version = version;
    request.commit = bytes;
    if (catalogue == nullptr) catalogue = catalogue_.get();
    return catalogue->Commit(tenant_, request);
  }
  CommitRecord First(size_t count) {
    return ToyCommit(worker_.model(), std::span(tokens_).first(count), {});
  }
  CommitRecord Next(size_t count, const CommitId& parent, int64_t time_ms = 1) {
    return ToyCommit(worker_.model(), std::span(tokens_).first(count), parent,
                     time_ms);
  }

  const std::vector<TokenId> tokens_ = ToyTokens(1, 400);
};

TEST_F(CommitTest, MakesANewSessionWithLabels) {
  REPRISE_ASSERT_OK(worker_.Put(std::span(tokens_).first(100)));
  const Bytes bytes = EncodeCommit(First(100));
  CommitRequest request;
  request.session = "chat";
  request.commit = bytes;
  request.labels = {{"team", "red"}};
  const auto outcome = catalogue_->Commit(tenant_, request);
  REPRISE_ASSERT_OK(outcome.status());
  const SessionRecord session = Session("chat");
  EXPECT_EQ(outcome->commit, session.head);
  EXPECT_EQ(100u, session.token_count);
  EXPECT_EQ(worker_.model(), session.model);
  EXPECT_EQ(tenant_, session.domain);
  EXPECT_EQ(request.labels, session.labels);
  EXPECT_TRUE(session.recent.empty());
}

TEST_F(CommitTest, AppendsAndKeepsFormerHeads) {
  for (size_t i = 1; i <= 40; ++i) {
    REPRISE_ASSERT_OK(
        worker_.Save("chat", std::span(tokens_).first(i * 10)).status());
  }
  const SessionRecord session = Session("chat");
  EXPECT_EQ(40u, session.version);
  EXPECT_EQ(400u, session.token_count);
  EXPECT_EQ(kKeptCommits, session.recent.size());
  const auto head = catalogue_->GetCommit(tenant_, session.head);
  EXPECT_EQ(session.recent[0], head->parent);
  REPRISE_ASSERT_OK(ReadAll("chat"));
}

TEST_F(CommitTest, ListsWhatIsMissingAndSwingsNothing) {
  REPRISE_ASSERT_OK(worker_.Put(tokens_, {}, 0, 2));
  const auto outcome = Commit(First(200));
  REPRISE_ASSERT_OK(outcome.status());
  const CommitRecord record = First(200);
  EXPECT_EQ((std::vector<SegmentId>{record.segments[2], record.tail}),
            outcome->missing);
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->GetSession(tenant_, "chat"));
  REPRISE_ASSERT_OK(worker_.Put(std::span(tokens_).first(200), {}, 2));
  const auto again = Commit(First(200));
  REPRISE_ASSERT_OK(again.status());
  EXPECT_TRUE(again->missing.empty());
}

TEST_F(CommitTest, ASegmentThatLostAFrameIsMissing) {
  REPRISE_ASSERT_OK(worker_.Put(std::span(tokens_).first(64), {.ranks = 2}));
  std::vector<ObjectStore::Listed> listed;
  REPRISE_ASSERT_OK(
      engine_->List(ObjectSpace::kFrameExact, "", "", 10, &listed));
  const ObjectRef ref{ObjectSpace::kFrameExact, listed[1].key};
  REPRISE_ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, 1000).status());
  EXPECT_EQ(1u, Commit(First(64))->missing.size());
}

TEST_F(CommitTest, ARepeatedCommitSucceeds) {
  const auto first = worker_.Save("chat", std::span(tokens_).first(64));
  const auto again = Commit(First(64));
  REPRISE_ASSERT_OK(again.status());
  EXPECT_TRUE(again->repeated);
  EXPECT_EQ(first->commit, again->commit);
  EXPECT_EQ(first->version, again->version);
  // Also when others committed on top of it meanwhile.
  REPRISE_ASSERT_OK(
      worker_.Save("chat", std::span(tokens_).first(128)).status());
  const auto later = Commit(First(64));
  REPRISE_ASSERT_OK(later.status());
  EXPECT_TRUE(later->repeated);
  EXPECT_EQ(2u, later->version);
  // But not once the session was taken back to before it.
  const auto second = Session("chat");
  REPRISE_ASSERT_OK(catalogue_
                        ->Rewind(tenant_, "chat", second.incarnation,
                                 second.version, {.commit = first->commit})
                        .status());
  REPRISE_EXPECT_CODE(
      kFailedPrecondition,
      Commit(Next(128, first->commit), second.incarnation, second.version));
}

TEST_F(CommitTest, RefusesAHeadThatMoved) {
  const auto first = worker_.Save("chat", std::span(tokens_).first(64));
  REPRISE_ASSERT_OK(
      worker_.Save("chat", std::span(tokens_).first(128)).status());
  REPRISE_ASSERT_OK(worker_.Put(std::span(tokens_).first(192)));
  const auto late =
      Commit(Next(192, first->commit), first->incarnation, first->version);
  REPRISE_EXPECT_CODE(kFailedPrecondition, late);
  EXPECT_NE(std::string::npos, late.status().message().find("version 2"));
  EXPECT_NE(std::string::npos, late.status().message().find("version 1"));
  REPRISE_EXPECT_CODE(kFailedPrecondition,
                      Commit(Next(192, first->commit), first->incarnation, 2));
  REPRISE_EXPECT_CODE(kFailedPrecondition, Commit(First(192)));
  EXPECT_EQ(128u, Session("chat").token_count);
}

TEST_F(CommitTest, RefusesASessionThatIsGone) {
  REPRISE_ASSERT_OK(worker_.Put(std::span(tokens_).first(64)));
  REPRISE_EXPECT_CODE(kNotFound, Commit(First(64), 5, 1));
}

TEST_F(CommitTest, RefusesAnotherModel) {
  const auto first = worker_.Save("chat", std::span(tokens_).first(64));
  ToyWorker other(catalogue_.get(), tenant_, TinyModel(DType::kBf16));
  REPRISE_ASSERT_OK(other.Put(std::span(tokens_).first(64)));
  const CommitRecord record =
      ToyCommit(other.model(), std::span(tokens_).first(64), first->commit);
  REPRISE_EXPECT_CODE(kFailedPrecondition,
                      Commit(record, first->incarnation, first->version));
}

TEST_F(CommitTest, RefusesChainsThatDoNotHold) {
  REPRISE_ASSERT_OK(worker_.Put(tokens_));
  CommitRecord record = First(192);
  std::swap(record.segments[1], record.segments[2]);
  REPRISE_EXPECT_CODE(kInvalidArgument, Commit(record));
  // A tail that is longer than the commit says.
  record = First(400);
  record.token_count = 384 + 15;
  REPRISE_EXPECT_CODE(kInvalidArgument, Commit(record));
  // A cut that cuts nothing off.
  record = First(400);
  record.end = CommitEnd::kCut;
  REPRISE_EXPECT_CODE(kInvalidArgument, Commit(record));
  record.token_count = 384 + 15;
  REPRISE_EXPECT_CODE(kOk, Commit(record));
}

TEST_F(CommitTest, RefusesDamagedBytes) {
  REPRISE_ASSERT_OK(worker_.Put(std::span(tokens_).first(64)));
  Bytes bytes = EncodeCommit(First(64));
  bytes[50] ^= 1;
  CommitRequest request;
  request.session = "chat";
  request.commit = bytes;
  REPRISE_EXPECT_CODE(kDataLoss, catalogue_->Commit(tenant_, request));
}

TEST_F(CommitTest, NeverSwingsAfterItsDeadline) {
  FailingEngine slow(engine_.get());
  const auto catalogue = OpenCatalogue(&slow);
  REPRISE_ASSERT_OK(worker_.Put(std::span(tokens_).first(64)));
  slow.after = [&] {
    clock_.AdvanceMs(10'000);
    return Status();
  };
  REPRISE_EXPECT_CODE(kDeadlineExceeded,
                      Commit(First(64), 0, 0, catalogue.get()));
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->GetSession(tenant_, "chat"));
}

TEST_F(CommitTest, PrivateSessionsHaveADomainOfTheirOwn) {
  const DomainId domain = PrivateDomain(tenant_, "secret");
  ToyWorker worker(catalogue_.get(), domain, TinyModel());
  REPRISE_ASSERT_OK(worker.Put(std::span(tokens_).first(64)));
  const Bytes bytes = EncodeCommit(First(64));
  CommitRequest request;
  request.session = "secret";
  request.commit = bytes;
  request.private_domain = true;
  const auto outcome = catalogue_->Commit(tenant_, request);
  REPRISE_ASSERT_OK(outcome.status());
  EXPECT_TRUE(outcome->missing.empty());
  EXPECT_EQ(domain, Session("secret").domain);
  REPRISE_ASSERT_OK(ReadAll("secret"));
  // The tenant's other sessions do not see its segments.
  MatchRequest match;
  const auto ids = SegmentIdsOf(worker_.model(), std::span(tokens_).first(64));
  match.segments = ids;
  EXPECT_TRUE(catalogue_->Match(tenant_, match)->matched.empty());
}

TEST_F(CommitTest, OfTwoAtOnceOneWinsAndNothingIsLost) {
  for (int round = 0; round < 20; ++round) {
    const std::string name = "s" + std::to_string(round);
    REPRISE_ASSERT_OK(
        worker_.Save(name, std::span(tokens_).first(64)).status());
    const SessionRecord before = Session(name);
    const auto other = OpenMemoryEngine(store_);
    const auto second = OpenCatalogue(other.get());
    Catalogue* const catalogues[] = {catalogue_.get(), second.get()};
    Status statuses[2];
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        ToyWorker worker(catalogues[t], tenant_, TinyModel());
        const auto mine = std::span(tokens_).first(128 + 10 * t);
        statuses[t] = worker.Put(mine, {.seed = 50u + t});
        if (!statuses[t].ok()) return;
        const Bytes bytes =
            EncodeCommit(ToyCommit(worker.model(), mine, before.head, 1 + t));
        CommitRequest request;
        request.session = name;
        request.expected_incarnation = before.incarnation;
        request.expected_version = before.version;
        request.commit = bytes;
        const auto outcome = catalogues[t]->Commit(tenant_, request);
        statuses[t] = outcome.status();
        EXPECT_TRUE(!outcome.ok() || outcome->missing.empty());
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_NE(statuses[0].ok(), statuses[1].ok());
    const Status& lost = statuses[statuses[0].ok() ? 1 : 0];
    REPRISE_EXPECT_CODE(kFailedPrecondition, lost);
    EXPECT_EQ(2u, Session(name).version);
    REPRISE_ASSERT_OK(ReadAll(name));
  }
}

// --- Failures. ---

// Fails the N-th call of a save, before or after its effect, for all N: the
// store reopened has the old or the new head, whole, and a retry succeeds.
TEST_F(CommitTest, AFailureAtAnyCallLeavesTheOldOrTheNewHead) {
  for (const bool applied : {false, true}) {
    bool failed = true;
    for (int n = 0; failed; ++n) {
      ASSERT_LT(n, 100);
      store_ = MakeMemoryStore();
      engine_ = OpenMemoryEngine(store_);
      catalogue_ = OpenCatalogue(engine_.get());
      ToyWorker before(catalogue_.get(), tenant_, TinyModel());
      REPRISE_ASSERT_OK(
          before.Save("chat", std::span(tokens_).first(100)).status());
      const CommitId old_head = Session("chat").head;

      FailingEngine failing(engine_.get());
      const auto catalogue = OpenCatalogue(&failing);
      ToyWorker worker(catalogue.get(), tenant_, TinyModel());
      int calls = 0;
      failed = false;
      (applied ? failing.after : failing.before) = [&]() -> Status {
        if (calls++ != n) return Status();
        failed = true;
        return UnavailableError("test: disk is away");
      };
      const auto grown = std::span(tokens_).first(200);
      const Status status = worker.Save("chat", grown).status();
      EXPECT_TRUE(status.ok() || failed);

      catalogue_ = OpenCatalogue(engine_.get());
      const SessionRecord now = Session("chat");
      const bool is_old = now.head == old_head && now.token_count == 100;
      const bool is_new = now.token_count == 200;
      ASSERT_TRUE(is_old || is_new) << n;
      REPRISE_ASSERT_OK(ReadAll("chat"));
      ToyWorker after(catalogue_.get(), tenant_, TinyModel());
      REPRISE_ASSERT_OK(after.Save("chat", grown).status());
      EXPECT_EQ(200u, Session("chat").token_count);
      REPRISE_ASSERT_OK(ReadAll("chat"));
    }
  }
}

}  // namespace
}  // namespace reprise
