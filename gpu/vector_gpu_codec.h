// `vq` and `pq` on a device: what codes stand for is put there with the
// profile, kernels look it up.
#ifndef REPRISE_GPU_VECTOR_GPU_CODEC_H_
#define REPRISE_GPU_VECTOR_GPU_CODEC_H_

#include <memory>

#include "gpu/gpu_codec.h"

namespace reprise {

class VectorGpuCodec final : public GpuCodec {
 public:
  // REQUIRES: id is kVq or kPq.
  explicit VectorGpuCodec(CodecId id) : id_(id) {}

  CodecId id() const override { return id_; }
  // The profile's decoding tables: up to 512 MiB of the device's memory.
  Result<std::shared_ptr<const GpuProfile>> Upload(
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
      std::shared_ptr<Device> device) const override;

 protected:
  Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                  DecodePlan* plan) const override;

 private:
  const CodecId id_;
};

}  // namespace reprise

#endif  // REPRISE_GPU_VECTOR_GPU_CODEC_H_
