#include "gpu/raw_gpu_codec.h"

#include <vector>

#include "codec/raw_codec.h"
#include "gpu/gather_plan.h"

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

Status RawGpuCodec::AddEncodeTasks(const GpuEncodeRequest& request, uint32_t,
                                   EncodePlan* plan) const {
  REPRISE_RETURN_IF_ERROR(CheckRawEncode(WithoutRows(request)));
  return AddGatherTasks(request, plan);
}

Status RawGpuCodec::BuildFrames(const GpuEncodeRequest& request,
                                const EncodePlan& plan, uint32_t unit,
                                std::span<FrameBuilder* const> builders) const {
  std::vector<ConstPlaneRows> rows;
  AppendGathered(request, plan, unit, &rows);
  EncodeRequest own = WithoutRows(request);
  own.rows = rows;
  CodecScratch unused;
  return RawCodec().EncodeStages(own, &unused, builders);
}

}  // namespace reprise
