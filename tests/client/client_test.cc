// The client with a real daemon: what is saved comes back, whoever asks.
#include "client/client.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/client/kv_cache.h"
#include "tests/client/test_daemon.h"
#include "tests/support/model_specs.h"
#include "tests/support/toy_state.h"

namespace reprise {
namespace {

#define ASSERT_OK(result) \
  ASSERT_TRUE((result).ok()) << (result).status().ToString()

// A worker with a cache of `tokens` tokens in some layout.
struct Worker {
  explicit Worker(TestDaemon* daemon, const ModelSpec& model_spec = TinyModel())
      : spec(model_spec), client(daemon->Connect()) {
    auto registered = client->RegisterModel(spec);
    EXPECT_TRUE(registered.ok()) << registered.status().ToString();
    if (registered.ok()) model = *registered;
  }

  // Saves the first `count` of `tokens` out of a cache that holds them all.
  Result<SaveResult> Save(std::string_view session,
                          const std::vector<TokenId>& tokens,
                          SaveRequest request = {}, CacheOptions options = {}) {
    options.token_count = tokens.size();
    KvCache cache(spec, options);
    cache.FillAll();
    request.model = model;
    request.tokens = tokens;
    request.kv = cache.view();
    return client->Save(session, request);
  }

  // Restores all into a fresh cache and checks that nothing else was written.
  Result<RestoreResult> Restore(std::string_view session,
                                RestoreRequest request = {},
                                CacheOptions options = {}) {
    std::unique_ptr<KvCache> cache;
    request.model = model;
    request.make_sink = [&](const RestoreInfo& info) -> Result<KvSink> {
      options.first_token = info.first_token;
      options.token_count = info.tokens.size() + 3;
      cache = std::make_unique<KvCache>(spec, options);
      return cache->sink();
    };
    auto restored = client->Restore(session, request);
    if (restored.ok()) {
      EXPECT_TRUE(
          cache->HoldsExactly(restored->info.first_token, restored->valid_end));
    }
    return restored;
  }

  const ModelSpec spec;
  std::unique_ptr<Client> client;
  Model model;
};

class ClientTest : public testing::Test {
 protected:
  TestDaemon daemon_;
};

TEST_F(ClientTest, SavesAndRestoresInEveryLayoutAndCodec) {
  const std::vector<TokenId> tokens = ToyTokens(1, 150);
  for (const char* codec : {"raw", "exact"}) {
    for (CacheLayout layout : kAllCacheLayouts) {
      SCOPED_TRACE(std::string(CacheLayoutName(layout)) + codec);
      Worker worker(&daemon_, GqaModel());
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
  Worker worker(&daemon_);
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
  Worker other(&daemon_);
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

}  // namespace
}  // namespace reprise
