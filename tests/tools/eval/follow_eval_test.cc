// Judging sessions of daemons against the exact ones of another.
#include "tools/eval/follow_eval.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "client/client.h"
#include "client/llama/llama_kv.h"
#include "tests/client_llama/small_model.h"
#include "tests/client_llama/spawned_daemon.h"
#include "tools/eval/judged_model.h"
#include "tools/llama_runner.h"

namespace reprise {
namespace {

const LlamaRunnerOptions kPlain = {.context_tokens = 256};
constexpr uint32_t kScored = 24;

TEST(FollowEvalOptionsTest, SaysWhatIsMissing) {
  EvalOptions options;
  options.follow = {"chat=next.txt", "a=b=c.txt"};
  EXPECT_EQ(CheckEvalOptions(options).code(), StatusCode::kInvalidArgument);
  options.exact_endpoint = "127.0.0.1:1";
  EXPECT_TRUE(CheckEvalOptions(options).ok());
  EXPECT_EQ((*FollowedOf(options))[1].first, "a=b");
  options.endpoints = {};
  EXPECT_FALSE(CheckEvalOptions(options).ok());
  options.endpoints = {"127.0.0.1:1", "127.0.0.1:2"};
  options.session = "chat";
  EXPECT_FALSE(CheckEvalOptions(options).ok());
  options.follow.clear();
  EXPECT_FALSE(CheckEvalOptions(options).ok());  // two endpoints
  options.session.clear();
  options.follow = {"chat="};
  EXPECT_FALSE(CheckEvalOptions(options).ok());
}

class FollowEvalTest : public SmallModelTest {
 protected:
  void SetUp() override {
    SmallModelTest::SetUp();
    if (IsSkipped()) return;
    std::ofstream(text_)
        << "The mate, who had seen worse, went below and wrote it all down "
           "for the owners, in a hand that nobody but he could ever read.";
  }
  ~FollowEvalTest() override { std::filesystem::remove(text_); }

  void Save(const SpawnedDaemon& daemon, const char* session, uint32_t count,
            const char* codec) {
    ASSERT_FALSE(daemon.endpoint().empty());
    auto client = *Client::Connect({.endpoint = daemon.endpoint()});
    const auto runner = SmallModel::Runner(kPlain);
    const LlamaCache cache = *SmallModel::Describe(kPlain);
    const std::vector<TokenId> tokens = SmallModel::Prompt(count);
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
  EvalOptions Options(const std::vector<std::string>& sessions) const {
    EvalOptions options;
    options.model = SmallModel::Path();
    options.exact_endpoint = exact_.endpoint();
    options.endpoints = {exact_.endpoint(), other_.endpoint()};
    for (const std::string& session : sessions) {
      options.follow.push_back(session + "=" + text_);
    }
    options.score = kScored;
    return options;
  }

  SpawnedDaemon exact_;
  SpawnedDaemon other_;
  const std::string text_ = testing::TempDir() + "/follow_eval_next.txt";
};

TEST_F(FollowEvalTest, ComparesEachEndpointWithTheExactSession) {
  for (const auto& [session, count] : {std::pair("a", 150u), {"b", 100u}}) {
    Save(exact_, session, count, "exact");
    Save(other_, session, count, "tsc:bits=4");
  }
  const auto rows = RunFollowEval(Options({"a", "b"}), {});
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  ASSERT_EQ(rows->size(), 2u);
  const EvalRow& same = (*rows)[0];
  EXPECT_EQ(same.variant, exact_.endpoint());
  EXPECT_EQ(same.quality.windows, 2u);
  EXPECT_EQ(same.quality.tokens, 2 * kScored);
  EXPECT_EQ(same.prefix_tokens, 125u);
  EXPECT_EQ(same.quality.kl.mean, 0);
  EXPECT_EQ(same.quality.top1.mean, 1);
  EXPECT_EQ(same.size.tokens, 0u);  // of two sessions none is said
  const EvalRow& lossy = (*rows)[1];
  EXPECT_EQ(lossy.variant, other_.endpoint());
  EXPECT_GT(lossy.quality.kl.mean, same.noise.kl.mean);
  EXPECT_LT(lossy.quality.kl.mean, 1);

  const auto one = RunFollowEval(Options({"b"}), {});
  ASSERT_TRUE(one.ok()) << one.status().ToString();
  EXPECT_EQ((*one)[0].size.tokens, 100u);
  EXPECT_EQ((*one)[0].parameters, "exact=2");
  EXPECT_LT((*one)[1].size.frame_bytes, (*one)[0].size.frame_bytes);
  EXPECT_EQ((*one)[1].parameters, "exact=1,coarse=1");
  // An exact save of what another session stored with loss makes both exact.
  Save(other_, "c", 100, "exact");
  const auto healed = RunFollowEval(Options({"b"}), {});
  ASSERT_TRUE(healed.ok()) << healed.status().ToString();
  EXPECT_EQ((*healed)[1].parameters, "exact=2");
  EXPECT_EQ((*healed)[1].quality.kl.mean, 0);
}

TEST_F(FollowEvalTest, SaysWhatCanNotBeCompared) {
  const SpawnedDaemon lossy_daemon;
  Save(lossy_daemon, "s", 100, "tsc:bits=4");
  Save(exact_, "s", 100, "exact");
  Save(other_, "s", 99, "exact");
  EvalOptions options = Options({"s"});
  options.exact_endpoint = lossy_daemon.endpoint();
  const auto lossy = RunFollowEval(options, {});
  EXPECT_EQ(lossy.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(lossy.status().message().find("is not exact"), std::string::npos)
      << lossy.status().ToString();
  const auto differs = RunFollowEval(Options({"s"}), {});
  EXPECT_EQ(differs.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(differs.status().message().find("100 and 99"), std::string::npos)
      << differs.status().ToString();
  EXPECT_EQ(RunFollowEval(Options({"none"}), {}).status().code(),
            StatusCode::kNotFound);
  options = Options({"s"});
  options.score = 100;
  const auto text = RunFollowEval(options, {});
  EXPECT_EQ(text.status().code(), StatusCode::kInvalidArgument);
}

TEST_F(FollowEvalTest, RecomputesWhatIsNotStored) {
  JudgedModelOptions options;
  options.path = SmallModel::Path();
  options.context_tokens = 256;
  options.scored_tokens = kScored;
  const auto judged = *JudgedModel::Make(SmallModel::Get(), options);
  const std::vector<TokenId> all = SmallModel::Prompt(100 + kScored + 1);
  const auto prefix = std::span(all).first(100);
  const auto scored = std::span(all).subspan(100, kScored);
  const SequenceState state = *judged->Prefill(prefix, nullptr);
  const ScoreReference reference(*judged->Score(state, {}, scored),
                                 judged->vocabulary(),
                                 std::span(all).subspan(101));
  const auto kl_from = [&](uint64_t position) {
    EXPECT_TRUE(judged->Put(state, {}).ok());
    EXPECT_TRUE(judged->Recompute(position, prefix.subspan(position)).ok());
    const std::vector<std::vector<TokenScore>> windows = {
        reference.Compare(*judged->Continue(scored))};
    return Summarise(windows).kl.mean;
  };
  EXPECT_EQ(kl_from(0), 0);  // the same batch again
  EXPECT_EQ(kl_from(100), 0);
  EXPECT_LT(kl_from(64), 0.02);  // another shape of batch
}

}  // namespace
}  // namespace reprise
