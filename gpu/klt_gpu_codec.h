// `klt` on a device: one kernel makes coefficients of the streams, one values
// of these. What is stored raw is copied.
#ifndef REPRISE_GPU_KLT_GPU_CODEC_H_
#define REPRISE_GPU_KLT_GPU_CODEC_H_

#include <memory>

#include "gpu/gpu_codec.h"

namespace reprise {

class KltGpuCodec final : public GpuCodec {
 public:
  CodecId id() const override { return CodecId::kKlt; }
  // Takes about the profile's bytes, and for angles what
  // gpu/klt_gpu_profile.h says.
  Result<std::shared_ptr<const GpuProfile>> Upload(
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
      std::shared_ptr<Device> device) const override;

 protected:
  Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                  DecodePlan* plan) const override;
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_GPU_CODEC_H_
