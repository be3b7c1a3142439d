// Sequence states of a real model: what the parser reads, the writer writes,
// and the model goes on from either as if nothing had happened.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "client/llama/llama_spec.h"
#include "client/llama/seq_state.h"
#include "tests/client_llama/small_model.h"
#include "tools/llama_runner.h"

namespace reprise {
namespace {

constexpr uint32_t kPrefix = 40;
constexpr uint32_t kGenerated = 12;

Bytes TakeState(llama_context* context, llama_seq_id sequence = 0) {
  Bytes bytes(llama_state_seq_get_size_ext(context, sequence, 0));
  EXPECT_EQ(llama_state_seq_get_data_ext(context, bytes.data(), bytes.size(),
                                         sequence, 0),
            bytes.size());
  return bytes;
}

bool PutState(llama_context* context, const Bytes& bytes,
              llama_seq_id sequence = 0) {
  return llama_state_seq_set_data_ext(context, bytes.data(), bytes.size(),
                                      sequence, 0) == bytes.size();
}

// Copies every element from one description of memory to another.
void CopyElements(const KvView& from, const KvSink& to, const ModelSpec& spec) {
  for (size_t i = 0; i < from.planes.size(); ++i) {
    const PlaneSpec& plane = spec.layers[i / 2].planes[i % 2];
    const KvPlane<const void*>& a = from.planes[i];
    const KvPlane<void*>& b = to.planes[i];
    const size_t bytes = DTypeBytes(plane.dtype);
    for (uint64_t token = 0; token < to.token_count; ++token) {
      const int64_t slot = from.paging.empty() ? static_cast<int64_t>(token)
                                               : from.paging[0].table32[token];
      for (uint32_t e = 0; e < plane.channels(); ++e) {
        const int64_t head = e / plane.dim;
        const int64_t element = e % plane.dim;
        std::memcpy(
            static_cast<uint8_t*>(b.base) +
                static_cast<int64_t>(token) * b.token_stride_bytes +
                head * b.head_stride_bytes + element * b.element_stride_bytes,
            static_cast<const uint8_t*>(a.base) + slot * a.token_stride_bytes +
                head * a.head_stride_bytes + element * a.element_stride_bytes,
            bytes);
      }
    }
  }
}

// The same state in the form that `to` accepts.
Result<Bytes> Rewrite(const Bytes& bytes, const LlamaCache& to) {
  REPRISE_ASSIGN_OR_RETURN(const SeqState state, ParseSeqState(bytes, {}));
  REPRISE_ASSIGN_OR_RETURN(const uint64_t size,
                           SeqStateBytes(to.layout, state.cell_count));
  Bytes out(size);
  REPRISE_ASSIGN_OR_RETURN(
      const SeqState written,
      WriteSeqState(to.layout, state.first_position, state.cell_count, out));
  REPRISE_ASSIGN_OR_RETURN(const KvView view, ViewOver(state, bytes, to.spec));
  REPRISE_ASSIGN_OR_RETURN(const KvSink sink, SinkOver(written, out, to.spec));
  CopyElements(view, sink, to.spec);
  return out;
}

struct Continued {
  std::unique_ptr<LlamaRunner> runner;
  Bytes state;  // after kPrefix tokens
  std::vector<TokenId> tokens;
};

// Prefills, and goes on without any detour.
Continued Reference(const LlamaRunnerOptions& options) {
  Continued out;
  out.runner = SmallModel::Runner(options);
  const std::vector<TokenId> prompt = SmallModel::Prompt(kPrefix);
  EXPECT_TRUE(out.runner->Decode(prompt, 0).ok());
  const TokenId next = out.runner->Next();
  out.state = TakeState(out.runner->context());
  out.tokens = *out.runner->Generate(next, kPrefix, kGenerated);
  return out;
}

// A state of a context with `saved` resumes in one with `restored`.
void ExpectResumes(const LlamaRunnerOptions& saved,
                   const LlamaRunnerOptions& restored) {
  const Continued reference = Reference(saved);
  Result<LlamaCache> cache = SmallModel::Describe(restored);
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  Result<Bytes> rewritten = Rewrite(reference.state, *cache);
  ASSERT_TRUE(rewritten.ok()) << rewritten.status().ToString();
  const auto runner = SmallModel::Runner(restored);
  ASSERT_TRUE(PutState(runner->context(), *rewritten));
  EXPECT_EQ(TakeState(runner->context()), *rewritten);
  if (saved.flash_attention == restored.flash_attention) {
    EXPECT_EQ(*rewritten, reference.state);
    EXPECT_EQ(*runner->Generate(reference.tokens[0], kPrefix, kGenerated),
              reference.tokens);
  }
}

class LlamaStateTest : public SmallModelTest {};

TEST_F(LlamaStateTest, ResumesWithEveryCacheType) {
  for (const char* type : {"f16", "bf16", "f32", "q8_0", "q4_0"}) {
    SCOPED_TRACE(type);
    const LlamaRunnerOptions options = {
        .context_tokens = 256, .type_k = type, .type_v = type};
    ExpectResumes(options, options);
  }
}

TEST_F(LlamaStateTest, ResumesWithTransposedValues) {
  for (const char* type : {"f16", "bf16", "f32"}) {
    SCOPED_TRACE(type);
    const LlamaRunnerOptions options = {.context_tokens = 256,
                                        .type_k = type,
                                        .type_v = type,
                                        .flash_attention = false};
    ExpectResumes(options, options);
    LlamaRunnerOptions with = options;
    with.flash_attention = true;
    ExpectResumes(options, with);
    ExpectResumes(with, options);
  }
}

TEST_F(LlamaStateTest, ReadsCellsThatWereUsedBefore) {
  const LlamaRunnerOptions options = {.context_tokens = 256};
  const auto runner = SmallModel::Runner(options);
  const std::vector<TokenId> prompt = SmallModel::Prompt(kPrefix);
  const llama_memory_t memory = llama_get_memory(runner->context());
  Result<LlamaCache> cache = SmallModel::Describe(options);
  ASSERT_TRUE(cache.ok());
  // Another sequence has the low cells at first, so the tokens that come
  // after it is gone lie before those that came with it.
  Bytes other(*SeqStateBytes(cache->layout, 220));
  ASSERT_TRUE(WriteSeqState(cache->layout, 0, 220, other).ok());
  ASSERT_TRUE(PutState(runner->context(), other, 1));
  ASSERT_TRUE(runner->Decode(std::span(prompt).first(20), 0).ok());
  ASSERT_TRUE(llama_memory_seq_rm(memory, 1, -1, -1));
  ASSERT_TRUE(runner->Decode(std::span(prompt).subspan(20), 20).ok());
  const Bytes bytes = TakeState(runner->context());
  Result<SeqState> state = ParseSeqState(bytes, {});
  ASSERT_TRUE(state.ok()) << state.status().ToString();
  EXPECT_FALSE(state->cell_of_token.empty());
  EXPECT_EQ(state->cell_count, kPrefix);
  Result<Bytes> sorted = Rewrite(bytes, *cache);
  ASSERT_TRUE(sorted.ok()) << sorted.status().ToString();
  const auto fresh = SmallModel::Runner(options);
  ASSERT_TRUE(PutState(fresh->context(), *sorted));
  EXPECT_EQ(TakeState(fresh->context()), *sorted);
}

TEST_F(LlamaStateTest, ReadsSlotFilesAndWritesThem) {
  const LlamaRunnerOptions options = {.context_tokens = 256};
  const auto runner = SmallModel::Runner(options);
  const std::vector<TokenId> prompt = SmallModel::Prompt(kPrefix);
  ASSERT_TRUE(runner->Decode(prompt, 0).ok());
  const std::string path = testing::TempDir() + "/slot.bin";
  ASSERT_GT(llama_state_seq_save_file(runner->context(), path.c_str(), 0,
                                      prompt.data(), prompt.size()),
            0u);
  std::ifstream file(path, std::ios::binary);
  const Bytes bytes((std::istreambuf_iterator<char>(file)), {});
  Result<SlotFile> slot = ParseSlotFile(bytes, {});
  ASSERT_TRUE(slot.ok()) << slot.status().ToString();
  EXPECT_EQ(slot->tokens, prompt);

  Result<LlamaCache> cache = SmallModel::Describe(options);
  ASSERT_TRUE(cache.ok());
  Bytes out(*SlotFileBytes(cache->layout, prompt.size()));
  Result<SeqState> written = WriteSlotFile(cache->layout, prompt, out);
  ASSERT_TRUE(written.ok()) << written.status().ToString();
  CopyElements(*ViewOver(slot->state, bytes, cache->spec),
               *SinkOver(*written, out, cache->spec), cache->spec);
  EXPECT_EQ(out, bytes);
}

TEST_F(LlamaStateTest, DescribesTheModel) {
  Result<LlamaCache> cache = SmallModel::Describe({});
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  const ModelSpec& spec = cache->spec;
  EXPECT_EQ(spec.weights_hash.Hex(),
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
  ASSERT_EQ(spec.layers.size(), 30u);
  EXPECT_EQ(spec.layers[29].planes[0].heads, 3u);
  EXPECT_EQ(spec.layers[29].planes[1].dim, 64u);
  EXPECT_EQ(spec.rope.pairing, RopePairing::kAdjacent);
  EXPECT_EQ(spec.rope.rotary_dims, 64u);
  EXPECT_EQ(spec.rope.theta, 100000);
  EXPECT_EQ(spec.rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(spec.value_encoding, "");
  EXPECT_TRUE(spec.adapter_hash.IsZero());
  EXPECT_FALSE(spec.tokenizer_hash.IsZero());
  EXPECT_TRUE(cache->copies_ranges);
}

TEST_F(LlamaStateTest, FlashAttentionIsNoPartOfTheIdentity) {
  const ModelId with = ModelIdOf(SmallModel::Describe({})->spec);
  EXPECT_EQ(with,
            ModelIdOf(SmallModel::Describe({.flash_attention = false})->spec));
  EXPECT_EQ(
      with,
      ModelIdOf(
          SmallModel::Describe({.sequences = 3, .unified = false})->spec));
}

TEST_F(LlamaStateTest, WhatChangesTheValuesIsPartOfTheIdentity) {
  const ModelSpec plain = SmallModel::Describe({})->spec;
  const ModelSpec quantised =
      SmallModel::Describe({.type_k = "q8_0", .type_v = "q8_0"})->spec;
  EXPECT_EQ(quantised.value_encoding, "ggml:q8_0,q8_0 hadamard:64,64");
  EXPECT_NE(ModelIdOf(plain), ModelIdOf(quantised));

  llama_context_params params = *ContextParams({});
  params.rope_freq_base = 5000;
  LlamaFiles files = {.model = SmallModel::Path()};
  Result<LlamaCache> turned =
      DescribeLlamaCache(SmallModel::Get().get(), params, files);
  ASSERT_TRUE(turned.ok());
  EXPECT_EQ(turned->spec.rope.theta, 5000);
  params = *ContextParams({});
  files.overrides = "control vector 12";
  Result<LlamaCache> steered =
      DescribeLlamaCache(SmallModel::Get().get(), params, files);
  ASSERT_TRUE(steered.ok());
  EXPECT_FALSE(steered->spec.adapter_hash.IsZero());
}

TEST_F(LlamaStateTest, RefusesFilesThatAreNoModel) {
  const llama_context_params params = *ContextParams({});
  const auto code = [&](const std::string& path) {
    return DescribeLlamaCache(SmallModel::Get().get(), params, {.model = path})
        .status()
        .code();
  };
  EXPECT_EQ(code(testing::TempDir() + "/missing.gguf"), StatusCode::kNotFound);
  const std::string path = testing::TempDir() + "/no.gguf";
  std::ofstream(path) << "no model at all, but long enough to be looked at";
  EXPECT_EQ(code(path), StatusCode::kDataLoss);
}

TEST_F(LlamaStateTest, RefusesCacheTypesThatLibllamaRefuses) {
  const Status status =
      SmallModel::Describe({.type_v = "q8_0", .flash_attention = false})
          .status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace reprise
