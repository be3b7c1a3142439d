#include "bench/idle_device.h"

#include <new>

namespace reprise::bench {
namespace {

constexpr std::align_val_t kAlignment{kGpuAlignment};

class IdleDevice final : public Device {
 public:
  // As many multiprocessors as a large device has: so many blocks a launch.
  IdleDevice()
      : info_{.name = "idle device",
              .multiprocessors = 132,
              .memory_bytes = 64ull << 30,
              .shared_bytes = 227 << 10} {}

  const DeviceInfo& info() const override { return info_; }
  Result<uint8_t*> Allocate(GpuMemory, uint64_t bytes) override {
    return static_cast<uint8_t*>(::operator new(bytes, kAlignment));
  }
  void Free(GpuMemory, uint8_t* memory) override {
    ::operator delete(memory, kAlignment);
  }
  Result<GpuStream> MakeStream() override { return GpuStream{this}; }
  void FreeStream(GpuStream) override {}
  Result<GpuEvent> MakeEvent() override { return GpuEvent{this}; }
  void FreeEvent(GpuEvent) override {}
  Status CopyToDevice(uint8_t*, const uint8_t*, uint64_t, GpuStream) override {
    return Status();
  }
  Status CopyToHost(uint8_t*, const uint8_t*, uint64_t, GpuStream) override {
    return Status();
  }
  Status CopyOnDevice(uint8_t*, const uint8_t*, uint64_t, GpuStream) override {
    return Status();
  }
  Status Launch(const KernelLaunch&, GpuStream) override { return Status(); }
  Status Record(GpuEvent, GpuStream) override { return Status(); }
  Status Wait(GpuStream, GpuEvent) override { return Status(); }
  Result<bool> IsDone(GpuEvent) override { return true; }
  Status Synchronize(GpuEvent) override { return Status(); }
  Status Drain(GpuStream) override { return Status(); }
  Result<uint32_t> BlocksPerMultiprocessor(KernelId) override { return 4u; }

 private:
  const DeviceInfo info_;
};

}  // namespace

std::shared_ptr<Device> MakeIdleDevice() {
  return std::make_shared<IdleDevice>();
}

}  // namespace reprise::bench
