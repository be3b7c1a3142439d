// The weights that quality is measured on. With quantised weights ggml rounds
// activations to 8 bits, which blows the last bit of any change up to a KL of
// about 1e-3: more than a good codec costs. So models are measured with f32
// weights, made once of the file at hand and kept in the cache.
#ifndef REPRISE_TOOLS_EVAL_MODEL_WEIGHTS_H_
#define REPRISE_TOOLS_EVAL_MODEL_WEIGHTS_H_

#include <cstdint>
#include <string>

#include "base/status.h"

namespace reprise {

struct ModelWeights {
  std::string path;   // of the GGUF file to load
  bool made = false;  // just now
};

// The model of `path` with other weights: "as-is" (the file itself), "f32",
// "q8_0", "q4_0" or "q2_k", through libllama's own quantiser. What is made
// lies in `folder` (empty: reprise/weights in $XDG_CACHE_HOME or ~/.cache),
// named by the SHA-256 of the original, and is used again.
// kInvalidArgument for another name; kNotFound without the file;
// kUnavailable when the new file can't be written.
Result<ModelWeights> PrepareWeights(const std::string& path,
                                    const std::string& weights,
                                    const std::string& folder, int32_t threads);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_MODEL_WEIGHTS_H_
