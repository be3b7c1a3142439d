#include "gpu/device.h"

#include <utility>

namespace reprise {

Result<DeviceBuffer> DeviceBuffer::Make(std::shared_ptr<Device> device,
                                        GpuMemory kind, uint64_t bytes) {
  Result<uint8_t*> data = device->Allocate(kind, bytes);
  if (!data.ok()) return data.status();
  DeviceBuffer buffer;
  buffer.device_ = std::move(device);
  buffer.kind_ = kind;
  buffer.data_ = *data;
  buffer.size_ = bytes;
  return buffer;
}

DeviceBuffer::~DeviceBuffer() {
  if (device_ != nullptr) device_->Free(kind_, data_);
}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : device_(std::move(other.device_)),
      kind_(other.kind_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(kind_, other.kind_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace reprise
