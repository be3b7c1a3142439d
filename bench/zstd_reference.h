// zstd as what a user would pick instead, and the only place of bench/ that
// includes it.
#ifndef REPRISE_BENCH_ZSTD_REFERENCE_H_
#define REPRISE_BENCH_ZSTD_REFERENCE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"

namespace reprise::bench {

// One context each way, warm after the first call. Not thread-safe.
class ZstdReference {
 public:
  ZstdReference();
  ~ZstdReference();

  // `out` is made large enough and keeps its memory. Zero on an error.
  uint64_t Compress(ByteView raw, int level, Bytes* out);
  // Decompresses the first `size` bytes of `coded` into all of `out`.
  bool Decompress(const Bytes& coded, uint64_t size, MutableByteView out);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

// The bytes of elements in planes: all first bytes, all second bytes, ...
void SplitByBytePlane(ByteView raw, uint32_t element_bytes, Bytes* out);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_ZSTD_REFERENCE_H_
