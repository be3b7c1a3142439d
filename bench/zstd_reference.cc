#include "bench/zstd_reference.h"

#include <zstd.h>

namespace reprise::bench {

struct ZstdReference::Contexts {
  ZSTD_CCtx* compress = ZSTD_createCCtx();
  ZSTD_DCtx* decompress = ZSTD_createDCtx();
  ~Contexts() {
    ZSTD_freeCCtx(compress);
    ZSTD_freeDCtx(decompress);
  }
};

ZstdReference::ZstdReference() : contexts_(std::make_unique<Contexts>()) {}
ZstdReference::~ZstdReference() = default;

uint64_t ZstdReference::Compress(ByteView raw, int level, Bytes* out) {
  const size_t room = ZSTD_compressBound(raw.size());
  if (out->size() < room) out->resize(room);
  const size_t size =
      ZSTD_compressCCtx(contexts_->compress, out->data(), out->size(),
                        raw.data(), raw.size(), level);
  return ZSTD_isError(size) ? 0 : size;
}

bool ZstdReference::Decompress(const Bytes& coded, uint64_t size,
                               MutableByteView out) {
  return ZSTD_decompressDCtx(contexts_->decompress, out.data(), out.size(),
                             coded.data(), size) == out.size();
}

void SplitByBytePlane(ByteView raw, uint32_t element_bytes, Bytes* out) {
  const size_t count = raw.size() / element_bytes;
  out->resize(raw.size());
  for (size_t i = 0; i < count; ++i) {
    for (uint32_t b = 0; b < element_bytes; ++b) {
      (*out)[b * count + i] = raw[i * element_bytes + b];
    }
  }
}

}  // namespace reprise::bench
