// The small real model that tests run, where third_party/llama has fetched it.
#ifndef REPRISE_TESTS_CLIENT_LLAMA_SMALL_MODEL_H_
#define REPRISE_TESTS_CLIENT_LLAMA_SMALL_MODEL_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "client/llama/llama_spec.h"
#include "llama.h"
#include "tools/llama_runner.h"

namespace reprise {

class SmallModel {
 public:
  static std::string Path() { return "external/llama/smollm2.gguf"; }

  // Loaded once a process.
  static const LlamaModelPtr& Get() {
    static const LlamaModelPtr model = *LoadLlamaModel(Path());
    return model;
  }

  static std::unique_ptr<LlamaRunner> Runner(
      const LlamaRunnerOptions& options) {
    return *LlamaRunner::Make(Get(), options);
  }

  static Result<LlamaCache> Describe(const LlamaRunnerOptions& options) {
    return DescribeLlamaCache(Get().get(), *ContextParams(options),
                              {.model = Path()});
  }

  // English of any length, the same at each call.
  static std::vector<TokenId> Prompt(size_t tokens) {
    std::string text;
    for (int i = 1; text.size() < 8 * tokens; ++i) {
      text += "On day " + std::to_string(i) +
              " of the voyage the captain counted " +
              std::to_string(i * i % 97) + " gulls, wrote the " +
              (i % 3 == 0 ? "northern" : "western") +
              " wind into his book and asked the cook for tea. ";
    }
    const auto runner = Runner({.context_tokens = 256});
    std::vector<TokenId> prompt = *runner->Tokenize(text);
    EXPECT_GE(prompt.size(), tokens);
    prompt.resize(tokens);
    return prompt;
  }
};

class SmallModelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (access(SmallModel::Path().c_str(), R_OK) != 0) {
      GTEST_SKIP() << "no model at " << SmallModel::Path()
                   << ": run ./dev setup";
    }
  }
};

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_LLAMA_SMALL_MODEL_H_
