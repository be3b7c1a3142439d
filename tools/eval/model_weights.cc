#include "tools/eval/model_weights.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "client/llama/file_hash.h"
#include "llama.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

struct NamedType {
  const char* name;
  llama_ftype type;
};
constexpr NamedType kTypes[] = {
    {"f32", LLAMA_FTYPE_ALL_F32},
    {"q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
    {"q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
    {"q2_k", LLAMA_FTYPE_MOSTLY_Q2_K},
};

const NamedType* FindType(const std::string& name) {
  for (const NamedType& type : kTypes) {
    if (name == type.name) return &type;
  }
  return nullptr;
}

fs::path CacheFolder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME");
      cache != nullptr && *cache != '\0') {
    return fs::path(cache) / "reprise/weights";
  }
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr ? home : "/tmp") / ".cache/reprise/weights";
}

void LogErrors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

Status Requantise(const std::string& from, const fs::path& to, llama_ftype type,
                  int32_t threads) {
  llama_log_set(LogErrors, nullptr);
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = type;
  params.allow_requantize = true;
  params.nthread = threads;
  // Complete under its name, or not there at all.
  const std::string draft = to.string() + "." + std::to_string(getpid());
  const uint32_t code =
      llama_model_quantize(from.c_str(), draft.c_str(), &params);
  std::error_code error;
  if (code == 0) fs::rename(draft, to, error);
  if (code == 0 && !error) return Status();
  fs::remove(draft, error);
  return UnavailableError("eval: libllama can't write " + to.string() +
                          " (answer " + std::to_string(code) + ")");
}

}  // namespace

Result<ModelWeights> PrepareWeights(const std::string& path,
                                    const std::string& weights,
                                    const std::string& folder,
                                    int32_t threads) {
  if (weights == "as-is") return ModelWeights{path};
  const NamedType* const type = FindType(weights);
  if (type == nullptr) {
    return InvalidArgumentError("eval: weights are \"" + weights +
                                "\", allowed are as-is, f32, q8_0, q4_0, q2_k");
  }
  REPRISE_ASSIGN_OR_RETURN(const FileHash hash, HashFile(path));
  const fs::path place = folder.empty() ? CacheFolder() : fs::path(folder);
  std::error_code error;
  fs::create_directories(place, error);
  const fs::path made =
      place / (fs::path(path).stem().string() + "." + hash.digest.ShortHex() +
               "." + weights + ".gguf");
  if (fs::exists(made, error)) return ModelWeights{made.string()};
  REPRISE_RETURN_IF_ERROR(Requantise(path, made, type->type, threads));
  return ModelWeights{made.string(), true};
}

}  // namespace reprise
