// `tsc` on a device: the host reads and checks what is small (headers, scales,
// references), the kernel makes rows.
#ifndef REPRISE_GPU_TSC_GPU_CODEC_H_
#define REPRISE_GPU_TSC_GPU_CODEC_H_

#include <memory>

#include "gpu/gpu_codec.h"

namespace reprise {

class TscGpuCodec final : public GpuCodec {
 public:
  CodecId id() const override { return CodecId::kTsc; }
  // Nothing is copied: a profile is the encoder's alone, and requests may come
  // without one.
  Result<std::shared_ptr<const GpuProfile>> Upload(
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
      std::shared_ptr<Device> device) const override;

 protected:
  Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                  DecodePlan* plan) const override;
};

}  // namespace reprise

#endif  // REPRISE_GPU_TSC_GPU_CODEC_H_
