// Models, profiles, match, fetch, leases and sessions.
#include "store/catalogue.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/limits.h"
#include "tests/store/catalogue_fixture.h"

namespace reprise {
namespace {

class CatalogueTest : public CatalogueFixture {
 protected:
  const std::vector<TokenId> tokens_ = ToyTokens(1, 200);
};

// --- The store, models and profiles. ---

TEST_F(CatalogueTest, RefusesAStoreOfAnotherFormat) {
  const auto head = engine_->GetHead(HeadSpace::kMeta, kStoreKey);
  REPRISE_ASSERT_OK(head.status());
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kMeta, kStoreKey,
                                         head->version, EncodeStore({2, 0}),
                                         Durability::kWritten)
                        .status());
  REPRISE_EXPECT_CODE(kFailedPrecondition,
                      Catalogue::Open(engine_.get(), &clock_, {}));
}

TEST_F(CatalogueTest, OpensWhatOthersMade) {
  REPRISE_ASSERT_OK(worker_.Save("chat", tokens_).status());
  const auto handle = OpenMemoryEngine(store_);
  catalogue_ = OpenCatalogue(handle.get());
  REPRISE_ASSERT_OK(ReadAll("chat"));
}

TEST_F(CatalogueTest, KeepsModelsByTheirIdentity) {
  const Bytes bytes = EncodeModelSpec(GqaModel());
  const auto id = catalogue_->PutModel(tenant_, bytes);
  REPRISE_ASSERT_OK(id.status());
  EXPECT_EQ(ModelIdOf(GqaModel()), *id);
  EXPECT_EQ(*id, *catalogue_->PutModel(tenant_, bytes));
  EXPECT_TRUE(BytesEqual(bytes, catalogue_->GetModel(tenant_, *id)->view()));
  REPRISE_EXPECT_CODE(kNotFound,
                      catalogue_->GetModel(TenantDomain("other"), *id));
  REPRISE_EXPECT_CODE(kDataLoss, catalogue_->PutModel(tenant_, Bytes(20, 1)));
}

TEST_F(CatalogueTest, MendsADamagedModel) {
  const Bytes bytes = EncodeModelSpec(GqaModel());
  const auto id = catalogue_->PutModel(tenant_, bytes);
  const std::string key = DomainKey(tenant_, id->view());
  const ObjectRef ref{ObjectSpace::kModel, key};
  REPRISE_ASSERT_OK(engine_->RemoveIfUntouched({&ref, 1}, 1000).status());
  const Bytes junk(50, 1);
  const ObjectPut put{ObjectSpace::kModel, key, junk};
  REPRISE_ASSERT_OK(engine_->Put({&put, 1}, 1, Durability::kWritten));
  REPRISE_ASSERT_OK(catalogue_->PutModel(tenant_, bytes).status());
  EXPECT_TRUE(BytesEqual(bytes, catalogue_->GetModel(tenant_, *id)->view()));
}

TEST_F(CatalogueTest, FindsTheProfilePutLast) {
  const ModelId model = worker_.model();
  REPRISE_EXPECT_CODE(kNotFound,
                      catalogue_->FindProfile(tenant_, model, CodecId::kExact));
  const auto first = catalogue_->PutProfile(tenant_, model, CodecId::kExact,
                                            Bytes(9, 1), false);
  const auto second = catalogue_->PutProfile(tenant_, model, CodecId::kExact,
                                             Bytes(9, 2), false);
  const auto other =
      catalogue_->PutProfile(tenant_, model, CodecId::kKlt, Bytes(9, 3), true);
  REPRISE_ASSERT_OK(first.status());
  REPRISE_ASSERT_OK(second.status());
  REPRISE_ASSERT_OK(other.status());
  const auto last = catalogue_->FindProfile(tenant_, model, CodecId::kExact);
  REPRISE_ASSERT_OK(last.status());
  EXPECT_EQ(*second, last->profile);
  EXPECT_FALSE(last->other_weights);
  const auto klt = catalogue_->FindProfile(tenant_, model, CodecId::kKlt);
  REPRISE_ASSERT_OK(klt.status());
  EXPECT_EQ(*other, klt->profile);
  EXPECT_TRUE(klt->other_weights);
  EXPECT_TRUE(
      BytesEqual(Bytes(9, 1), catalogue_->GetProfile(tenant_, *first)->view()));
  REPRISE_EXPECT_CODE(
      kInvalidArgument,
      catalogue_->PutProfile(tenant_, model, CodecId::kExact, {}, false));
  REPRISE_EXPECT_CODE(
      kFailedPrecondition,
      catalogue_->PutProfile(tenant_, ModelId(), CodecId::kExact, Bytes(9, 1),
                             false));
}

// --- Match. ---

class MatchTest : public CatalogueTest {
 protected:
  MatchResult Match(std::span<const TokenId> tokens,
                    Tier lowest = Tier::kExact) {
    const auto ids = SegmentIdsOf(worker_.model(), tokens);
    MatchRequest request;
    request.model = worker_.model();
    request.segments = ids;
    request.lowest = lowest;
    request.tail_tokens = tokens.last(tokens.size() % kSegmentTokens);
    const auto result = catalogue_->Match(tenant_, request);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() ? *result : MatchResult();
  }
};

TEST_F(MatchTest, FindsTheLongestStoredPrefix) {
  EXPECT_TRUE(Match(tokens_).matched.empty());
  REPRISE_ASSERT_OK(worker_.Put(tokens_, {}, 0, 2));
  MatchResult result = Match(tokens_);
  ASSERT_EQ(2u, result.matched.size());
  EXPECT_EQ(Tier::kExact, result.matched[1].tier);
  EXPECT_FALSE(result.tail.has_value());
  REPRISE_ASSERT_OK(worker_.Put(tokens_, {}, 2));
  result = Match(tokens_);
  EXPECT_EQ(3u, result.matched.size());
  ASSERT_TRUE(result.tail.has_value());
  EXPECT_EQ(8u, result.tail_tokens);
  uint64_t bytes = result.tail->stored_bytes;
  for (const MatchedSegment& each : result.matched) bytes += each.stored_bytes;
  EXPECT_EQ(bytes, result.bytes_to_move);
  // Another tail is none at all.
  auto others = tokens_;
  ++others.back();
  EXPECT_EQ(3u, Match(others).matched.size());
  EXPECT_EQ(0u, Match(others).tail_tokens);
}

TEST_F(MatchTest, FindsATailAlone) {
  const auto few = std::span(tokens_).first(5);
  REPRISE_ASSERT_OK(worker_.Put(few));
  EXPECT_EQ(5u, Match(few).tail_tokens);
}

TEST_F(MatchTest, CountsARenditionAsTheWorseOfTierAndBasis) {
  REPRISE_ASSERT_OK(worker_.Put(std::span(tokens_).first(64)));
  REPRISE_ASSERT_OK(
      worker_.Put(std::span(tokens_).first(128), {.basis = Tier::kCoarse}, 1));
  const auto two = std::span(tokens_).first(128);
  EXPECT_EQ(1u, Match(two, Tier::kExact).matched.size());
  EXPECT_EQ(1u, Match(two, Tier::kNear).matched.size());
  const MatchResult result = Match(two, Tier::kCoarse);
  ASSERT_EQ(2u, result.matched.size());
  EXPECT_EQ(Tier::kExact, result.matched[1].tier);
  EXPECT_EQ(Tier::kCoarse, result.matched[1].basis);
}

TEST_F(MatchTest, GoesOnThroughManyBatches) {
  const auto tokens = ToyTokens(7, 64 * 1300);
  REPRISE_ASSERT_OK(worker_.Put(tokens, {}, 0, 1200));
  EXPECT_EQ(1200u, Match(tokens).matched.size());
}

TEST_F(MatchTest, EndsAtADamagedRecord) {
  REPRISE_ASSERT_OK(worker_.Put(tokens_));
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const std::string key = DomainKey(tenant_, ids[1].view());
  const auto head = engine_->GetHead(HeadSpace::kRendition, key);
  Bytes bytes(head->value.view().begin(), head->value.view().end());
  bytes[10] ^= 1;
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kRendition, key,
                                         head->version, bytes,
                                         Durability::kWritten)
                        .status());
  EXPECT_EQ(1u, Match(tokens_).matched.size());
}

TEST_F(MatchTest, RefusesWhatIsOverTheLimits) {
  const std::vector<SegmentId> many(kMaxMatchSegments + 1);
  MatchRequest request;
  request.segments = many;
  REPRISE_EXPECT_CODE(kInvalidArgument, catalogue_->Match(tenant_, request));
  request.segments = {};
  request.tail_tokens = std::span(tokens_).first(64);
  REPRISE_EXPECT_CODE(kInvalidArgument, catalogue_->Match(tenant_, request));
}

// --- Fetch. ---

class FetchTest : public CatalogueTest {
 protected:
  Result<FetchPlan> Plan(FetchRequest request) {
    if (request.session.empty() && request.segments.empty()) {
      request.session = "chat";
    }
    return catalogue_->PlanFetch(tenant_, request);
  }
};

TEST_F(FetchTest, ReadsBackWhatWasSaved) {
  const auto saved = worker_.Save("chat", tokens_);
  REPRISE_ASSERT_OK(saved.status());
  const auto plan = Plan({});
  REPRISE_ASSERT_OK(plan.status());
  EXPECT_EQ(saved->commit, plan->commit);
  EXPECT_EQ(saved->version, plan->version);
  EXPECT_EQ(worker_.model(), plan->model);
  EXPECT_EQ(tenant_, plan->domain);
  EXPECT_EQ(200u, plan->token_count);
  EXPECT_NE(0u, plan->lease);
  ASSERT_EQ(4u, plan->segments.size());
  EXPECT_EQ(8u, plan->segments[3].token_count);
  std::vector<TokenId> read;
  for (const FetchSegment& segment : plan->segments) {
    read.insert(read.end(), segment.segment.tokens.begin(),
                segment.segment.tokens.end());
    EXPECT_EQ(segment.id, segment.segment.Id());
  }
  EXPECT_EQ(tokens_, read);
  REPRISE_ASSERT_OK(ReadAll("chat"));
}

TEST_F(FetchTest, KeepsToTheRange) {
  REPRISE_ASSERT_OK(worker_.Save("chat", tokens_).status());
  const auto count = [&](uint64_t first, uint64_t end) {
    const auto plan = Plan({.first_token = first, .end_token = end});
    return plan.ok() ? plan->segments.size() : 99;
  };
  EXPECT_EQ(4u, count(0, UINT64_MAX));
  EXPECT_EQ(1u, count(0, 1));
  EXPECT_EQ(1u, count(0, 64));
  EXPECT_EQ(2u, count(0, 65));
  EXPECT_EQ(1u, count(63, 64));
  EXPECT_EQ(2u, count(100, 192));
  EXPECT_EQ(1u, count(199, 200));
  EXPECT_EQ(0u, count(64, 64));
  EXPECT_EQ(0u, count(1000, 2000));
  EXPECT_EQ(64u, Plan({.first_token = 64})->segments[0].segment.first_token);
}

TEST_F(FetchTest, SaysWhatMustBeRecomputed) {
  REPRISE_ASSERT_OK(worker_.Save("chat", tokens_).status());
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const std::string key = DomainKey(tenant_, ids[1].view());
  const auto head = engine_->GetHead(HeadSpace::kRendition, key);
  REPRISE_ASSERT_OK(engine_
                        ->CompareAndSwap(HeadSpace::kRendition, key,
                                         head->version, Bytes(30, 2),
                                         Durability::kWritten)
                        .status());
  const auto plan = Plan({});
  REPRISE_ASSERT_OK(plan.status());
  EXPECT_EQ(Tier::kExact, plan->segments[0].rendition.tier);
  EXPECT_EQ(Tier::kTokens, plan->segments[1].rendition.tier);
  EXPECT_EQ(64u, plan->segments[1].segment.tokens.size());
  EXPECT_EQ(Tier::kExact, plan->segments[2].rendition.tier);
}

TEST_F(FetchTest, GivesNothingBelowTheLowestTier) {
  REPRISE_ASSERT_OK(
      worker_.Save("chat", tokens_, {.basis = Tier::kNear}).status());
  EXPECT_EQ(Tier::kTokens, Plan({})->segments[0].rendition.tier);
  EXPECT_EQ(Tier::kExact,
            Plan({.lowest = Tier::kNear})->segments[0].rendition.tier);
}

TEST_F(FetchTest, ByIds) {
  REPRISE_ASSERT_OK(worker_.Put(tokens_));
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const auto plan = Plan(
      {.segments = ids, .tail = TailId(ids[2], std::span(tokens_).last(8))});
  REPRISE_ASSERT_OK(plan.status());
  ASSERT_EQ(4u, plan->segments.size());
  EXPECT_EQ(200u, plan->token_count);
  EXPECT_EQ(8u, plan->segments[3].token_count);
  EXPECT_EQ(Tier::kExact, plan->segments[3].rendition.tier);
  EXPECT_TRUE(plan->commit.IsZero());
}

TEST_F(FetchTest, ByIdsOfWhatIsNotThere) {
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const auto plan = Plan({.segments = ids});
  REPRISE_ASSERT_OK(plan.status());
  ASSERT_EQ(3u, plan->segments.size());
  EXPECT_EQ(Tier::kTokens, plan->segments[0].rendition.tier);
  EXPECT_TRUE(plan->segments[0].segment.tokens.empty());
}

TEST_F(FetchTest, OfAFormerCommit) {
  const auto first = worker_.Save("chat", std::span(tokens_).first(100));
  REPRISE_ASSERT_OK(worker_.Save("chat", tokens_).status());
  const auto plan = Plan({.commit = first->commit});
  REPRISE_ASSERT_OK(plan.status());
  EXPECT_EQ(100u, plan->token_count);
  REPRISE_EXPECT_CODE(kNotFound, Plan({.commit = CommitId{{1, 2}}}));
}

TEST_F(FetchTest, RefusesAnotherModelAndNoSession) {
  REPRISE_EXPECT_CODE(kNotFound, Plan({}));
  REPRISE_ASSERT_OK(worker_.Save("chat", tokens_).status());
  REPRISE_EXPECT_CODE(kFailedPrecondition,
                      Plan({.model = ModelIdOf(GqaModel())}));
  REPRISE_EXPECT_CODE(kInvalidArgument, Plan({.lease_ms = -1}));
  REPRISE_EXPECT_CODE(kInvalidArgument, Plan({.lease_ms = kMaxLeaseMs + 1}));
}

TEST_F(FetchTest, FindsDamagedFrames) {
  REPRISE_ASSERT_OK(
      worker_.Save("chat", std::span(tokens_).first(64), {.ranks = 2})
          .status());
  const auto plan = Plan({});
  const FetchSegment& segment = plan->segments[0];
  std::vector<FrameRef> frames = segment.rendition.frames;
  ++frames[0].checksum;
  ++frames[1].bytes;
  std::vector<Result<PinnedBytes>> bytes;
  catalogue_->GetFrames(tenant_, segment.id, frames, &bytes);
  REPRISE_EXPECT_CODE(kDataLoss, bytes[0]);
  REPRISE_EXPECT_CODE(kDataLoss, bytes[1]);
  REPRISE_EXPECT_CODE(kDataLoss,
                      catalogue_->GetFrame(tenant_, segment.id, frames[0]));
  REPRISE_EXPECT_CODE(kOk, catalogue_->GetFrame(tenant_, segment.id,
                                                segment.rendition.frames[0]));
}

// --- Leases. ---

TEST_F(CatalogueTest, LeasesAreRenewedWhileTheyLast) {
  REPRISE_ASSERT_OK(worker_.Put(tokens_));
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const auto lease = catalogue_->Lease(tenant_, ids, {}, 1000);
  REPRISE_ASSERT_OK(lease.status());
  clock_.AdvanceMs(900);
  REPRISE_ASSERT_OK(catalogue_->RenewLease(*lease, 1000));
  clock_.AdvanceMs(900);
  REPRISE_ASSERT_OK(catalogue_->RenewLease(*lease, 1000));
  clock_.AdvanceMs(1000);
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->RenewLease(*lease, 1000));
  REPRISE_EXPECT_CODE(kInvalidArgument, catalogue_->RenewLease(*lease, 0));
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      catalogue_->Lease(tenant_, ids, {}, kMaxLeaseMs + 1));
}

TEST_F(CatalogueTest, LeasesAreReleased) {
  REPRISE_ASSERT_OK(worker_.Put(tokens_));
  const auto ids = SegmentIdsOf(worker_.model(), tokens_);
  const auto lease = catalogue_->Lease(tenant_, ids, {}, 1000);
  REPRISE_ASSERT_OK(catalogue_->ReleaseLease(*lease));
  REPRISE_ASSERT_OK(catalogue_->ReleaseLease(*lease));
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->RenewLease(*lease, 1000));
}

// --- Sessions. ---

class SessionTest : public CatalogueTest {
 protected:
  Result<CommitOutcome> Rewind(std::string_view name,
                               const Catalogue::RewindTarget& target) {
    const SessionRecord session = Session(name);
    return catalogue_->Rewind(tenant_, name, session.incarnation,
                              session.version, target);
  }
  // Saves "chat" at 50, 100, 150 and 200 tokens; its commits.
  std::vector<CommitId> SaveFour() {
    std::vector<CommitId> commits;
    for (const size_t count : {50, 100, 150, 200}) {
      const auto saved = worker_.Save("chat", std::span(tokens_).first(count));
      EXPECT_TRUE(saved.ok()) << saved.status().ToString();
      if (saved.ok()) commits.push_back(saved->commit);
    }
    return commits;
  }
  // The tokens that a fetch of the head gives.
  std::vector<TokenId> Tokens(std::string_view name) {
    FetchRequest request;
    request.session = name;
    const auto plan = catalogue_->PlanFetch(tenant_, request);
    std::vector<TokenId> tokens;
    if (!plan.ok()) return tokens;
    for (const FetchSegment& segment : plan->segments) {
      const auto begin = segment.segment.tokens.begin();
      tokens.insert(tokens.end(), begin, begin + segment.token_count);
    }
    EXPECT_EQ(plan->token_count, tokens.size());
    return tokens;
  }
};

TEST_F(SessionTest, AreListedInOrderByPrefixAndCursor) {
  for (const std::string name : {"b2", "a", "b1", "b10", "c"}) {
    REPRISE_ASSERT_OK(
        worker_.Save(name, std::span(tokens_).first(10)).status());
  }
  const auto names = [&](std::string_view prefix, std::string_view cursor,
                         uint32_t limit) {
    std::string text;
    const auto listed =
        catalogue_->ListSessions(tenant_, prefix, cursor, limit);
    EXPECT_TRUE(listed.ok());
    for (const SessionInfo& info : *listed) text += info.name + " ";
    return text;
  };
  EXPECT_EQ("a b1 b10 b2 c ", names("", "", 10));
  EXPECT_EQ("a b1 ", names("", "", 2));
  EXPECT_EQ("b10 b2 ", names("", "b1", 2));
  EXPECT_EQ("b1 b10 b2 ", names("b", "", 10));
  EXPECT_EQ("b2 ", names("b", "b10", 10));
  EXPECT_EQ("", names("", "c", 10));
  EXPECT_EQ(
      0u, catalogue_->ListSessions(TenantDomain("other"), "", "", 10)->size());
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      catalogue_->ListSessions(tenant_, "", "", 0));
}

TEST_F(SessionTest, NamesHaveLimits) {
  const auto few = std::span(tokens_).first(10);
  REPRISE_EXPECT_CODE(kOk, worker_.Save(std::string(255, 'x'), few));
  REPRISE_EXPECT_CODE(kInvalidArgument,
                      worker_.Save(std::string(256, 'x'), few));
  REPRISE_EXPECT_CODE(kInvalidArgument, catalogue_->GetSession(tenant_, ""));
}

TEST_F(SessionTest, ANameMadeAgainIsAnotherIncarnation) {
  const auto first = worker_.Save("chat", std::span(tokens_).first(10));
  REPRISE_ASSERT_OK(catalogue_->RemoveSession(tenant_, "chat"));
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->GetSession(tenant_, "chat"));
  REPRISE_EXPECT_CODE(kNotFound, catalogue_->RemoveSession(tenant_, "chat"));
  const auto second = worker_.Save("chat", std::span(tokens_).first(10));
  REPRISE_ASSERT_OK(second.status());
  EXPECT_NE(first->incarnation, second->incarnation);
  EXPECT_EQ(1u, second->version);
  // Whoever still holds the first one can't change the second.
  REPRISE_EXPECT_CODE(
      kFailedPrecondition,
      catalogue_->Rewind(tenant_, "chat", first->incarnation, 1, {}));
}

TEST_F(SessionTest, AForkGoesItsOwnWay) {
  const auto commits = SaveFour();
  const auto fork = catalogue_->Fork(tenant_, "chat", CommitId(), "fork");
  REPRISE_ASSERT_OK(fork.status());
  EXPECT_EQ(commits[3], fork->commit);
  EXPECT_EQ(1u, fork->version);
  auto other = tokens_;
  other.resize(300, 5);
  REPRISE_ASSERT_OK(worker_.Save("fork", other).status());
  EXPECT_EQ(tokens_, Tokens("chat"));
  EXPECT_EQ(other, Tokens("fork"));
  REPRISE_ASSERT_OK(
      catalogue_->Fork(tenant_, "chat", commits[1], "older").status());
  EXPECT_EQ(100u, Tokens("older").size());
  REPRISE_EXPECT_CODE(kFailedPrecondition,
                      catalogue_->Fork(tenant_, "chat", CommitId(), "older"));
  REPRISE_EXPECT_CODE(kNotFound,
                      catalogue_->Fork(tenant_, "none", CommitId(), "x"));
  REPRISE_EXPECT_CODE(kNotFound,
                      catalogue_->Fork(tenant_, "chat", CommitId{{9}}, "x"));
}

TEST_F(SessionTest, RewindsToAnAncestorAndBack) {
  const auto commits = SaveFour();
  const auto back = Rewind("chat", {.commit = commits[1]});
  REPRISE_ASSERT_OK(back.status());
  EXPECT_EQ(commits[1], back->commit);
  EXPECT_EQ(5u, back->version);
  EXPECT_EQ(100u, Tokens("chat").size());
  // Its former heads are still roots.
  REPRISE_ASSERT_OK(Rewind("chat", {.commit = commits[3]}).status());
  EXPECT_EQ(tokens_, Tokens("chat"));
  REPRISE_EXPECT_CODE(kNotFound, Rewind("chat", {.commit = CommitId{{9}}}));
  REPRISE_EXPECT_CODE(kFailedPrecondition,
                      catalogue_->Rewind(tenant_, "chat", back->incarnation, 1,
                                         {.commit = commits[0]}));
}

TEST_F(SessionTest, RewindsToAnAncestorThatIsNoRootAnyMore) {
  CatalogueOptions options;
  options.kept_commits = 1;
  catalogue_ = OpenCatalogue(engine_.get(), options);
  ToyWorker worker(catalogue_.get(), tenant_, TinyModel());
  std::vector<CommitId> commits;
  for (const size_t count : {50, 100, 150, 200}) {
    const auto saved = worker.Save("chat", std::span(tokens_).first(count));
    REPRISE_ASSERT_OK(saved.status());
    commits.push_back(saved->commit);
  }
  REPRISE_ASSERT_OK(Rewind("chat", {.commit = commits[0]}).status());
  EXPECT_EQ(50u, Tokens("chat").size());
  REPRISE_ASSERT_OK(ReadAll("chat"));
}

TEST_F(SessionTest, RewindsToAnyToken) {
  SaveFour();
  for (size_t count = 0; count <= 200; ++count) {
    const std::string name = "cut" + std::to_string(count);
    REPRISE_ASSERT_OK(
        catalogue_->Fork(tenant_, "chat", CommitId(), name).status());
    const auto outcome =
        Rewind(name, {.token_count = count, .pending = {1, 2}});
    REPRISE_ASSERT_OK(outcome.status());
    const auto expected = std::span(tokens_).first(count);
    ASSERT_EQ(std::vector<TokenId>(expected.begin(), expected.end()),
              Tokens(name))
        << count;
    const auto commit = catalogue_->GetCommit(tenant_, outcome->commit);
    EXPECT_EQ((std::vector<TokenId>{1, 2}), commit->pending);
  }
}

TEST_F(SessionTest, RewindsFromACutOnwards) {
  SaveFour();
  // Through a tail, into a segment, to its start: each cuts what is there.
  for (const size_t count : {198, 195, 195, 192, 150, 140, 128, 10, 5, 0}) {
    REPRISE_ASSERT_OK(Rewind("chat", {.token_count = count}).status());
    const auto expected = std::span(tokens_).first(count);
    ASSERT_EQ(std::vector<TokenId>(expected.begin(), expected.end()),
              Tokens("chat"))
        << count;
  }
  REPRISE_EXPECT_CODE(kInvalidArgument, Rewind("chat", {.token_count = 1}));
}

TEST_F(SessionTest, GoesOnAfterACut) {
  SaveFour();
  REPRISE_ASSERT_OK(Rewind("chat", {.token_count = 70}).status());
  auto other = tokens_;
  other.resize(70);
  other.resize(150, 5);
  REPRISE_ASSERT_OK(worker_.Save("chat", other, {.seed = 4}).status());
  EXPECT_EQ(other, Tokens("chat"));
  REPRISE_ASSERT_OK(ReadAll("chat"));
}

TEST_F(SessionTest, LastUseIsWrittenInBatches) {
  REPRISE_ASSERT_OK(worker_.Save("chat", tokens_).status());
  EXPECT_EQ(0, catalogue_->GetSession(tenant_, "chat")->last_use_ms);
  clock_.AdvanceMs(1000);
  const int64_t used = clock_.WallMs();
  catalogue_->MarkUsed(tenant_, "chat");
  EXPECT_EQ(0, catalogue_->GetSession(tenant_, "chat")->last_use_ms);
  REPRISE_ASSERT_OK(catalogue_->Flush());
  EXPECT_EQ(used, catalogue_->GetSession(tenant_, "chat")->last_use_ms);
  clock_.AdvanceMs(10'000);
  catalogue_->MarkUsed(tenant_, "chat");
  EXPECT_EQ(clock_.WallMs(),
            catalogue_->GetSession(tenant_, "chat")->last_use_ms);
  EXPECT_EQ(clock_.WallMs(),
            catalogue_->ListSessions(tenant_, "", "", 9)->at(0).last_use_ms);
}

// Every byte: what is in the store with the session, less what is without.
TEST_F(SessionTest, IsMeasuredToTheByte) {
  const auto stored_bytes = [&] {
    uint64_t bytes = 0;
    for (const ObjectSpace space : kAllObjectSpaces) {
      std::vector<ObjectStore::Listed> listed;
      EXPECT_TRUE(engine_->List(space, "", "", 10'000, &listed).ok());
      for (const auto& each : listed) bytes += each.key.size() + each.bytes;
    }
    for (const HeadSpace space : kAllHeadSpaces) {
      std::vector<HeadStore::ListedHead> listed;
      EXPECT_TRUE(engine_->ListHeads(space, "", "", 10'000, &listed).ok());
      for (const auto& each : listed) {
        bytes += each.key.size() + each.record.value.size();
      }
    }
    return bytes;
  };
  const auto profile = catalogue_->PutProfile(
      tenant_, worker_.model(), CodecId::kExact, Bytes(500, 1), false);
  const uint64_t before = stored_bytes();
  REPRISE_ASSERT_OK(
      worker_.Save("chat", tokens_, {.ranks = 2, .profile = *profile})
          .status());
  catalogue_->MarkUsed(tenant_, "chat");
  REPRISE_ASSERT_OK(catalogue_->Flush());
  const auto size = catalogue_->MeasureSession(tenant_, "chat");
  REPRISE_ASSERT_OK(size.status());
  EXPECT_EQ(stored_bytes() - before, size->frame_bytes + size->record_bytes);
  EXPECT_EQ(200u, size->tokens);
  EXPECT_EQ(200 * worker_.spec().token_bytes(), size->raw_bytes);
  EXPECT_EQ(size->raw_bytes, 2 * size->values);  // f16
  EXPECT_EQ(500u, size->profile_bytes);
  EXPECT_EQ(4u, size->segments_by_tier[1]);
  EXPECT_EQ(0u, size->other_weights_segments);
}

TEST_F(SessionTest, CountsSegmentsWithProfilesOfOtherWeights) {
  const auto profile = catalogue_->PutProfile(
      tenant_, worker_.model(), CodecId::kExact, Bytes(500, 1), true);
  REPRISE_ASSERT_OK(profile.status());
  REPRISE_ASSERT_OK(
      worker_
          .Save("chat", tokens_, {.profile = *profile, .other_weights = true})
          .status());
  const auto size = catalogue_->MeasureSession(tenant_, "chat");
  REPRISE_ASSERT_OK(size.status());
  EXPECT_EQ(4u, size->other_weights_segments);
}

}  // namespace
}  // namespace reprise
