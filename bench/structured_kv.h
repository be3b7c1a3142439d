// Made-up state with what codecs live on, where its values matter but no real
// model of the shape is at hand: each channel has a mean and a spread of its
// own, heads share few strong directions and many weak ones, and keys are
// rotated by their position. It says how fast codecs are at the sizes that
// real state has; of quality it says nothing.
#ifndef REPRISE_BENCH_STRUCTURED_KV_H_
#define REPRISE_BENCH_STRUCTURED_KV_H_

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "client/kv_layout.h"
#include "codec/frame.h"
#include "codec/model_spec.h"

namespace reprise::bench {

// An engine's paged cache: planes one after the other, each
// [blocks, page, heads, dim]; the blocks of a session lie in an order of their
// own. Of memory it says only where things are.
class PagedCache {
 public:
  static constexpr uint32_t kPageTokens = 16;

  // REQUIRES: token_count is a multiple of kPageTokens.
  PagedCache(const ModelSpec& spec, uint64_t token_count);

  uint64_t token_count() const { return token_count_; }
  uint64_t bytes() const { return bytes_; }
  // The first `token_count` tokens, as a KvView or a KvSink over bytes() bytes
  // at `base`. Valid as long as this.
  template <typename Memory, typename Byte>
  Memory Over(Byte* base, uint64_t token_count) const;
  // Where a token's row of a plane begins, from the base on. Planes are
  // counted through all layers.
  uint64_t RowOffset(size_t plane, uint64_t token) const;

 private:
  struct Plane {
    uint64_t offset = 0;
    uint64_t row_bytes = 0;
    uint64_t head_bytes = 0;
    uint64_t element_bytes = 0;
  };

  uint64_t token_count_;
  uint64_t bytes_ = 0;
  std::vector<Plane> planes_;
  std::vector<int32_t> table_;
};

template <typename Memory, typename Byte>
Memory PagedCache::Over(Byte* base, uint64_t token_count) const {
  Memory memory;
  memory.token_count = token_count;
  for (const Plane& plane : planes_) {
    memory.planes.push_back(
        {.base = base + plane.offset,
         .block_stride_bytes =
             static_cast<int64_t>(plane.row_bytes * kPageTokens),
         .token_stride_bytes = static_cast<int64_t>(plane.row_bytes),
         .head_stride_bytes = static_cast<int64_t>(plane.head_bytes),
         .element_stride_bytes = static_cast<int64_t>(plane.element_bytes)});
  }
  memory.paging = {{.page_tokens = kPageTokens,
                    .table32 = table_.data(),
                    .table_entries = table_.size()}};
  return memory;
}

class StructuredKv {
 public:
  // K and V of [heads, dim] bf16 in every layer. Values repeat from layer to
  // layer and after some thousands of tokens, where no codec looks for them.
  // REQUIRES: heads is a multiple of 2, and dim a power of 2.
  StructuredKv(uint32_t layers, uint32_t heads, uint32_t dim);

  const ModelSpec& spec() const { return spec_; }
  // All rows of a cache of this spec, at `base`.
  void Fill(const PagedCache& cache, uint8_t* base) const;
  // A profile of a codec trained on as little as it takes, of such values. That
  // of `klt` has whole layers for groups, as training on a real model of many
  // heads gives.
  Result<Bytes> Train(CodecId codec) const;

 private:
  Result<Bytes> TrainKlt() const;
  // Channels that are drawn together: K and V of two heads.
  uint32_t block_channels() const { return 4 * dim_; }
  void DrawRows();
  // Cosines, then sines, of a position's angles.
  void TurnTo(uint64_t token, std::vector<float>* turns) const;
  // A drawn row at a position: K and V of two heads, as bf16.
  void PutBlock(uint64_t row, const std::vector<float>& turns, uint8_t* keys,
                uint8_t* values) const;

  uint32_t layers_, heads_, dim_;
  ModelSpec spec_;
  std::vector<float> rows_;  // [kRows, block_channels()], keys not rotated
};

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_STRUCTURED_KV_H_
