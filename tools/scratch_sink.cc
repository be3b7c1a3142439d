#include "tools/scratch_sink.h"

#include <algorithm>
#include <string>

namespace reprise {

Result<KvSink> ScratchSink::Make(const ModelSpec& spec, uint64_t first_token,
                                 uint64_t token_count, uint64_t max_bytes) {
  uint64_t total = 0;
  if (!CheckedMul(spec.token_bytes(), token_count, &total) ||
      total > max_bytes) {
    return ResourceExhaustedError(
        "restore: " + std::to_string(token_count) + " tokens of " +
        std::to_string(spec.token_bytes()) + " bytes, at most " +
        std::to_string(max_bytes) + " bytes are taken");
  }
  // A state without tokens has a place too: a sink's base is never null.
  bytes_.reserve(std::max<uint64_t>(total, 1));
  bytes_.resize(total);
  KvSink sink;
  sink.first_token = first_token;
  sink.token_count = token_count;
  uint8_t* base = bytes_.data();
  for (const LayerSpec& layer : spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      const int64_t element = DTypeBytes(plane.dtype);
      sink.planes.push_back(
          {.base = base,
           .token_stride_bytes = static_cast<int64_t>(plane.token_bytes()),
           .head_stride_bytes = element * plane.dim,
           .element_stride_bytes = element});
      base += plane.token_bytes() * token_count;
    }
  }
  return sink;
}

}  // namespace reprise
