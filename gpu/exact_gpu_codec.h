// `exact` on a device: streams are decoded, and with a profile encoded, by one
// warp each.
#ifndef REPRISE_GPU_EXACT_GPU_CODEC_H_
#define REPRISE_GPU_EXACT_GPU_CODEC_H_

#include <memory>

#include "gpu/gpu_codec.h"

namespace reprise {

class ExactGpuCodec final : public GpuCodec {
 public:
  CodecId id() const override { return CodecId::kExact; }
  Result<std::shared_ptr<const GpuProfile>> Upload(
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
      std::shared_ptr<Device> device) const override;

 protected:
  Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                  DecodePlan* plan) const override;
};

}  // namespace reprise

#endif  // REPRISE_GPU_EXACT_GPU_CODEC_H_
