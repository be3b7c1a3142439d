// What the judge is asked to do.
#ifndef REPRISE_TOOLS_EVAL_EVAL_OPTIONS_H_
#define REPRISE_TOOLS_EVAL_EVAL_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tools/eval/eval_variant.h"

namespace reprise {

struct EvalOptions {
  std::string model;  // GGUF file
  std::string text;   // file to be judged on
  std::vector<uint32_t> prefixes = {1024};
  uint32_t score = 256;
  uint32_t windows = 2;
  uint32_t turn = 256;
  uint32_t retrieval = 0;  // windows with planted facts; 0: none
  uint32_t facts = 8;      // in each of them
  // As typed: each may hold several. Empty: every codec that is built, and
  // llama.cpp's q8_0 and q4_0.
  std::vector<std::string> codecs;
  double keep = 1;  // below 1: every codec once more with eviction
  std::string cache_type = "f16";
  std::string weights = "f32";
  std::string weights_folder;
  uint64_t seed = 0;
  int32_t threads = 1;
  std::string train_text;
  uint64_t train_tokens = 16384;
  std::vector<std::string> profiles;  // CODEC=FILE or CODEC=none
  std::string json;
  std::string plots;
  // A session of a running daemon instead of codecs.
  std::string session;
  // Or sessions, NAME=FILE, on texts that follow them, as the endpoints have
  // them, against this daemon, which has them exact.
  std::vector<std::string> follow;
  std::string exact_endpoint;
  std::vector<std::string> endpoints = {"127.0.0.1:7077"};
  std::string token;
  bool prepare_weights = false;  // and nothing else
};

// Reads a command line. The exit status where the program is to end with it
// (0 after --help, 2 for a wrong line; both have been printed), else nothing.
std::optional<int> ParseEvalCommand(int argc, const char* const* argv,
                                    EvalOptions* options);

// What parsing alone can't tell. kInvalidArgument with the option and what is
// allowed. Reads both texts to see that they differ: what is trained on is
// never judged on.
Status CheckEvalOptions(const EvalOptions& options);

// The variants to be judged, in order, each once.
// Errors of ParseVariant.
Result<std::vector<EvalVariant>> VariantsOf(const EvalOptions& options);

// "tsc=FILE" or "pq:d=4=FILE": the codec as it was named, and the file.
// kInvalidArgument.
Result<std::vector<std::pair<std::string, std::string>>> ProfileFilesOf(
    const EvalOptions& options);

// "chat-42=next.txt": the session's name and the file, as given.
// kInvalidArgument.
Result<std::vector<std::pair<std::string, std::string>>> FollowedOf(
    const EvalOptions& options);

// A whole file. kNotFound.
Result<std::string> ReadTextFile(const std::string& path);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_EVAL_OPTIONS_H_
