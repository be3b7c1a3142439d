// What a model file's header says and how a ModelSpec tells it: the headers
// are made here, the model that answers libllama's questions is a real one.
#include "client/llama/llama_spec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gguf.h"
#include "tests/client_llama/small_model.h"

namespace reprise {
namespace {

struct FreeGguf {
  void operator()(gguf_context* gguf) const { gguf_free(gguf); }
};
struct FreeGgml {
  void operator()(ggml_context* ggml) const { ggml_free(ggml); }
};

// A GGUF file of the few keys that a test is about.
class Header {
 public:
  Header() : gguf_(gguf_init_empty()) {
    Text("general.architecture", "llama");
    Text("general.name", "made up");
    Number("llama.context_length", 8192);
    Number("llama.attention.head_count_kv", 3);
  }

  void Text(const char* key, const char* value) {
    gguf_set_val_str(gguf_.get(), key, value);
  }
  void Number(const char* key, float value) {
    gguf_set_val_f32(gguf_.get(), key, value);
  }
  void Array(const char* key, const std::vector<int32_t>& values) {
    gguf_set_arr_data(gguf_.get(), key, GGUF_TYPE_INT32, values.data(),
                      values.size());
  }
  void Tensor(const char* name, const std::vector<float>& values) {
    ggml_.reset(ggml_init(
        {.mem_size = 1 << 20, .mem_buffer = nullptr, .no_alloc = false}));
    ggml_tensor* tensor = ggml_new_tensor_1d(
        ggml_.get(), GGML_TYPE_F32, static_cast<int64_t>(values.size()));
    std::copy(values.begin(), values.end(), static_cast<float*>(tensor->data));
    ggml_set_name(tensor, name);
    gguf_add_tensor(gguf_.get(), tensor);
  }

  Result<LlamaCache> Describe(llama_context_params params) {
    const std::string path = testing::TempDir() + "/header.gguf";
    EXPECT_TRUE(gguf_write_to_file(gguf_.get(), path.c_str(), false));
    return DescribeLlamaCache(SmallModel::Get().get(), params, {.model = path});
  }
  Result<LlamaCache> Describe() { return Describe(*ContextParams({})); }

 private:
  std::unique_ptr<gguf_context, FreeGguf> gguf_;
  std::unique_ptr<ggml_context, FreeGgml> ggml_;
};

class LlamaSpecTest : public SmallModelTest {};

TEST_F(LlamaSpecTest, TakesDefaultsForWhatTheHeaderLacks) {
  Result<LlamaCache> cache = Header().Describe();
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  const RopeSpec expected = {
      .pairing = RopePairing::kAdjacent, .rotary_dims = 64, .theta = 10000};
  EXPECT_EQ(cache->spec.rope, expected);
}

TEST_F(LlamaSpecTest, TellsFactorsOfFrequencies) {
  std::vector<float> factors(32);
  for (size_t i = 0; i < factors.size(); ++i) factors[i] = 1.0f + i;
  Header header;
  header.Number("llama.rope.freq_base", 500000);
  header.Tensor("rope_freqs.weight", factors);
  Result<LlamaCache> cache = header.Describe();
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  EXPECT_EQ(cache->spec.rope.scaling, RopeScaling::kFactors);
  EXPECT_EQ(cache->spec.rope.factors, factors);
  EXPECT_EQ(cache->spec.rope.theta, 500000);
}

TEST_F(LlamaSpecTest, ChoosesTheFactorsOfTheContextsLength) {
  for (const bool is_long : {false, true}) {
    Header header;
    header.Number("llama.rope.scaling.original_context_length", 1024);
    header.Tensor(
        is_long ? "rope_factors_long.weight" : "rope_factors_short.weight",
        std::vector<float>(32, 2.0f));
    llama_context_params params = *ContextParams({});
    params.n_ctx = is_long ? 2048 : 512;
    EXPECT_EQ(header.Describe(params)->spec.rope.scaling,
              RopeScaling::kFactors);
    params.n_ctx = is_long ? 512 : 2048;
    EXPECT_EQ(header.Describe(params)->spec.rope.scaling, RopeScaling::kNone);
  }
}

TEST_F(LlamaSpecTest, TellsYarnAndTheContextsOverrides) {
  Header header;
  header.Text("llama.rope.scaling.type", "yarn");
  header.Number("llama.rope.scaling.original_context_length", 4096);
  header.Number("llama.rope.scaling.yarn_beta_fast", 16);
  Result<LlamaCache> cache = header.Describe();
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  EXPECT_EQ(cache->spec.rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(cache->spec.rope.original_context, 4096u);
  EXPECT_EQ(cache->spec.rope.factors, (std::vector<float>{1, 1, 16, 1}));

  llama_context_params params = *ContextParams({});
  params.rope_freq_scale = 0.5;
  params.yarn_beta_slow = 2;
  cache = header.Describe(params);
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  EXPECT_EQ(cache->spec.rope.scale, 0.5);
  EXPECT_EQ(cache->spec.rope.factors, (std::vector<float>{1, 1, 16, 2}));
}

TEST_F(LlamaSpecTest, TellsLinearScalingOfTheContext) {
  llama_context_params params = *ContextParams({});
  params.rope_freq_scale = 0.25;
  params.rope_scaling_type = LLAMA_ROPE_SCALING_TYPE_LINEAR;
  Result<LlamaCache> cache = Header().Describe(params);
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  EXPECT_EQ(cache->spec.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(cache->spec.rope.scale, 0.25);
  params.rope_scaling_type = LLAMA_ROPE_SCALING_TYPE_NONE;
  EXPECT_EQ(Header().Describe(params)->spec.rope.scale, 1);
}

TEST_F(LlamaSpecTest, HashesTheVocabularyAndNothingElse) {
  Header header;
  header.Array("tokenizer.ggml.token_type", {1, 2, 3});
  const Sha256Digest one = header.Describe()->spec.tokenizer_hash;
  header.Text("general.name", "another");
  header.Text("tokenizer.chat_template", "hello");
  EXPECT_EQ(header.Describe()->spec.tokenizer_hash, one);
  header.Array("tokenizer.ggml.token_type", {1, 2, 4});
  EXPECT_NE(header.Describe()->spec.tokenizer_hash, one);
}

TEST_F(LlamaSpecTest, RefusesWhatIsNotSupported) {
  for (const char* key :
       {"llama.attention.kv_lora_rank", "llama.attention.key_length_mla"}) {
    Header header;
    header.Number(key, 64);
    EXPECT_EQ(header.Describe().status().code(), StatusCode::kUnimplemented);
  }
  Header split;
  split.Number("split.count", 2);
  EXPECT_EQ(split.Describe().status().code(), StatusCode::kUnimplemented);
  Header bidirectional;
  bidirectional.Number("llama.attention.causal", 0);
  EXPECT_EQ(bidirectional.Describe().status().code(),
            StatusCode::kUnimplemented);
  llama_context_params params = *ContextParams({});
  params.attention_type = LLAMA_ATTENTION_TYPE_NON_CAUSAL;
  EXPECT_EQ(Header().Describe(params).status().code(),
            StatusCode::kUnimplemented);
}

TEST_F(LlamaSpecTest, RefusesHeadsThatDoNotDivideARow) {
  Header header;
  header.Number("llama.attention.head_count_kv", 5);
  EXPECT_EQ(header.Describe().status().code(), StatusCode::kInvalidArgument);
  Header by_layer;
  by_layer.Array("llama.attention.head_count_kv", std::vector<int32_t>(30, 3));
  EXPECT_TRUE(by_layer.Describe().ok());
  by_layer.Array("llama.attention.head_count_kv", {3, 3});
  EXPECT_FALSE(by_layer.Describe().ok());
}

TEST_F(LlamaSpecTest, NamesAdaptersByTheirBytesAndScale) {
  const std::string a = testing::TempDir() + "/a.lora";
  const std::string b = testing::TempDir() + "/b.lora";
  std::ofstream(a) << "adapter a";
  std::ofstream(b) << "adapter b";
  const auto hash = [](const std::vector<LlamaAdapterFile>& adapters) {
    return DescribeLlamaCache(
               SmallModel::Get().get(), *ContextParams({}),
               {.model = SmallModel::Path(), .adapters = adapters})
        ->spec.adapter_hash;
  };
  EXPECT_EQ(hash({{a}, {b}}), hash({{b}, {a}}));
  EXPECT_NE(hash({{a}, {b}}), hash({{a}}));
  EXPECT_NE(hash({{a, 0.5f}}), hash({{a}}));
  EXPECT_EQ(DescribeLlamaCache(
                SmallModel::Get().get(), *ContextParams({}),
                {.model = SmallModel::Path(), .adapters = {{a + ".missing"}}})
                .status()
                .code(),
            StatusCode::kNotFound);
}

TEST_F(LlamaSpecTest, SaysWhetherQuantisedValuesAreRotated) {
  const LlamaRunnerOptions options = {.type_k = "q8_0"};
  EXPECT_EQ(SmallModel::Describe(options)->spec.value_encoding,
            "ggml:q8_0,f16 hadamard:64,0");
  setenv("LLAMA_ATTN_ROT_DISABLE", "1", 1);
  EXPECT_EQ(SmallModel::Describe(options)->spec.value_encoding,
            "ggml:q8_0,f16 hadamard:0,0");
  unsetenv("LLAMA_ATTN_ROT_DISABLE");
}

}  // namespace
}  // namespace reprise
