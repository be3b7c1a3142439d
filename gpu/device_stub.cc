// Of builds without CUDA.
#include "gpu/device.h"

namespace reprise {

Result<std::shared_ptr<Device>> OpenDevice(int32_t) {
  return UnimplementedError("gpu: this build has no CUDA");
}

int32_t DeviceCount() { return 0; }

}  // namespace reprise
