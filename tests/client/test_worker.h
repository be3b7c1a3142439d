// An inference worker of tests: a client, a model, and caches that are filled
// with known values.
#ifndef REPRISE_TESTS_CLIENT_TEST_WORKER_H_
#define REPRISE_TESTS_CLIENT_TEST_WORKER_H_

#include <gtest/gtest.h>

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "client/client.h"
#include "tests/client/kv_cache.h"
#include "tests/support/model_specs.h"

namespace reprise {

#define ASSERT_OK(result) \
  ASSERT_TRUE((result).ok()) << (result).status().ToString()

struct TestWorker {
  explicit TestWorker(std::unique_ptr<Client> connected,
                      const ModelSpec& model_spec = TinyModel())
      : spec(model_spec), client(std::move(connected)) {
    auto registered = client->RegisterModel(spec);
    EXPECT_TRUE(registered.ok()) << registered.status().ToString();
    if (registered.ok()) model = *registered;
  }

  // Saves `tokens` out of a cache that holds them all.
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

  // Restores into a fresh cache and checks that it holds what was saved, and
  // nothing else, up to where the client says that it does.
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
    if (restored.ok() && cache != nullptr) {
      const RestoreInfo& info = restored->info;
      EXPECT_TRUE(cache->HoldsExactly(info.first_token, restored->valid_end,
                                      info.first_token + info.tokens.size()));
    }
    return restored;
  }

  const ModelSpec spec;
  std::unique_ptr<Client> client;
  Model model;
};

inline void ExpectStatus(const Status& status, StatusCode code,
                         std::string_view text) {
  EXPECT_EQ(status.code(), code) << status.ToString();
  EXPECT_NE(status.message().find(text), std::string_view::npos)
      << status.ToString();
}

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_TEST_WORKER_H_
