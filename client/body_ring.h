// Pinned memory that bodies of messages are received into, from which a device
// copies frames as they are: there is no copy of them on the host.
#ifndef REPRISE_CLIENT_BODY_RING_H_
#define REPRISE_CLIENT_BODY_RING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "base/bytes.h"
#include "base/status.h"
#include "client/buffer_pool.h"
#include "gpu/device.h"

namespace reprise {

// Thread-safe.
class BodyRing final : public BodyMemory,
                       public std::enable_shared_from_this<BodyRing> {
 public:
  static Result<std::shared_ptr<BodyRing>> Make(std::shared_ptr<Device> device,
                                                uint64_t bytes);

  // At a multiple of kGpuAlignment. Bodies that come one after the other lie
  // so, if there is room, less than that apart. Keeps the ring as long as it
  // lives. Empty when there is no room now: it never waits, so that who holds
  // bodies can't keep others from being received.
  PooledBytes TryTake(size_t size) override;

  uint64_t size() const { return memory_.size(); }
  const uint8_t* data() const { return memory_.data(); }
  bool Holds(ByteView bytes) const {
    return bytes.data() >= data() && bytes.size() <= size() &&
           static_cast<uint64_t>(bytes.data() - data()) <=
               size() - bytes.size();
  }
  uint64_t OffsetOf(ByteView bytes) const {
    return static_cast<uint64_t>(bytes.data() - data());
  }

 private:
  explicit BodyRing(DeviceBuffer memory);
  void GiveBack(uint64_t offset, uint64_t bytes);

  const DeviceBuffer memory_;
  std::mutex mutex_;
  std::map<uint64_t, uint64_t> free_;  // bytes by offset, no two adjacent
  uint64_t next_ = 0;                  // where the last one ended
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_BODY_RING_H_
