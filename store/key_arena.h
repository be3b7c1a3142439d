// Keys of one batch, packed into a few blocks: no allocation a key.
#ifndef REPRISE_STORE_KEY_ARENA_H_
#define REPRISE_STORE_KEY_ARENA_H_

#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "store/records.h"

namespace reprise {

// Views stay valid until Clear or destruction. Not thread-safe.
class KeyArena {
 public:
  KeyArena() = default;
  KeyArena(const KeyArena&) = delete;
  KeyArena& operator=(const KeyArena&) = delete;

  // DomainKey(domain, id) of an id of 32 bytes.
  template <typename Id>
  std::string_view Add(const DomainId& domain, const Id& id) {
    char* const key = Room(kDomainKeyBytes);
    std::memcpy(key, domain.bytes.data(), kDomainBytes);
    std::memcpy(key + kDomainBytes, id.bytes.data(), 32);
    return {key, kDomainKeyBytes};
  }

  // FrameKey(domain, segment, frame.rendition, frame.index).
  std::string_view AddFrame(const DomainId& domain, const SegmentId& segment,
                            const FrameRef& frame) {
    char* const key = Room(kFrameKeyBytes);
    std::memcpy(key, domain.bytes.data(), kDomainBytes);
    std::memcpy(key + kDomainBytes, segment.bytes.data(), 32);
    std::memcpy(key + kDomainKeyBytes, frame.rendition.bytes.data(), 16);
    const uint32_t big_endian = __builtin_bswap32(frame.index);
    std::memcpy(key + kDomainKeyBytes + 16, &big_endian, 4);
    return {key, kFrameKeyBytes};
  }

  // Forgets all keys; one block is kept for the next ones.
  void Clear() {
    if (blocks_.size() > 1) blocks_.resize(1);
    used_ = 0;
  }

 private:
  static constexpr size_t kBlockBytes = 32 << 10;

  char* Room(size_t bytes) {
    if (blocks_.empty() || used_ + bytes > kBlockBytes) {
      blocks_.push_back(std::make_unique<char[]>(kBlockBytes));
      used_ = 0;
    }
    char* const room = blocks_.back().get() + used_;
    used_ += bytes;
    return room;
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t used_ = 0;  // of the last block
};

}  // namespace reprise

#endif  // REPRISE_STORE_KEY_ARENA_H_
