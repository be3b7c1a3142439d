// A real model, a real daemon: what is restored goes on as what was saved.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/llama/llama_kv.h"
#include "tests/client_llama/small_model.h"
#include "tests/client_llama/spawned_daemon.h"
#include "tools/llama_runner.h"

namespace reprise {
namespace {

constexpr uint32_t kPrompt = 200;
constexpr uint32_t kGenerated = 16;
const LlamaRunnerOptions kPlain = {.context_tokens = 512};

// A conversation in a context, and the client that keeps it.
struct Talk {
  std::unique_ptr<LlamaRunner> runner;
  LlamaCache cache;
  std::unique_ptr<Client> client;
  Model model;
  std::vector<TokenId> tokens;
  TokenId next = 0;

  // Generates, and keeps what was generated as part of the conversation.
  std::vector<TokenId> Generate(uint32_t count = kGenerated) {
    auto generated = *runner->Generate(next, tokens.size(), count);
    tokens.insert(tokens.end(), generated.begin(), generated.end() - 1);
    next = generated.back();
    return generated;
  }

  Result<LlamaSaveResult> Save(std::string_view session,
                               LlamaSaveRequest request = {}) {
    request.model = model;
    request.cache = &cache;
    request.context = runner->context();
    request.tokens = tokens;
    request.pending = std::span(&next, 1);
    return SaveSequence(client.get(), session, request);
  }

  Result<LlamaRestoreResult> Restore(std::string_view session,
                                     LlamaRestoreRequest request = {}) {
    request.model = model;
    request.cache = &cache;
    request.context = runner->context();
    auto restored = RestoreSequence(client.get(), session, request);
    if (restored.ok()) tokens = restored->tokens;
    if (restored.ok() && !restored->pending.empty()) {
      next = restored->pending[0];
    }
    return restored;
  }
};

class LlamaDaemonTest : public SmallModelTest {
 protected:
  static void TearDownTestSuite() { daemon_.reset(); }

  void SetUp() override {
    SmallModelTest::SetUp();
    if (IsSkipped()) return;
    if (daemon_ == nullptr) daemon_ = std::make_unique<SpawnedDaemon>();
    ASSERT_FALSE(daemon_->endpoint().empty()) << "reprised does not listen";
    prompt_ = SmallModel::Prompt(kPrompt);
  }

  // A context and a client of its own, as another process would have.
  Talk Open(const LlamaRunnerOptions& options) {
    Talk talk;
    talk.runner = SmallModel::Runner(options);
    talk.cache = *SmallModel::Describe(options);
    auto client = Client::Connect({.endpoint = daemon_->endpoint()});
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    talk.client = *std::move(client);
    auto model = talk.client->RegisterModel(talk.cache.spec);
    EXPECT_TRUE(model.ok()) << model.status().ToString();
    talk.model = *model;
    return talk;
  }

  Talk OpenAndRead(const LlamaRunnerOptions& options) {
    Talk talk = Open(options);
    EXPECT_TRUE(talk.runner->Decode(prompt_, 0).ok());
    talk.tokens = prompt_;
    talk.next = talk.runner->Next();
    return talk;
  }

  void ExpectGoesOn(const LlamaRunnerOptions& options,
                    const std::string& session) {
    SCOPED_TRACE(session);
    Talk first = OpenAndRead(options);
    auto saved = first.Save(session);
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    const std::vector<TokenId> expected = first.Generate();
    Talk second = Open(options);
    auto restored = second.Restore(session);
    ASSERT_TRUE(restored.ok()) << restored.status().ToString();
    EXPECT_EQ(second.tokens, prompt_);
    EXPECT_EQ(second.Generate(), expected);
  }

  static std::unique_ptr<SpawnedDaemon> daemon_;
  std::vector<TokenId> prompt_;
};

std::unique_ptr<SpawnedDaemon> LlamaDaemonTest::daemon_;

TEST_F(LlamaDaemonTest, GoesOnExactlyWithFlashAttention) {
  for (const char* type : {"f16", "bf16", "f32", "q8_0"}) {
    ExpectGoesOn({.context_tokens = 512, .type_k = type, .type_v = type},
                 std::string("with-") + type);
  }
}

TEST_F(LlamaDaemonTest, GoesOnExactlyWithoutFlashAttention) {
  for (const char* type : {"bf16", "f32"}) {
    ExpectGoesOn({.context_tokens = 512,
                  .type_k = type,
                  .type_v = type,
                  .flash_attention = false},
                 std::string("without-") + type);
  }
}

// V is transposed in the one and not in the other: the values are the same.
TEST_F(LlamaDaemonTest, FlashAttentionMayBeSwitchedBetween) {
  LlamaRunnerOptions without = kPlain;
  without.flash_attention = false;
  Talk first = OpenAndRead(without);
  ASSERT_TRUE(first.Save("switched").ok());
  const std::vector<TokenId> expected = first.Generate();

  Talk with = Open(kPlain);
  ASSERT_TRUE(with.Restore("switched").ok());
  ASSERT_TRUE(with.Save("switched-back").ok());
  Talk last = Open(without);
  auto restored = last.Restore("switched-back");
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(last.Generate(), expected);
}

TEST_F(LlamaDaemonTest, SendsOnlyWhatIsNew) {
  Talk talk = OpenAndRead(kPlain);
  ASSERT_TRUE(talk.Save("turns").ok());
  talk.Generate();
  auto saved = talk.Save("turns");
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const uint64_t first = kPrompt / 64 * 64;
  EXPECT_EQ(saved->first_token, first);
  EXPECT_EQ(saved->save.raw_bytes,
            (talk.tokens.size() - first) * talk.cache.spec.token_bytes());
  // Nothing is new: nothing but the commit travels.
  auto again = talk.Save("turns");
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(again->save.frame_bytes, 0u);
  EXPECT_EQ(again->state_bytes, 0u);

  const std::vector<TokenId> tokens = talk.tokens;
  const std::vector<TokenId> expected = talk.Generate();
  Talk second = Open(kPlain);
  ASSERT_TRUE(second.Restore("turns").ok());
  EXPECT_EQ(second.tokens, tokens);
  EXPECT_EQ(second.Generate(), expected);
}

TEST_F(LlamaDaemonTest, RestoresAnyPrefix) {
  Talk talk = OpenAndRead(kPlain);
  ASSERT_TRUE(talk.Save("prefixes").ok());
  const llama_memory_t memory = llama_get_memory(talk.runner->context());
  Talk second = Open(kPlain);
  for (const uint32_t end : {199u, 128u, 70u, 1u}) {
    SCOPED_TRACE(end);
    auto restored = second.Restore("prefixes", {.end_token = end});
    ASSERT_TRUE(restored.ok()) << restored.status().ToString();
    EXPECT_EQ(second.tokens.size(), end);
    EXPECT_TRUE(restored->pending.empty());
    ASSERT_TRUE(llama_memory_seq_rm(memory, 0, end, -1));
    EXPECT_EQ(*second.runner->Generate(prompt_[0], end, 4),
              *talk.runner->Generate(prompt_[0], end, 4));
  }
}

TEST_F(LlamaDaemonTest, FindsAPromptByMatchAndStoresNoneOfItAgain) {
  Talk talk = OpenAndRead(kPlain);
  talk.tokens.resize(192);
  ASSERT_TRUE(talk.Save("matched").ok());
  Talk second = Open(kPlain);
  auto match =
      second.client->Match(second.model, prompt_, {.lease_ms = 60'000});
  ASSERT_TRUE(match.ok()) << match.status().ToString();
  ASSERT_GE(match->tokens, 192u);
  auto restored = second.Restore(
      "", {.end_token = 192, .match = match->ticket, .tokens = prompt_});
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  ASSERT_EQ(second.tokens.size(), 192u);
  second.next = prompt_[192];
  auto saved = second.Save("matched-too");
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_EQ(saved->save.frame_bytes, 0u);
  EXPECT_EQ(saved->save.new_segments, 0u);
}

// All of it is stored, so nothing of the cache is needed; what was computed
// anew is better all the same.
TEST_F(LlamaDaemonTest, ExactStateReplacesWhatASessionStoredWithLoss) {
  // A prompt of its own: the store has the others' exact state.
  std::rotate(prompt_.begin(), prompt_.begin() + 11, prompt_.end());
  Talk lossy = OpenAndRead(kPlain);
  ASSERT_TRUE(lossy.Save("lossy", {.codec = "tsc:bits=4"}).ok());
  Talk restored = Open(kPlain);
  const auto coarse = restored.Restore("lossy", {.lowest = Tier::kCoarse});
  ASSERT_TRUE(coarse.ok()) << coarse.status().ToString();
  ASSERT_EQ(restored.tokens, prompt_);
  // What is no better than what is there is neither taken nor sent.
  const auto same =
      restored.Save("as-coarse", {.basis = coarse->restore.info.ranges});
  ASSERT_TRUE(same.ok()) << same.status().ToString();
  EXPECT_EQ(same->state_bytes, 0u);
  EXPECT_EQ(Open(kPlain).Restore("lossy")->tokens.size(), 0u);

  Talk recomputed = OpenAndRead(kPlain);
  const std::vector<TokenId> expected = [&] {
    const auto saved = recomputed.Save("exact");
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    EXPECT_EQ(saved->first_token, 0u);
    EXPECT_GT(saved->save.frame_bytes, 0u);
    return recomputed.Generate();
  }();
  // And never the other way round.
  ASSERT_TRUE(lossy.Save("lossy-again", {.codec = "tsc:bits=4"}).ok());
  for (const char* session : {"exact", "lossy", "as-coarse", "lossy-again"}) {
    SCOPED_TRACE(session);
    Talk talk = Open(kPlain);
    const auto exact = talk.Restore(session);
    ASSERT_TRUE(exact.ok()) << exact.status().ToString();
    EXPECT_EQ(talk.tokens, prompt_);
    EXPECT_FALSE(exact->restore.recompute_from.has_value());
    EXPECT_EQ(talk.Generate(), expected);
  }
}

TEST_F(LlamaDaemonTest, SurvivesAKilledDaemon) {
  Talk talk = OpenAndRead(kPlain);
  ASSERT_TRUE(talk.Save("survivor").ok());
  const std::vector<TokenId> expected = talk.Generate();
  daemon_->Kill();
  daemon_->Start();
  ASSERT_FALSE(daemon_->endpoint().empty());
  Talk second = Open(kPlain);
  auto restored = second.Restore("survivor");
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_TRUE(restored->lost.empty());
  EXPECT_EQ(second.Generate(), expected);
}

TEST_F(LlamaDaemonTest, RefusesAnotherModelByItsField) {
  Talk talk = OpenAndRead(kPlain);
  ASSERT_TRUE(talk.Save("f16-only").ok());
  Talk other = Open({.context_tokens = 512, .type_k = "bf16"});
  const Status status = other.Restore("f16-only").status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("layer 0 plane k: dtype"), std::string::npos)
      << status.ToString();
  const llama_memory_t memory = llama_get_memory(other.runner->context());
  EXPECT_EQ(llama_memory_seq_pos_max(memory, 0), -1);
}

TEST_F(LlamaDaemonTest, ImportsSlotFiles) {
  Talk talk = OpenAndRead(kPlain);
  const std::string path = testing::TempDir() + "/daemon_slot.bin";
  std::vector<TokenId> tokens = prompt_;
  tokens.push_back(talk.next);
  ASSERT_GT(llama_state_seq_save_file(talk.runner->context(), path.c_str(), 0,
                                      tokens.data(), tokens.size()),
            0u);
  std::ifstream file(path, std::ios::binary);
  const Bytes bytes((std::istreambuf_iterator<char>(file)), {});
  auto saved = SaveSlotFile(talk.client.get(), "slot", bytes,
                            {.model = talk.model, .cache = &talk.cache});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  Talk second = Open(kPlain);
  ASSERT_TRUE(second.Restore("slot").ok());
  EXPECT_EQ(second.tokens, prompt_);
  EXPECT_EQ(second.Generate(), talk.Generate());
}

// A state with holes: the model goes on at its true positions, the same way
// each time, and what it appends can be saved.
TEST_F(LlamaDaemonTest, GoesOnWithDroppedTokens) {
  // A prompt of its own: the store has the others' exact state.
  std::rotate(prompt_.begin(), prompt_.begin() + 7, prompt_.end());
  Talk first = OpenAndRead(kPlain);
  std::vector<uint8_t> keep(kPrompt, 1);
  std::vector<uint64_t> dropped;
  for (uint32_t token = 4; token < 128; token += 4) {
    keep[token] = 0;
    dropped.push_back(token);
  }
  const auto saved = first.Save("holes", {.codec = "tsc", .keep = keep});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  std::vector<std::vector<TokenId>> continuations;
  for (int i = 0; i < 2; ++i) {
    Talk talk = Open(kPlain);
    const auto restored = talk.Restore(
        "holes", {.lowest = Tier::kArchive, .accept_dropped = true});
    ASSERT_TRUE(restored.ok()) << restored.status().ToString();
    EXPECT_EQ(restored->restore.dropped, dropped);
    EXPECT_EQ(talk.tokens, prompt_);
    continuations.push_back(talk.Generate(80));
    if (i == 0) continue;
    const auto again =
        talk.Save("holes", {.basis = restored->restore.info.ranges});
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    EXPECT_EQ(again->save.tokens, kPrompt + 79u);
    // What was computed from it counts as it does.
    Talk other = Open(kPlain);
    const auto exact = other.Restore("holes");
    ASSERT_TRUE(exact.ok()) << exact.status().ToString();
    EXPECT_EQ(exact->tokens.size(), 0u);
  }
  EXPECT_EQ(continuations[0], continuations[1]);
}

}  // namespace
}  // namespace reprise
