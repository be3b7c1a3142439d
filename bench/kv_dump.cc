// Makes the KV dumps that codecs are measured on (kv_file.h): a real model
// reads two texts, with a cache of f16 and with one of bf16.
//
//   kv_dump --model M.gguf --out DIR [--text-a FILE --text-b FILE]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/kv_file.h"
#include "client/llama/llama_spec.h"
#include "client/llama/llama_state.h"
#include "tools/llama_runner.h"

namespace reprise::bench {
namespace {

struct DumpOptions {
  std::string model;
  std::string out;
  std::string text_a = "assets/meridian.txt";
  std::string text_b = "assets/ironclad.txt";
  uint32_t tokens = 2048;
  int32_t threads = 1;
};

struct DumpCase {
  const char* file;
  const char* type;
  const std::string* text;
};

// Rows of one tensor, token after token, as a dump has them.
// REQUIRES: rows are not transposed.
void AppendRows(const KvPlane<const void*>& plane, const KvView& view,
                uint64_t row_bytes, Bytes* out) {
  const auto* base = static_cast<const uint8_t*>(plane.base);
  for (uint64_t i = 0; i < view.token_count; ++i) {
    const int64_t slot = view.paging.empty() ? static_cast<int64_t>(i)
                                             : view.paging[0].table32[i];
    const uint8_t* row = base + slot * plane.token_stride_bytes;
    out->insert(out->end(), row, row + row_bytes);
  }
}

Result<std::vector<TokenId>> ReadTokens(const LlamaRunner& runner,
                                        const std::string& path,
                                        uint32_t count) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFoundError("kv_dump: can't read " + path);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  REPRISE_ASSIGN_OR_RETURN(std::vector<TokenId> tokens, runner.Tokenize(text));
  if (tokens.size() < count) {
    return InvalidArgumentError("kv_dump: " + path + " has " +
                                std::to_string(tokens.size()) +
                                " tokens, wanted are " + std::to_string(count));
  }
  tokens.resize(count);
  return tokens;
}

Result<KvDump> MakeDump(const LlamaModelPtr& model, const DumpOptions& options,
                        const DumpCase& one) {
  const LlamaRunnerOptions of_runner = {.context_tokens = options.tokens,
                                        .type_k = one.type,
                                        .type_v = one.type,
                                        .threads = options.threads};
  REPRISE_ASSIGN_OR_RETURN(auto runner, LlamaRunner::Make(model, of_runner));
  REPRISE_ASSIGN_OR_RETURN(const LlamaCache cache,
                           DescribeLlamaCache(model.get(), runner->params(),
                                              {.model = options.model}));
  KvDump dump;
  dump.spec = cache.spec;
  REPRISE_ASSIGN_OR_RETURN(dump.tokens,
                           ReadTokens(*runner, *one.text, options.tokens));
  REPRISE_RETURN_IF_ERROR(runner->Decode(dump.tokens, 0));
  REPRISE_ASSIGN_OR_RETURN(const SequenceState state,
                           TakeSequence(runner->context(), 0, cache));
  REPRISE_ASSIGN_OR_RETURN(const KvView view, state.View(cache.spec));
  dump.planes.reserve(cache.spec.token_bytes() * dump.tokens.size());
  size_t index = 0;
  for (const LayerSpec& layer : cache.spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      AppendRows(view.planes[index++], view, plane.token_bytes(), &dump.planes);
    }
  }
  return dump;
}

Status Run(const DumpOptions& options) {
  REPRISE_ASSIGN_OR_RETURN(const LlamaModelPtr model,
                           LoadLlamaModel(options.model));
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  const DumpCase cases[] = {
      {kDumpF16A, "f16", &options.text_a},
      {kDumpF16B, "f16", &options.text_b},
      {kDumpBf16A, "bf16", &options.text_a},
      {kDumpBf16B, "bf16", &options.text_b},
  };
  for (const DumpCase& one : cases) {
    REPRISE_ASSIGN_OR_RETURN(const KvDump dump, MakeDump(model, options, one));
    const std::string path = options.out + "/" + one.file;
    REPRISE_RETURN_IF_ERROR(WriteKvDump(dump, path));
    std::printf("%s: %zu tokens, %zu bytes\n", path.c_str(), dump.tokens.size(),
                dump.planes.size());
    std::fflush(stdout);
  }
  return Status::Ok();
}

}  // namespace
}  // namespace reprise::bench

int main(int argc, char** argv) {
  reprise::bench::DumpOptions options;
  CLI::App app("KV dumps of a real model, for the benchmarks");
  app.add_option("--model", options.model, "GGUF file")->required();
  app.add_option("--out", options.out, "folder of the dumps")->required();
  app.add_option("--text-a", options.text_a, "codecs are fitted on it")
      ->capture_default_str();
  app.add_option("--text-b", options.text_b, "codecs are measured on it")
      ->capture_default_str();
  app.add_option("--tokens", options.tokens, "of each text")
      ->capture_default_str();
  app.add_option("--threads", options.threads, "at most the free cores")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const reprise::Status status = reprise::bench::Run(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "kv_dump: %s\n", status.ToString().c_str());
  return 1;
}
