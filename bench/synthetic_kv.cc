#include "bench/synthetic_kv.h"

#include <random>

#include "base/limits.h"

namespace reprise::bench {

ModelSpec SyntheticSpec(uint32_t layers, uint32_t heads, uint32_t dim,
                        uint8_t salt) {
  PlaneSpec key;
  key.name = "k";
  key.role = PlaneRole::kKey;
  key.dtype = DType::kBf16;
  key.heads = heads;
  key.dim = dim;
  PlaneSpec value = key;
  value.name = "v";
  value.role = PlaneRole::kValue;
  LayerSpec layer;
  layer.planes = {key, value};
  ModelSpec spec;
  spec.weights_hash.bytes[0] = salt;
  spec.tokenizer_hash.bytes[0] = salt;
  spec.layers.assign(layers, layer);
  spec.notes = {{"name", "synthetic"}};
  return spec;
}

std::vector<TokenId> RandomTokens(uint64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = static_cast<TokenId>(random() >> 40);
  return tokens;
}

OnePageKv::OnePageKv(const ModelSpec& spec)
    : spec_(spec), page_(spec.token_bytes() * kSegmentTokens) {
  std::mt19937_64 random(1);
  for (size_t i = 0; i + 8 <= page_.size(); i += 8) {
    StoreLe<uint64_t>(page_.data() + i, random());
  }
}

template <typename Memory>
Memory OnePageKv::Describe(uint64_t first_token, uint64_t token_count) {
  Memory memory;
  memory.first_token = first_token;
  memory.token_count = token_count;
  uint8_t* base = page_.data();
  for (const LayerSpec& layer : spec_.layers) {
    for (const PlaneSpec& plane : layer.planes) {
      const int64_t element = DTypeBytes(plane.dtype);
      memory.planes.push_back(
          {.base = base,
           .block_stride_bytes =
               static_cast<int64_t>(plane.token_bytes() * kSegmentTokens),
           .token_stride_bytes = static_cast<int64_t>(plane.token_bytes()),
           .head_stride_bytes = element * plane.dim,
           .element_stride_bytes = element});
      base += plane.token_bytes() * kSegmentTokens;
    }
  }
  table_.assign((token_count + kSegmentTokens - 1) / kSegmentTokens, 0);
  memory.paging = {{.page_tokens = kSegmentTokens,
                    .table32 = table_.data(),
                    .table_entries = table_.size()}};
  return memory;
}

KvView OnePageKv::View(uint64_t first_token, uint64_t token_count) {
  return Describe<KvView>(first_token, token_count);
}
KvSink OnePageKv::Sink(uint64_t first_token, uint64_t token_count) {
  return Describe<KvSink>(first_token, token_count);
}

}  // namespace reprise::bench
