// The adapter's own part of saving and restoring, with a real model and a
// client that keeps sessions in memory.
#include "client/llama/llama_kv.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <numeric>

#include "tests/client_llama/fake_client.h"
#include "tests/client_llama/small_model.h"

namespace reprise {
namespace {

constexpr uint32_t kPrompt = 100;
constexpr uint32_t kGenerated = 12;
const LlamaRunnerOptions kPlain = {.context_tokens = 256};

class LlamaKvTest : public SmallModelTest {
 protected:
  void SetUp() override {
    SmallModelTest::SetUp();
    if (IsSkipped()) return;
    cache_ = *SmallModel::Describe(kPlain);
    model_ = *client_.RegisterModel(cache_.spec);
    prompt_ = SmallModel::Prompt(kPrompt);
    runner_ = SmallModel::Runner(kPlain);
    ASSERT_TRUE(runner_->Decode(prompt_, 0).ok());
    next_ = runner_->Next();
  }

  LlamaSaveRequest SaveOf(LlamaRunner* runner,
                          std::span<const TokenId> tokens) {
    return {.model = model_,
            .cache = &cache_,
            .context = runner->context(),
            .tokens = tokens,
            .pending = std::span(&next_, 1)};
  }
  LlamaRestoreRequest RestoreTo(LlamaRunner* runner) {
    return {.model = model_, .cache = &cache_, .context = runner->context()};
  }

  FakeClient client_;
  LlamaCache cache_;
  Model model_;
  std::vector<TokenId> prompt_;
  std::unique_ptr<LlamaRunner> runner_;
  TokenId next_ = 0;
};

TEST_F(LlamaKvTest, GoesOnFromARestoreAsIfNothingHadHappened) {
  auto saved = SaveSequence(&client_, "s", SaveOf(runner_.get(), prompt_));
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_EQ(saved->first_token, 0u);
  const auto expected = *runner_->Generate(next_, kPrompt, kGenerated);

  const auto fresh = SmallModel::Runner(kPlain);
  auto restored = RestoreSequence(&client_, "s", RestoreTo(fresh.get()));
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(restored->tokens, prompt_);
  EXPECT_EQ(restored->pending, std::vector<TokenId>{next_});
  EXPECT_EQ(*fresh->Generate(next_, kPrompt, kGenerated), expected);
}

TEST_F(LlamaKvTest, TakesOnlyNewCellsOutOfTheContext) {
  ASSERT_TRUE(SaveSequence(&client_, "s", SaveOf(runner_.get(), prompt_)).ok());
  const auto more = *runner_->Generate(next_, kPrompt, kGenerated);
  std::vector<TokenId> tokens = prompt_;
  tokens.insert(tokens.end(), more.begin(), more.end() - 1);
  client_.rows_saved = 0;
  auto saved = SaveSequence(&client_, "s", SaveOf(runner_.get(), tokens));
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_EQ(saved->first_token, 64u);
  EXPECT_EQ(client_.rows_saved, tokens.size() - 64);
  EXPECT_LT(saved->state_bytes, 50u * 24'000);
  // The scratch sequence is gone, the conversation is not.
  const llama_memory_t memory = llama_get_memory(runner_->context());
  EXPECT_EQ(llama_memory_seq_pos_max(memory, 1), -1);
  EXPECT_EQ(llama_memory_seq_pos_min(memory, 0), 0);

  const auto fresh = SmallModel::Runner(kPlain);
  auto restored = RestoreSequence(&client_, "s", RestoreTo(fresh.get()));
  ASSERT_TRUE(restored.ok());
  EXPECT_EQ(restored->tokens, tokens);
  EXPECT_EQ(*fresh->Generate(more.back(), tokens.size(), kGenerated),
            *runner_->Generate(more.back(), tokens.size(), kGenerated));
}

TEST_F(LlamaKvTest, AsksAgainWhenWhatWasStoredIsGone) {
  client_.overstated_tokens = 64;
  auto saved = SaveSequence(&client_, "s", SaveOf(runner_.get(), prompt_));
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_EQ(saved->first_token, 0u);
}

TEST_F(LlamaKvTest, TakesTheWholeStateWhereRangesCantBeCopied) {
  const LlamaRunnerOptions apart = {
      .context_tokens = 512, .sequences = 2, .unified = false};
  cache_ = *SmallModel::Describe(apart);
  EXPECT_FALSE(cache_.copies_ranges);
  EXPECT_EQ(ModelIdOf(cache_.spec), IdOf(model_));
  const auto runner = SmallModel::Runner(apart);
  ASSERT_TRUE(runner->Decode(prompt_, 0).ok());
  for (const uint32_t tokens : {80u, kPrompt}) {
    auto saved = SaveSequence(
        &client_, "s", SaveOf(runner.get(), std::span(prompt_).first(tokens)));
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    EXPECT_EQ(saved->first_token, 0u);
  }
  EXPECT_EQ(client_.rows_saved, 80u + kPrompt - 64);
  auto restored = RestoreSequence(&client_, "s", RestoreTo(runner.get()));
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(restored->tokens, prompt_);
}

TEST_F(LlamaKvTest, RestoresAPrefixThatEqualsAFreshOne) {
  ASSERT_TRUE(SaveSequence(&client_, "s", SaveOf(runner_.get(), prompt_)).ok());
  constexpr uint32_t kCut = 77;
  const auto cut = SmallModel::Runner(kPlain);
  LlamaRestoreRequest request = RestoreTo(cut.get());
  request.end_token = kCut;
  auto restored = RestoreSequence(&client_, "s", request);
  ASSERT_TRUE(restored.ok());
  EXPECT_EQ(restored->tokens.size(), kCut);
  EXPECT_TRUE(restored->pending.empty());
  // Another end for both.
  const TokenId other = prompt_[3];
  ASSERT_TRUE(
      llama_memory_seq_rm(llama_get_memory(runner_->context()), 0, kCut, -1));
  EXPECT_EQ(*cut->Generate(other, kCut, kGenerated),
            *runner_->Generate(other, kCut, kGenerated));
}

TEST_F(LlamaKvTest, SaysWhichTokensWereLost) {
  ASSERT_TRUE(SaveSequence(&client_, "s", SaveOf(runner_.get(), prompt_)).ok());
  client_.lost_from = 64;
  const auto fresh = SmallModel::Runner(kPlain);
  auto restored = RestoreSequence(&client_, "s", RestoreTo(fresh.get()));
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(restored->tokens.size(), 64u);
  EXPECT_EQ(restored->lost.size(), kPrompt - 64);
  EXPECT_EQ(restored->pending, std::vector<TokenId>{next_});
  EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(fresh->context()), 0),
            63);
  ASSERT_TRUE(fresh->Decode(restored->lost, 64).ok());
  EXPECT_EQ(fresh->Next(), next_);
  client_.lost_from = 0;
  restored = RestoreSequence(&client_, "s", RestoreTo(fresh.get()));
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(restored->lost, prompt_);
  EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(fresh->context()), 0),
            -1);
}

TEST_F(LlamaKvTest, ReplacesWhatTheSequenceHeld) {
  ASSERT_TRUE(SaveSequence(&client_, "s",
                           SaveOf(runner_.get(), std::span(prompt_).first(70)))
                  .ok());
  auto restored = RestoreSequence(&client_, "s", RestoreTo(runner_.get()));
  ASSERT_TRUE(restored.ok());
  EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(runner_->context()), 0),
            69);
  EXPECT_EQ(RestoreSequence(&client_, "none", RestoreTo(runner_.get()))
                .status()
                .code(),
            StatusCode::kNotFound);
}

TEST_F(LlamaKvTest, RefusesWhatItCantSave) {
  const auto code = [&](const LlamaSaveRequest& request) {
    return SaveSequence(&client_, "s", request).status().code();
  };
  LlamaSaveRequest request = SaveOf(runner_.get(), {});
  EXPECT_EQ(code(request), StatusCode::kInvalidArgument);
  std::vector<TokenId> longer = prompt_;
  longer.push_back(next_);
  EXPECT_EQ(code(SaveOf(runner_.get(), longer)), StatusCode::kInvalidArgument);
  request = SaveOf(runner_.get(), prompt_);
  request.scratch = 0;
  EXPECT_EQ(code(request), StatusCode::kFailedPrecondition);
  request.scratch = 1;
  ASSERT_TRUE(runner_->Decode(std::span(prompt_).first(3), 0, 1).ok());
  EXPECT_EQ(code(request), StatusCode::kFailedPrecondition);
}

TEST_F(LlamaKvTest, RefusesAContextOfAnotherKind) {
  const LlamaRunnerOptions quantised = {
      .context_tokens = 256, .type_k = "q8_0", .type_v = "q8_0"};
  const auto other = SmallModel::Runner(quantised);
  ASSERT_TRUE(other->Decode(std::span(prompt_).first(10), 0).ok());
  const Status saved =
      SaveSequence(&client_, "t",
                   SaveOf(other.get(), std::span(prompt_).first(10)))
          .status();
  EXPECT_EQ(saved.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(saved.message(),
            "llama: the context's cache: layer 0 K: row is 204 bytes of q8_0, "
            "384 of f16 are wanted");

  ASSERT_TRUE(SaveSequence(&client_, "s", SaveOf(runner_.get(), prompt_)).ok());
  const Status restored =
      RestoreSequence(&client_, "s", RestoreTo(other.get())).status();
  EXPECT_EQ(restored.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(llama_memory_seq_pos_max(llama_get_memory(other->context()), 0),
            -1);
}

TEST_F(LlamaKvTest, SaysThatAContextIsTooSmall) {
  const auto large = SmallModel::Runner({.context_tokens = 512});
  const std::vector<TokenId> tokens = SmallModel::Prompt(300);
  ASSERT_TRUE(large->Decode(tokens, 0).ok());
  ASSERT_TRUE(SaveSequence(&client_, "s", SaveOf(large.get(), tokens)).ok());
  EXPECT_EQ(
      RestoreSequence(&client_, "s", RestoreTo(runner_.get())).status().code(),
      StatusCode::kResourceExhausted);
}

TEST_F(LlamaKvTest, ImportsSlotFiles) {
  const std::string path = testing::TempDir() + "/import.bin";
  std::vector<TokenId> tokens = prompt_;
  tokens.push_back(next_);  // as llama-server may: its cell is not there yet
  ASSERT_GT(llama_state_seq_save_file(runner_->context(), path.c_str(), 0,
                                      tokens.data(), tokens.size()),
            0u);
  std::ifstream file(path, std::ios::binary);
  const Bytes bytes((std::istreambuf_iterator<char>(file)), {});
  auto saved = SaveSlotFile(&client_, "slot", bytes,
                            {.model = model_, .cache = &cache_});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto fresh = SmallModel::Runner(kPlain);
  auto restored = RestoreSequence(&client_, "slot", RestoreTo(fresh.get()));
  ASSERT_TRUE(restored.ok());
  EXPECT_EQ(restored->tokens, prompt_);
  EXPECT_EQ(restored->pending, std::vector<TokenId>{next_});
  EXPECT_EQ(*fresh->Generate(next_, kPrompt, kGenerated),
            *runner_->Generate(next_, kPrompt, kGenerated));
}

}  // namespace
}  // namespace reprise
