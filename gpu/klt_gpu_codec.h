// `klt` on a device. To decode, one kernel makes coefficients of the streams,
// one values of these; what is stored raw is copied. To encode, one kernel
// takes rows, one makes coefficients, one streams: the very bytes of
// KltCodec::EncodeStages on a machine that fuses (KltForwardIsFused).
#ifndef REPRISE_GPU_KLT_GPU_CODEC_H_
#define REPRISE_GPU_KLT_GPU_CODEC_H_

#include <memory>
#include <span>

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
  Status BuildFrames(const GpuEncodeRequest& request, const EncodePlan& plan,
                     uint32_t unit,
                     std::span<FrameBuilder* const> builders) const override;

 protected:
  Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                  DecodePlan* plan) const override;
  // The first one of each group of the profile solves for its inverse, which
  // takes seconds where it is wide, and takes device memory for it.
  Status AddEncodeTasks(const GpuEncodeRequest& request, uint32_t unit,
                        EncodePlan* plan) const override;
};

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_GPU_CODEC_H_
