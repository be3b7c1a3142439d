// Engines' KV caches, made up: memory in the layouts of kv_layout.h, filled
// with values that depend on layer, plane, token, head and element alone, and
// compared byte for byte, guard bytes and unused cells included.
#ifndef REPRISE_TESTS_CLIENT_KV_CACHE_H_
#define REPRISE_TESTS_CLIENT_KV_CACHE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "client/kv_layout.h"
#include "codec/frame.h"
#include "codec/model_spec.h"

namespace reprise {

enum class CacheLayout {
  kLlama,             // [T, H, D]
  kLlamaTransposedV,  // K [T, H, D], V [H, D, T]
  kHuggingFace,       // [H, T, D]
  kVllmNhd,           // [B, P, H, D]
  kVllmHnd,           // [B, H, P, D]
  kVllmKvPacked,      // [B, K|V, P, H, D], all planes of a layer in one tensor
  kSglang,            // pages of one token
};
inline constexpr CacheLayout kAllCacheLayouts[] = {
    CacheLayout::kLlama,       CacheLayout::kLlamaTransposedV,
    CacheLayout::kHuggingFace, CacheLayout::kVllmNhd,
    CacheLayout::kVllmHnd,     CacheLayout::kVllmKvPacked,
    CacheLayout::kSglang,
};
std::string_view CacheLayoutName(CacheLayout layout);

struct CacheOptions {
  CacheLayout layout = CacheLayout::kLlama;
  uint64_t first_token = 0;
  uint64_t token_count = 0;
  HeadRange heads;  // total 1: all
  uint32_t page_tokens = 16;
  uint32_t first_slot = 0;
  bool table64 = false;
  // In order, so that blocks follow each other; else shuffled.
  bool blocks_in_order = false;
  // What sink() and view() say of their memory: the host executor's is the
  // machine's own.
  bool on_device = false;
  // Another generation of values: two caches of one seed are equal.
  uint64_t seed = 1;
};

class KvCache {
 public:
  // Unfilled: every byte is kGuard. `spec` must outlive it.
  KvCache(const ModelSpec& spec, const CacheOptions& options);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  static constexpr uint8_t kGuard = 0xa5;

  void Fill(uint64_t first_token, uint64_t end_token);
  KvCache& FillAll();

  KvView view() const;
  KvSink sink();

  // Tokens [first, end) hold what Fill writes, and every other byte is as it
  // was at the start, but for those of tokens [end, loose_end).
  testing::AssertionResult HoldsExactly(uint64_t first_token,
                                        uint64_t end_token,
                                        uint64_t loose_end = 0) const;
  // The first byte of an element, by the formula of kv_layout.h.
  uint8_t* At(uint32_t layer, uint32_t plane, uint64_t token, uint32_t head,
              uint32_t element) const;

 private:
  struct Plane {
    uint32_t layer = 0;
    uint32_t plane = 0;
    const PlaneSpec* spec = nullptr;
    uint32_t head_first = 0;
    uint32_t head_count = 0;
    uint8_t* base = nullptr;
    int64_t block = 0, token = 0, head = 0, element = 0;
  };

  bool paged() const;
  // Calls visit(plane, token, head) for each row of tokens [first, end).
  template <typename Visit>
  void ForRows(uint64_t first_token, uint64_t end_token, Visit visit) const;
  void PlaceLayer(uint32_t layer, Plane* planes, size_t count);
  template <typename Memory>
  Memory Describe() const;

  const ModelSpec& spec_;
  const CacheOptions options_;
  uint64_t blocks_ = 0;
  std::vector<int32_t> table32_;
  std::vector<int64_t> table64_;
  std::vector<Plane> planes_;
  std::vector<size_t> first_plane_;
  std::vector<Bytes> buffers_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_KV_CACHE_H_
