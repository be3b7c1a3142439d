// `exact` on a device: streams are decoded, and with a profile encoded, by one
// warp each.
#ifndef REPRISE_GPU_EXACT_GPU_CODEC_H_
#define REPRISE_GPU_EXACT_GPU_CODEC_H_

#include <memory>
#include <span>

#include "gpu/gpu_codec.h"

namespace reprise {

class ExactGpuCodec final : public GpuCodec {
 public:
  CodecId id() const override { return CodecId::kExact; }
  Result<std::shared_ptr<const GpuProfile>> Upload(
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
      std::shared_ptr<Device> device) const override;

  Status BuildFrames(const GpuEncodeRequest& request, const EncodePlan& plan,
                     uint32_t unit,
                     std::span<FrameBuilder* const> builders) const override;

 protected:
  Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                  DecodePlan* plan) const override;
  // kUnimplemented without a profile: tables of a frame's own are fitted on
  // the host.
  Status AddEncodeTasks(const GpuEncodeRequest& request, uint32_t unit,
                        EncodePlan* plan) const override;
};

}  // namespace reprise

#endif  // REPRISE_GPU_EXACT_GPU_CODEC_H_
