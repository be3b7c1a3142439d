// `tsc` on a device. To decode, the host reads and checks what is small
// (headers, scales, references), the kernel makes rows. To encode, the kernel
// makes whole sections, the very bytes of TscCodec::Encode.
#ifndef REPRISE_GPU_TSC_GPU_CODEC_H_
#define REPRISE_GPU_TSC_GPU_CODEC_H_

#include <memory>
#include <span>

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

#endif  // REPRISE_GPU_TSC_GPU_CODEC_H_
