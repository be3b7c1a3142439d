// A device: its memory, its streams, and kernels on it. The one place where
// the rest of Reprise meets CUDA; nothing of CUDA's is named here.
//
// Two kinds: OpenDevice answers a real one; host_device.h is a machine's own
// memory with kernels run by loops, for tests.
#ifndef REPRISE_GPU_DEVICE_H_
#define REPRISE_GPU_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "gpu/kernel.h"

namespace reprise {

using GpuStream = void*;  // cudaStream_t
using GpuEvent = void*;   // cudaEvent_t

// What kernels may read behind the end of anything that they are given.
inline constexpr uint64_t kGpuSlackBytes = 256;
// Of frames in device memory, and of all that Allocate answers.
inline constexpr uint64_t kGpuAlignment = 256;

struct DeviceInfo {
  std::string name;
  uint32_t compute_capability = 0;  // 90 for 9.0
  uint32_t multiprocessors = 0;
  uint64_t memory_bytes = 0;
  uint64_t shared_bytes = 0;  // that a block may have
};

enum class GpuMemory : uint8_t {
  kDevice = 0,
  // The host's: copies to and from it do not wait, and kernels may write to it
  // at the same address.
  kPinned = 1,
};

// Thread-safe. Every call answers kUnavailable, with the driver's words, when
// the device fails: after that nothing that it holds is to be relied on.
// kResourceExhausted, with the bytes, when memory is not to be had.
//
// Calls are made from an engine's threads too, and leave those as they were:
// their current device (unless the process has no context there), CUDA's last
// error, and what streams another thread may just be capturing.
class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;

  // Aligned to kGpuAlignment, contents undefined. Free takes null too.
  virtual Result<uint8_t*> Allocate(GpuMemory kind, uint64_t bytes) = 0;
  virtual void Free(GpuMemory kind, uint8_t* memory) = 0;

  // A null stream is the device's default one: CUDA's legacy one, also where
  // the caller was compiled for one a thread. Streams of the caller's own
  // (cudaStream_t) may be given wherever one is asked for. FreeStream waits for
  // what is queued.
  virtual Result<GpuStream> MakeStream() = 0;
  virtual void FreeStream(GpuStream stream) = 0;
  virtual Result<GpuEvent> MakeEvent() = 0;
  virtual void FreeEvent(GpuEvent event) = 0;

  // All of these only queue; `stream` is where.
  virtual Status CopyToDevice(uint8_t* to, const uint8_t* from, uint64_t bytes,
                              GpuStream stream) = 0;
  virtual Status CopyToHost(uint8_t* to, const uint8_t* from, uint64_t bytes,
                            GpuStream stream) = 0;
  virtual Status CopyOnDevice(uint8_t* to, const uint8_t* from, uint64_t bytes,
                              GpuStream stream) = 0;
  virtual Status Launch(const KernelLaunch& launch, GpuStream stream) = 0;
  virtual Status Record(GpuEvent event, GpuStream stream) = 0;
  // What is queued on `stream` from now on waits for the event's last record.
  virtual Status Wait(GpuStream stream, GpuEvent event) = 0;

  // Whether all before the event's last record is done; true without one.
  virtual Result<bool> IsDone(GpuEvent event) = 0;
  // Blocks until it is.
  virtual Status Synchronize(GpuEvent event) = 0;

  // Blocks until nothing runs that was queued on `stream`. Of a device that
  // failed too, before it says so: what was queued may still be under way, and
  // touches the memory that it was given.
  virtual Status Drain(GpuStream stream) = 0;

  // Blocks of a kernel that run at once on one multiprocessor.
  virtual Result<uint32_t> BlocksPerMultiprocessor(KernelId kernel) = 0;
};

// Of this machine's devices, number `ordinal`. kUnimplemented when this build
// has no CUDA; kUnavailable, with the driver's words, when there is no such
// device, or no driver.
Result<std::shared_ptr<Device>> OpenDevice(int32_t ordinal);
// How many there are: 0 without CUDA or a driver.
int32_t DeviceCount();

// Memory of a device, freed with this. Movable.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  static Result<DeviceBuffer> Make(std::shared_ptr<Device> device,
                                   GpuMemory kind, uint64_t bytes);
  // Device memory with a copy of `bytes`, and with slack behind it. Waits until
  // it is there.
  static Result<DeviceBuffer> Upload(std::shared_ptr<Device> device,
                                     ByteView bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  std::shared_ptr<Device> device_;
  GpuMemory kind_ = GpuMemory::kDevice;
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_GPU_DEVICE_H_
