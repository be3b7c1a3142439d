// A device that is none: its memory is the machine's, and kernels are run by
// loops (executor.h). Everything above a Device is tested on it, in the order
// that is the worst for who forgot to wait: each stream has a queue, and which
// one goes on next is drawn by lot. So is whether the threads of a launch have
// their turns from the first to the last or from the last to the first. Where
// assertions are on, an address that a device would fault for ends the process.
#ifndef REPRISE_GPU_HOST_DEVICE_H_
#define REPRISE_GPU_HOST_DEVICE_H_

#include <cstdint>
#include <memory>

#include "gpu/device.h"

namespace reprise {

struct HostDeviceOptions {
  uint64_t seed = 1;
  // Of kGpuMemory::kDevice; what goes over it answers kResourceExhausted.
  uint64_t memory_bytes = 1ull << 30;
  // After so many operations every call answers kUnavailable, as a device does
  // that fell off its bus.
  uint64_t fails_after = UINT64_MAX;
};

std::shared_ptr<Device> MakeHostDevice(const HostDeviceOptions& options = {});

}  // namespace reprise

#endif  // REPRISE_GPU_HOST_DEVICE_H_
