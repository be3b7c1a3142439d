// What a dump's planes are, as an engine's memory.
#ifndef REPRISE_BENCH_KV_MEMORY_H_
#define REPRISE_BENCH_KV_MEMORY_H_

#include <cstdint>

#include "bench/kv_file.h"
#include "client/kv_layout.h"

namespace reprise::bench {

// The first `token_count` tokens. `Memory` is KvView or KvSink; `planes` are
// laid out as the dump's own.
template <typename Memory, typename Byte>
Memory MemoryOver(const KvDump& dump, Byte* planes, uint64_t token_count) {
  Memory memory;
  memory.token_count = token_count;
  for (const LayerSpec& layer : dump.spec.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      const int64_t element = DTypeBytes(plane.dtype);
      const auto row = static_cast<int64_t>(plane.token_bytes());
      memory.planes.push_back({.base = planes,
                               .token_stride_bytes = row,
                               .head_stride_bytes = element * plane.dim,
                               .element_stride_bytes = element});
      planes += plane.token_bytes() * dump.tokens.size();
    }
  }
  return memory;
}

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_KV_MEMORY_H_
