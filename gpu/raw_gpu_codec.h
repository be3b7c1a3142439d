// `raw` on a device: rows are copied to where they belong, or out of there.
#ifndef REPRISE_GPU_RAW_GPU_CODEC_H_
#define REPRISE_GPU_RAW_GPU_CODEC_H_

#include <memory>
#include <span>

#include "gpu/gpu_codec.h"

namespace reprise {

class RawGpuCodec final : public GpuCodec {
 public:
  CodecId id() const override { return CodecId::kRaw; }
  Result<std::shared_ptr<const GpuProfile>> Upload(
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
      std::shared_ptr<Device> device) const override;
  Status BuildFrames(const GpuEncodeRequest& request, const EncodePlan& plan,
                     uint32_t unit,
                     std::span<FrameBuilder* const> builders) const override;

 protected:
  Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                  DecodePlan* plan) const override;
  Status AddEncodeTasks(const GpuEncodeRequest& request, uint32_t unit,
                        EncodePlan* plan) const override;
};

}  // namespace reprise

#endif  // REPRISE_GPU_RAW_GPU_CODEC_H_
