// Judging what a real daemon holds.
#include "tools/eval/session_eval.h"

#include <gtest/gtest.h>

#include "client/client.h"
#include "client/llama/llama_kv.h"
#include "tests/client_llama/small_model.h"
#include "tests/client_llama/spawned_daemon.h"
#include "tools/llama_runner.h"

namespace reprise {
namespace {

constexpr uint32_t kTokens = 200;
const LlamaRunnerOptions kPlain = {.context_tokens = 256};

TEST(SessionEvalOptionsTest, ADaemonThatIsAwayIsAnError) {
  EvalOptions options;
  options.session = "s";
  options.endpoints = {"127.0.0.1:1"};
  const auto row = RunSessionEval(options, {});
  EXPECT_EQ(row.status().code(), StatusCode::kUnavailable);
}

class SessionEvalTest : public SmallModelTest {
 protected:
  // Saves a session of kTokens with a codec.
  void Save(const char* session, const char* codec) {
    auto client = *Client::Connect({.endpoint = daemon_.endpoint()});
    const auto runner = SmallModel::Runner(kPlain);
    const LlamaCache cache = *SmallModel::Describe(kPlain);
    const std::vector<TokenId> tokens = SmallModel::Prompt(kTokens);
    ASSERT_TRUE(runner->Decode(tokens, 0).ok());
    const auto saved =
        SaveSequence(client.get(), session,
                     {.model = *client->RegisterModel(cache.spec),
                      .cache = &cache,
                      .context = runner->context(),
                      .tokens = tokens,
                      .codec = codec});
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  }
  EvalOptions Options(const char* session) const {
    EvalOptions options;
    options.model = SmallModel::Path();
    options.session = session;
    options.endpoints = {daemon_.endpoint()};
    options.score = 32;
    return options;
  }

  SpawnedDaemon daemon_;
};

TEST_F(SessionEvalTest, AnExactSessionCostsNoMoreThanNoise) {
  ASSERT_FALSE(daemon_.endpoint().empty());
  Save("s", "exact");
  const auto row = RunSessionEval(Options("s"), {});
  ASSERT_TRUE(row.ok()) << row.status().ToString();
  EXPECT_EQ(row->prefix_tokens, kTokens - 33);
  EXPECT_EQ(row->quality.tokens, 32u);
  EXPECT_LT(row->quality.kl.mean, 0.02);
  EXPECT_EQ(row->size.tokens, kTokens);
  EXPECT_GT(StateRatio(row->size), 1.0);
  EXPECT_EQ(row->parameters.substr(0, 5), "exact");
}

TEST_F(SessionEvalTest, SaysWhatIsWrongWithASession) {
  ASSERT_FALSE(daemon_.endpoint().empty());
  EXPECT_EQ(RunSessionEval(Options("none"), {}).status().code(),
            StatusCode::kNotFound);
  Save("short", "raw");
  EvalOptions options = Options("short");
  options.score = kTokens;
  EXPECT_EQ(RunSessionEval(options, {}).status().code(),
            StatusCode::kInvalidArgument);
  // Another cache type is another model.
  options.score = 32;
  options.cache_type = "bf16";
  EXPECT_EQ(RunSessionEval(options, {}).status().code(),
            StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace reprise
