#include "gpu/gpu_codec.h"

#include "gpu/raw_gpu_codec.h"

namespace reprise {

Result<uint32_t> GpuCodec::Plan(const GpuDecodeRequest& request,
                                DecodePlan* plan) const {
  Result<uint32_t> unit = plan->BeginUnit();
  if (!unit.ok()) return unit;
  const Status status = AddTasks(request, *unit, plan);
  if (status.ok()) return unit;
  plan->DropUnit();
  return status;
}

const GpuCodec* FindGpuCodec(CodecId id) {
  static const RawGpuCodec raw;
  for (const GpuCodec* codec : {static_cast<const GpuCodec*>(&raw)}) {
    if (codec->id() == id) return codec;
  }
  return nullptr;
}

}  // namespace reprise
