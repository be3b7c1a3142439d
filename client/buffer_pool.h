// Memory for frames and the bodies of messages, used again and again. A fetch
// brings a megabyte in half a millisecond; taken from the system each time,
// its pages would have to be cleared and mapped, which costs more than to
// receive into them.
#ifndef REPRISE_CLIENT_BUFFER_POOL_H_
#define REPRISE_CLIENT_BUFFER_POOL_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "api/framing.h"
#include "base/bytes.h"

namespace reprise {

class BufferPool;

// Bytes that go back to where they are from with their last owner. Movable; a
// pool may go before them.
class PooledBytes {
 public:
  PooledBytes() = default;
  // Memory of somebody else's, who gets it back with `owner`.
  static PooledBytes Of(MutableByteView bytes, std::shared_ptr<void> owner) {
    PooledBytes out;
    out.bytes_ = bytes;
    out.owner_ = std::move(owner);
    return out;
  }
  ~PooledBytes() { GiveBack(); }
  PooledBytes(PooledBytes&& other) noexcept { *this = std::move(other); }
  PooledBytes& operator=(PooledBytes&& other) noexcept;

  uint8_t* data() { return bytes_.data(); }
  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  MutableByteView span() { return bytes_; }
  ByteView view() const { return bytes_; }

 private:
  friend class BufferPool;
  void GiveBack();

  MutableByteView bytes_;
  AlignedBytes memory_;
  std::weak_ptr<BufferPool> pool_;  // of memory_
  std::shared_ptr<void> owner_;     // or of all
};

// Where else the bodies of messages may be received. Thread-safe.
class BodyMemory {
 public:
  virtual ~BodyMemory() = default;
  // `size` bytes that hold anything; empty when there is no room now.
  virtual PooledBytes TryTake(size_t size) = 0;
};

// Thread-safe.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  // Smaller ones the allocator keeps by itself.
  static constexpr size_t kLeastPooledBytes = 64 << 10;

  // `kept_bytes`: of free buffers, at most.
  static std::shared_ptr<BufferPool> Make(uint64_t kept_bytes) {
    return std::shared_ptr<BufferPool>(new BufferPool(kept_bytes));
  }

  // `size` bytes that hold anything.
  PooledBytes Take(size_t size) {
    PooledBytes out;
    out.memory_ = size < kLeastPooledBytes ? AlignedBytes(size) : Find(size);
    if (size >= kLeastPooledBytes) out.pool_ = weak_from_this();
    out.bytes_ = out.memory_.span().first(size);
    return out;
  }

  uint64_t free_bytes() {
    std::lock_guard lock(mutex_);
    return free_bytes_;
  }

 private:
  friend class PooledBytes;
  explicit BufferPool(uint64_t kept_bytes) : kept_bytes_(kept_bytes) {}

  AlignedBytes Find(size_t size) {
    {
      // The last one that came is the likeliest to be in a cache.
      std::lock_guard lock(mutex_);
      const auto fits = [size](const AlignedBytes& memory) {
        return memory.size() >= size && memory.size() / 4 <= size;
      };
      const auto found = std::find_if(free_.rbegin(), free_.rend(), fits);
      if (found != free_.rend()) {
        AlignedBytes memory = std::move(*found);
        free_bytes_ -= memory.size();
        free_.erase(std::next(found).base());
        return memory;
      }
    }
    // Rounded up, so that it serves others of about this size too.
    return AlignedBytes((size / kLeastPooledBytes + 1) * kLeastPooledBytes);
  }

  void Give(AlignedBytes memory) {
    std::lock_guard lock(mutex_);
    free_bytes_ += memory.size();
    free_.push_back(std::move(memory));
    // The oldest go: sizes that nobody asks for any more.
    size_t drop = 0;
    for (; free_bytes_ > kept_bytes_; ++drop) {
      free_bytes_ -= free_[drop].size();
    }
    free_.erase(free_.begin(), free_.begin() + static_cast<ptrdiff_t>(drop));
  }

  const uint64_t kept_bytes_;
  std::mutex mutex_;
  std::vector<AlignedBytes> free_;  // the last to come back is the last
  uint64_t free_bytes_ = 0;
};

inline PooledBytes& PooledBytes::operator=(PooledBytes&& other) noexcept {
  if (this == &other) return *this;
  GiveBack();
  bytes_ = std::exchange(other.bytes_, {});
  memory_ = std::move(other.memory_);
  pool_ = std::move(other.pool_);
  owner_ = std::move(other.owner_);
  return *this;
}

inline void PooledBytes::GiveBack() {
  if (memory_.size() == 0) return;
  if (const auto pool = pool_.lock()) pool->Give(std::move(memory_));
}

}  // namespace reprise

#endif  // REPRISE_CLIENT_BUFFER_POOL_H_
