// The client with a real daemon: what is saved comes back, whoever asks.
#include "client/client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "store/engine.h"
#include "store/rocks_engine.h"
#include "tests/client/kv_cache.h"
#include "tests/client/test_daemon.h"
#include "tests/client/test_worker.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

class ClientTest : public testing::Test {
 protected:
  TestWorker NewWorker(const ModelSpec& spec = TinyModel()) {
    return TestWorker(daemon_.Connect(), spec);
  }
  // Everything of one kind is gone from the store.
  void Lose(ObjectSpace space, size_t count = SIZE_MAX) {
    std::vector<ObjectStore::Listed> listed;
    ASSERT_TRUE(daemon_.engine()->List(space, "", "", 1000, &listed).ok());
    ASSERT_FALSE(listed.empty());
    listed.resize(std::min(listed.size(), count));
    for (const auto& object : listed) {
      const ObjectRef ref{space, object.key};
      const auto removed =
          daemon_.engine()->RemoveIfUntouched({&ref, 1}, UINT64_MAX);
      ASSERT_TRUE(removed.ok());
      ASSERT_EQ(*removed, 1u);
    }
  }

  TestDaemon daemon_;
};
TEST_F(ClientTest, SavesAndRestoresInEveryLayoutAndCodec) {
  const std::vector<TokenId> tokens = ToyTokens(1, 150);
  for (const char* codec : {"raw", "exact"}) {
    for (CacheLayout layout : kAllCacheLayouts) {
      SCOPED_TRACE(std::string(CacheLayoutName(layout)) + codec);
      TestWorker worker = NewWorker(GqaModel());
      const std::string session =
          std::string(codec) + std::string(CacheLayoutName(layout));
      const auto saved =
          worker.Save(session, tokens, {.codec = codec}, {.layout = layout});
      ASSERT_OK(saved);
      EXPECT_EQ(saved->tokens, 150u);
      EXPECT_EQ(saved->tail_tokens, 150u % 64);
      EXPECT_EQ(saved->version.version, 1u);
      const auto restored = worker.Restore(session, {}, {.layout = layout});
      ASSERT_OK(restored);
      EXPECT_EQ(restored->valid_end, 150u);
      EXPECT_EQ(restored->info.tokens, tokens);
      EXPECT_EQ(restored->info.ranges,
                (std::vector<TierRange>{{0, 150, Tier::kExact, Tier::kExact}}));
    }
  }
}

TEST_F(ClientTest, AppendsOnlyWhatIsNew) {
  TestWorker worker = NewWorker();
  const std::vector<TokenId> tokens = ToyTokens(2, 300);
  const std::vector<TokenId> first(tokens.begin(), tokens.begin() + 200);
  const auto begun = worker.Save("s", first);
  ASSERT_OK(begun);
  EXPECT_EQ(begun->new_segments, 3u);
  EXPECT_EQ(begun->tail_tokens, 8u);

  const auto plan = worker.client->PlanSave("s", worker.model, tokens);
  ASSERT_OK(plan);
  EXPECT_EQ(plan->first_token, 192u);
  EXPECT_EQ(plan->head, begun->version);

  // By another client, whose cache holds what the plan wants and no more.
  TestWorker other = NewWorker();
  KvCache cache(other.spec, {.first_token = 192, .token_count = 108});
  cache.FillAll();
  const std::vector<TokenId> pending = {7, 8};
  const auto appended = other.client->Save("s", {.model = other.model,
                                                 .tokens = tokens,
                                                 .pending = pending,
                                                 .kv = cache.view()});
  ASSERT_OK(appended);
  EXPECT_EQ(appended->new_segments, 1u);
  EXPECT_EQ(appended->tail_tokens, 300u % 64);
  EXPECT_EQ(appended->version.version, 2u);

  const auto restored = worker.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 300u);
  EXPECT_EQ(restored->info.tokens, tokens);
  EXPECT_EQ(restored->info.pending, pending);
}

std::vector<TokenId> Head(const std::vector<TokenId>& tokens, size_t count) {
  return {tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(count)};
}

TEST_F(ClientTest, FitsAProfileThatOthersUse) {
  TestWorker worker = NewWorker(GqaModel());
  const auto tokens = ToyTokens(3, 256);
  const auto saved = worker.Save("s", tokens);
  ASSERT_OK(saved);
  EXPECT_EQ(saved->raw_bytes, 256 * worker.spec.token_bytes());
  EXPECT_LT(saved->frame_bytes, saved->raw_bytes);
  std::vector<ObjectStore::Listed> profiles;
  ASSERT_TRUE(
      daemon_.engine()->List(ObjectSpace::kProfile, "", "", 9, &profiles).ok());
  EXPECT_FALSE(profiles.empty());
  // Another client learns of it when it registers the model.
  TestWorker other = NewWorker(GqaModel());
  const auto restored = other.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 256u);
  ASSERT_OK(other.Save("t", ToyTokens(4, 128)));
}

TEST_F(ClientTest, SavingAgainSendsNothing) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(5, 130);
  const auto first = worker.Save("s", tokens);
  ASSERT_OK(first);
  const auto again = worker.Save("s", tokens);
  ASSERT_OK(again);
  EXPECT_EQ(again->frame_bytes, 0u);
  EXPECT_EQ(again->version, first->version);
  // Another session of the same prompt: no frames, only a commit.
  const auto other = worker.Save("t", tokens);
  ASSERT_OK(other);
  EXPECT_EQ(other->frame_bytes, 0u);
  EXPECT_EQ(other->version.version, 1u);
  ASSERT_OK(worker.Restore("t"));
}

TEST_F(ClientTest, SavesWithoutMemoryWhenAllIsStored) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(5, 130);
  ASSERT_OK(worker.Save("s", tokens));
  const auto saved =
      worker.client->Save("t", {.model = worker.model, .tokens = tokens});
  ASSERT_OK(saved);
  const auto more = ToyTokens(6, 10);
  const auto refused =
      worker.client->Save("u", {.model = worker.model, .tokens = more});
  ASSERT_FALSE(refused.ok());
  ExpectStatus(refused.status(), StatusCode::kFailedPrecondition,
               "tokens 0 to 10 are needed, here are 0 to 0");
}

TEST_F(ClientTest, TokensThatDifferAreAConflict) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(7, 200);
  ASSERT_OK(worker.Save("s", tokens));
  auto late = tokens;
  late[195]++;
  ExpectStatus(worker.Save("s", late).status(), StatusCode::kFailedPrecondition,
               "token 195 differs");
  auto early = tokens;
  early[3]++;
  ExpectStatus(worker.Save("s", early).status(),
               StatusCode::kFailedPrecondition, "a token before 192 differs");
  ExpectStatus(worker.Save("s", Head(tokens, 100)).status(),
               StatusCode::kFailedPrecondition,
               "it holds 200 tokens, given are 100");
  ExpectStatus(worker.Restore("s", {.tokens = late}).status(),
               StatusCode::kFailedPrecondition, "position 195");
  ASSERT_OK(worker.Restore("s", {.tokens = tokens}));
}

TEST_F(ClientTest, AnExpectedVersionIsHeldTo) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(8, 100);
  const SessionVersion none;
  const auto first = worker.Save("s", Head(tokens, 70), {.expected = &none});
  ASSERT_OK(first);
  ASSERT_OK(worker.Save("s", tokens, {.expected = &first->version}));
  ExpectStatus(worker.Save("s", tokens, {.expected = &first->version}).status(),
               StatusCode::kFailedPrecondition, "the head is at version 2");
}

TEST_F(ClientTest, AnotherModelIsRefusedByField) {
  TestWorker worker = NewWorker(TinyModel(DType::kF16));
  const auto tokens = ToyTokens(9, 70);
  ASSERT_OK(worker.Save("s", tokens));
  ModelSpec changed = TinyModel(DType::kF16);
  changed.rope.theta = 12345;
  TestWorker other = NewWorker(changed);
  ExpectStatus(other.Restore("s").status(), StatusCode::kFailedPrecondition,
               "theta");
  ExpectStatus(other.Save("s", tokens).status(),
               StatusCode::kFailedPrecondition, "theta");
}

TEST_F(ClientTest, ForksAndRewindsCopyNothing) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(10, 200);
  const auto first = worker.Save("s", Head(tokens, 150));
  ASSERT_OK(first);
  ASSERT_OK(worker.Save("s", tokens));
  ASSERT_OK(worker.client->Fork("s", first->version.head, "fork"));
  const auto fork = worker.Restore("fork");
  ASSERT_OK(fork);
  EXPECT_EQ(fork->valid_end, 150u);

  const std::vector<TokenId> pending = {3};
  const auto rewound = worker.client->RewindToToken("s", 100, pending);
  ASSERT_OK(rewound);
  const auto cut = worker.Restore("s");
  ASSERT_OK(cut);
  EXPECT_EQ(cut->valid_end, 100u);
  EXPECT_EQ(cut->info.tokens, Head(tokens, 100));
  EXPECT_EQ(cut->info.pending, pending);

  // Another continuation of what is left.
  auto other = Head(tokens, 100);
  const auto added = ToyTokens(11, 60);
  other.insert(other.end(), added.begin(), added.end());
  ASSERT_OK(worker.Save("s", other));
  const auto continued = worker.Restore("s");
  ASSERT_OK(continued);
  EXPECT_EQ(continued->info.tokens, other);
  EXPECT_EQ(continued->valid_end, 160u);

  ASSERT_OK(worker.client->Rewind("s", first->version.head));
  const auto back = worker.Restore("s");
  ASSERT_OK(back);
  EXPECT_EQ(back->info.tokens, Head(tokens, 150));
}

TEST_F(ClientTest, AMatchIsRestoredByAnotherClient) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(12, 200);
  ASSERT_OK(worker.Save("s", tokens));
  auto prompt = Head(tokens, 150);
  prompt.push_back(99);
  const auto match =
      worker.client->Match(worker.model, prompt, {.lease_ms = 60'000});
  ASSERT_OK(match);
  EXPECT_EQ(match->tokens, 128u);
  ASSERT_FALSE(match->ticket.empty());

  TestWorker other = NewWorker();
  ASSERT_TRUE(worker.client->Remove("s").ok());
  const auto restored =
      other.Restore("", {.match = match->ticket, .tokens = prompt});
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 128u);

  const auto all =
      worker.client->Match(worker.model, tokens, {.lease_ms = 1'000});
  ASSERT_OK(all);
  EXPECT_EQ(all->tokens, 200u);
  const auto whole =
      other.Restore("", {.match = all->ticket, .tokens = tokens});
  ASSERT_OK(whole);
  EXPECT_EQ(whole->valid_end, 200u);
}

TEST_F(ClientTest, RangesOfTokensAreRestored) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(13, 300);
  ASSERT_OK(worker.Save("s", tokens));
  const auto part = worker.Restore("s", {.first_token = 64, .end_token = 200});
  ASSERT_OK(part);
  EXPECT_EQ(part->info.first_token, 64u);
  EXPECT_EQ(part->valid_end, 200u);
  auto other = tokens;
  other[5]++;
  ExpectStatus(
      worker.Restore("s", {.tokens = other, .first_token = 64}).status(),
      StatusCode::kFailedPrecondition, "before position 64");
}

TEST_F(ClientTest, TensorParallelRanksShareASave) {
  TestWorker worker = NewWorker(GqaModel());
  const auto tokens = ToyTokens(14, 100);
  KvCache left(worker.spec, {.layout = CacheLayout::kVllmHnd,
                             .token_count = 100,
                             .heads = {0, 1, 2}});
  KvCache right(worker.spec, {.layout = CacheLayout::kVllmNhd,
                              .token_count = 100,
                              .heads = {1, 1, 2}});
  SaveRequest request{.model = worker.model, .tokens = tokens};
  request.kv = left.FillAll().view();
  ExpectStatus(worker.client->Save("s", request).status(),
               StatusCode::kFailedPrecondition, "heads up to 1 of 2");
  request.shards = {right.FillAll().view()};
  ASSERT_OK(worker.client->Save("s", request));
  const auto whole = worker.Restore("s");
  ASSERT_OK(whole);
  EXPECT_EQ(whole->valid_end, 100u);
  // A rank of another cut reads its share of both.
  const auto rank = worker.Restore("s", {}, {.heads = {1, 1, 4}});
  ASSERT_OK(rank);
  EXPECT_EQ(rank->valid_end, 100u);
}

TEST_F(ClientTest, ALossyBasisIsNeverServedAsExact) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(15, 200);
  SaveRequest lossy;
  lossy.basis = {{64, 128, Tier::kNear, Tier::kExact}};
  ASSERT_OK(worker.Save("s", tokens, lossy));
  const auto exact = worker.Restore("s");
  ASSERT_OK(exact);
  EXPECT_EQ(exact->valid_end, 64u);
  const auto near = worker.Restore("s", {.lowest = Tier::kNear});
  ASSERT_OK(near);
  EXPECT_EQ(near->valid_end, 200u);
  EXPECT_EQ(near->info.ranges,
            (std::vector<TierRange>{{0, 64, Tier::kExact, Tier::kExact},
                                    {64, 200, Tier::kExact, Tier::kNear}}));
  // The same basis again sends nothing; an exact one replaces it.
  const auto same = worker.Save("t", tokens, lossy);
  ASSERT_OK(same);
  EXPECT_EQ(same->frame_bytes, 0u);
  const auto better = worker.Save("s", tokens);
  ASSERT_OK(better);
  EXPECT_GT(better->frame_bytes, 0u);
  const auto healed = worker.Restore("s");
  ASSERT_OK(healed);
  EXPECT_EQ(healed->valid_end, 200u);
}

TEST_F(ClientTest, ALostFrameCostsItsSegment) {
  TestWorker worker = NewWorker(GqaModel());
  const auto tokens = ToyTokens(16, 256);
  ASSERT_OK(worker.Save("s", tokens));
  Lose(ObjectSpace::kFrameExact, 1);
  std::unique_ptr<KvCache> cache;
  const auto restored = worker.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end % 64, 0u);
  EXPECT_LT(restored->valid_end, 256u);
}

TEST_F(ClientTest, ALostProfileCostsWhatWasEncodedWithIt) {
  TestWorker worker = NewWorker(GqaModel());
  ASSERT_OK(worker.Save("s", ToyTokens(17, 128)));
  Lose(ObjectSpace::kProfile);
  TestWorker other = NewWorker(GqaModel());
  const auto restored = other.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 0u);
}

TEST_F(ClientTest, TwoWorkersSaveOneSessionAtOnce) {
  const auto tokens = ToyTokens(18, 640);
  const auto work = [&](TestWorker* worker) {
    for (size_t count = 64; count <= 640; count += 64) {
      const auto saved = worker->Save("s", Head(tokens, count));
      // The other may be ahead: what it holds is then no prefix of ours.
      if (saved.ok()) continue;
      EXPECT_TRUE(saved.status().Is(StatusCode::kFailedPrecondition))
          << saved.status().ToString();
    }
  };
  TestWorker a = NewWorker(), b = NewWorker();
  std::thread thread([&] { work(&a); });
  work(&b);
  thread.join();
  const auto restored = a.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->info.tokens, tokens);
  EXPECT_EQ(restored->valid_end, 640u);
}

TEST_F(ClientTest, LayersAreReportedOnceAndInOrder) {
  TestWorker worker = NewWorker(GqaModel());
  ASSERT_OK(worker.Save("s", ToyTokens(19, 512)));
  std::vector<uint32_t> layers;
  const auto restored = worker.Restore(
      "s", {.on_layer = [&](uint32_t layer) { layers.push_back(layer); }});
  ASSERT_OK(restored);
  EXPECT_EQ(layers, (std::vector<uint32_t>{0, 1, 2, 3}));
}

TEST_F(ClientTest, ATicketIsCapturedThenAcknowledged) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(20, 200);
  auto cache =
      std::make_unique<KvCache>(worker.spec, CacheOptions{.token_count = 200});
  cache->FillAll();
  auto ticket = worker.client->SaveAsync(
      "s", {.model = worker.model, .tokens = tokens, .kv = cache->view()});
  ASSERT_OK(ticket);
  ASSERT_TRUE((*ticket)->WaitCaptured().ok());
  cache = nullptr;
  ASSERT_OK((*ticket)->Wait());
  const auto restored = worker.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 200u);
}

TEST_F(ClientTest, ListsAndDescribesSessions) {
  TestWorker worker = NewWorker();
  SaveRequest request;
  request.labels = {{"user", "a"}};
  ASSERT_OK(worker.Save("s1", ToyTokens(21, 100), request));
  ASSERT_OK(worker.Save("s2", ToyTokens(22, 64)));
  const auto list = worker.client->List("s", "", 10);
  ASSERT_OK(list);
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ((*list)[0].name, "s1");
  EXPECT_EQ((*list)[0].labels, request.labels);
  const auto details = worker.client->Describe("s1");
  ASSERT_OK(details);
  EXPECT_EQ(details->history.size(), 1u);
  EXPECT_EQ(details->summary.tokens, 100u);
  EXPECT_EQ(details->raw_bytes, 100 * worker.spec.token_bytes());
  ASSERT_TRUE(worker.client->Remove("s1").ok());
  EXPECT_TRUE(worker.Restore("s1").status().Is(StatusCode::kNotFound));
  EXPECT_TRUE(worker.client->Describe("s1").status().Is(StatusCode::kNotFound));
}

TEST_F(ClientTest, SavesSurviveARestartOfTheDaemon) {
  TestWorker worker = NewWorker();
  const auto tokens = ToyTokens(23, 200);
  ASSERT_OK(worker.Save("s", Head(tokens, 100)));
  daemon_.Stop();
  EXPECT_TRUE(worker.Restore("s").status().Is(StatusCode::kUnavailable));
  daemon_.Start();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_OK(worker.Save("s", tokens));
  const auto restored = worker.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 200u);
}

// A daemon that is away, by the address that was tried.
TEST(ClientAddressTest, IsInTheError) {
  const std::string socket = "unix:/nowhere/nobody.sock";
  for (const std::string& endpoint :
       {std::string("127.0.0.1:1"), std::string("[::1]:1"), socket}) {
    const Status status = Client::Connect({.endpoint = endpoint}).status();
    EXPECT_TRUE(status.Is(StatusCode::kUnavailable));
    EXPECT_NE(
        status.message().find("connection: connect to " + endpoint + ": "),
        std::string::npos)
        << status.ToString();
  }
}

TEST(ClientRocksTest, SavesAndRestores) {
  auto engine = OpenRocksEngine({.directory = testing::TempDir() + "/store"});
  ASSERT_TRUE(engine.ok()) << engine.status().ToString();
  TestDaemon daemon(*std::move(engine));
  TestWorker worker(daemon.Connect(), GqaModel());
  const auto tokens = ToyTokens(24, 300);
  ASSERT_OK(worker.Save("s", Head(tokens, 200)));
  ASSERT_OK(worker.Save("s", tokens));
  const auto restored = worker.Restore("s");
  ASSERT_OK(restored);
  EXPECT_EQ(restored->valid_end, 300u);
}

}  // namespace
}  // namespace reprise
