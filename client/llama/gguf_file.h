// The header of a GGUF file: its key-value pairs and where its tensors are.
// A thin, checked reader over libllama's gguf.h, whose getters abort the
// process when they are asked for another type than a key has.
#ifndef REPRISE_CLIENT_LLAMA_GGUF_FILE_H_
#define REPRISE_CLIENT_LLAMA_GGUF_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/status.h"

struct gguf_context;

namespace reprise {

class GgufFile {
 public:
  // Reads the header only. kNotFound, or kDataLoss for what is no GGUF file.
  static Result<GgufFile> Open(const std::string& path);

  // Nothing when the key is missing or has another kind of value.
  std::optional<std::string> Text(const std::string& key) const;
  // Of any integer or float type.
  std::optional<double> Number(const std::string& key) const;
  // Of an array, or of one number.
  std::optional<std::vector<double>> Numbers(const std::string& key) const;
  // The same, of "ARCHITECTURE.key", as most keys are named.
  std::optional<std::string> ArchText(const std::string& key) const;
  std::optional<double> ArchNumber(const std::string& key) const;
  std::optional<std::vector<double>> ArchNumbers(const std::string& key) const;

  // All values of a tensor of f32. kNotFound without such a tensor;
  // kUnimplemented for another type.
  Result<std::vector<float>> FloatTensor(const std::string& name) const;

  // SHA-256 over all keys that begin with `prefix`, in their order by name,
  // with their types and values.
  Sha256Digest HashKeys(const std::string& prefix) const;

 private:
  struct Free {
    void operator()(gguf_context* context) const;
  };
  std::string path_;
  std::string architecture_;
  std::unique_ptr<gguf_context, Free> context_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_LLAMA_GGUF_FILE_H_
