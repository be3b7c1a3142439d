// Made-up state for benchmarks of storage and transport, where values do not
// matter: `raw` is the codec, so bytes in are bytes stored.
#ifndef REPRISE_BENCH_SYNTHETIC_KV_H_
#define REPRISE_BENCH_SYNTHETIC_KV_H_

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "client/kv_layout.h"
#include "codec/model_spec.h"
#include "codec/segment.h"

namespace reprise::bench {

// Full attention, K and V of [heads, dim] bf16 in every layer; `salt` makes
// models distinct.
ModelSpec SyntheticSpec(uint32_t layers, uint32_t heads, uint32_t dim,
                        uint8_t salt);

// The shape of an 8B-class model: 32 layers of 8 heads of 128; 8 MiB a
// segment, 32 frames of 256 KiB.
inline ModelSpec EightBillionSpec() { return SyntheticSpec(32, 8, 128, 8); }

std::vector<TokenId> RandomTokens(uint64_t count, uint64_t seed);

// Memory for one page of 64 tokens that a view of any length maps all its
// blocks to. Must outlive the views.
class OnePageKv {
 public:
  explicit OnePageKv(const ModelSpec& spec);
  KvView View(uint64_t first_token, uint64_t token_count);
  KvSink Sink(uint64_t first_token, uint64_t token_count);

 private:
  template <typename Memory>
  Memory Describe(uint64_t first_token, uint64_t token_count);

  ModelSpec spec_;
  Bytes page_;
  std::vector<int32_t> table_;
};

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_SYNTHETIC_KV_H_
