#include "client/body_ring.h"

#include <utility>

namespace reprise {

Result<std::shared_ptr<BodyRing>> BodyRing::Make(std::shared_ptr<Device> device,
                                                 uint64_t bytes) {
  REPRISE_ASSIGN_OR_RETURN(
      DeviceBuffer memory,
      DeviceBuffer::Make(std::move(device), GpuMemory::kPinned, bytes));
  return std::shared_ptr<BodyRing>(new BodyRing(std::move(memory)));
}

BodyRing::BodyRing(DeviceBuffer memory) : memory_(std::move(memory)) {
  free_.emplace(0, memory_.size());
}

PooledBytes BodyRing::TryTake(size_t size) {
  const uint64_t bytes =
      (size + kGpuAlignment - 1) / kGpuAlignment * kGpuAlignment;
  uint64_t offset = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto fits = [&](auto from, auto end) {
      while (from != end && from->second < bytes) ++from;
      return from;
    };
    // Behind the last one, so that both go to the device in one copy.
    auto found = fits(free_.lower_bound(next_), free_.end());
    if (found == free_.end()) found = fits(free_.begin(), free_.end());
    if (found == free_.end() || size == 0) return {};
    const auto [at, room] = *found;
    free_.erase(found);
    if (room > bytes) free_.emplace(at + bytes, room - bytes);
    offset = at;
    next_ = at + bytes;
  }
  uint8_t* const data = memory_.data() + offset;
  return PooledBytes::Of(
      {data, size}, std::shared_ptr<void>(
                        data, [self = shared_from_this(), offset, bytes](
                                  void*) { self->GiveBack(offset, bytes); }));
}

void BodyRing::GiveBack(uint64_t offset, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  auto after = free_.lower_bound(offset);
  if (after != free_.end() && offset + bytes == after->first) {
    bytes += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  free_.emplace_hint(after, offset, bytes);
}

}  // namespace reprise
