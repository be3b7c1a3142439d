#include "gpu/device.h"

#include <utility>

namespace reprise {
namespace {

// Copies and waits, on a stream of its own.
Status CopyNow(Device* device, uint8_t* to, ByteView bytes) {
  const Result<GpuStream> stream = device->MakeStream();
  if (!stream.ok()) return stream.status();
  Status status = device->CopyToDevice(to, bytes.data(), bytes.size(), *stream);
  if (status.ok()) status = device->Drain(*stream);
  device->FreeStream(*stream);
  return status;
}

}  // namespace

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

Result<DeviceBuffer> DeviceBuffer::Upload(std::shared_ptr<Device> device,
                                          ByteView bytes) {
  Result<DeviceBuffer> buffer =
      Make(device, GpuMemory::kDevice, bytes.size() + kGpuSlackBytes);
  if (!buffer.ok()) return buffer;
  const Status status = CopyNow(device.get(), buffer->data(), bytes);
  if (!status.ok()) return status;
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
