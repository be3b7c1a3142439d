#include "gpu/raw_gpu_codec.h"

#include "codec/raw_codec.h"

namespace reprise {

Result<std::shared_ptr<const GpuProfile>> RawGpuCodec::Upload(
    std::shared_ptr<const CodecProfile>, uint64_t,
    std::shared_ptr<Device>) const {
  return InvalidArgumentError("raw: has no profiles");
}

Status RawGpuCodec::AddTasks(const GpuDecodeRequest& request, uint32_t,
                             DecodePlan* plan) const {
  const FrameView& frame = *request.frames[0];
  REPRISE_RETURN_IF_ERROR(CheckRawFrame(frame, request.slices));
  for (size_t i = 0; i < request.slices.size(); ++i) {
    if (request.rows[i].base == nullptr) continue;
    const PlaneSlice& slice = request.slices[i];
    Result<uint32_t> rows = plan->AddRows(request.rows[i]);
    if (!rows.ok()) return rows.status();
    REPRISE_RETURN_IF_ERROR(plan->Add<CopyRowsKernel>(
        {.from = DeviceSection(request, 0, frame.sections[i]),
         .from_stride = slice.token_bytes(),
         .tokens = FirstTokens(frame.info.token_count),
         .rows = *rows,
         .channel_first = 0,
         .channel_count = slice.channels()}));
  }
  return Status();
}

}  // namespace reprise
