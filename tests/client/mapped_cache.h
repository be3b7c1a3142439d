// A contiguous KV cache in pages that can be taken away: whoever touches them
// afterwards ends the test.
#ifndef REPRISE_TESTS_CLIENT_MAPPED_CACHE_H_
#define REPRISE_TESTS_CLIENT_MAPPED_CACHE_H_

#include <sys/mman.h>

#include <cstdint>

#include "base/check.h"
#include "client/kv_layout.h"
#include "codec/model_spec.h"

namespace reprise {

class MappedCache {
 public:
  // Every byte is zero.
  MappedCache(const ModelSpec& spec, uint64_t token_count)
      : spec_(spec),
        token_count_(token_count),
        bytes_(token_count * spec.token_bytes()),
        base_(
            static_cast<uint8_t*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    REPRISE_CHECK(base_ != MAP_FAILED);
  }
  ~MappedCache() { munmap(base_, bytes_); }
  MappedCache(const MappedCache&) = delete;
  MappedCache& operator=(const MappedCache&) = delete;

  KvView view() const { return Describe<KvView>(); }
  KvSink sink() { return Describe<KvSink>(); }

  // From now on nothing may touch it.
  void TakeAway() { REPRISE_CHECK(mprotect(base_, bytes_, PROT_NONE) == 0); }

 private:
  template <typename Memory>
  Memory Describe() const {
    Memory out;
    uint8_t* next = base_;
    for (const LayerSpec& layer : spec_.layers) {
      for (const PlaneSpec& plane : layer.planes) {
        const int64_t element = DTypeBytes(plane.dtype);
        const int64_t head = element * plane.dim;
        const int64_t token = head * plane.heads;
        out.planes.push_back({next, 0, token, head, element});
        next += token * static_cast<int64_t>(token_count_);
      }
    }
    out.token_count = token_count_;
    return out;
  }

  const ModelSpec& spec_;
  const uint64_t token_count_;
  const size_t bytes_;
  uint8_t* const base_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_MAPPED_CACHE_H_
