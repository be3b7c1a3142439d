#include "gpu/tsc_gpu_codec.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "codec/message.h"
#include "codec/tsc_encode.h"
#include "codec/tsc_section.h"
#include "gpu/row_shape.h"

namespace reprise {
namespace {

// The profile, held.
class TscGpuProfile final : public GpuProfile {
 public:
  explicit TscGpuProfile(std::shared_ptr<const CodecProfile> profile)
      : profile_(std::move(profile)) {}
  const CodecProfile& profile() const override { return *profile_; }

 private:
  const std::shared_ptr<const CodecProfile> profile_;
};

// Rows without deltas are bytes: 4 of them may go as one element.
void WidenRaw(TscDecodeTask* task) {
  task->dim = task->dim * task->element_bytes / 4;
  task->element_bytes = 4;
  task->dtype = DType::kF32;
}

TscDecodeTask TaskOf(const TscSection& section, const uint8_t* device_bytes,
                     const GpuRows& rows) {
  const TscHeader& header = section.header;
  const TscShape& shape = section.shape;
  TscDecodeTask task{.section = device_bytes,
                     .kept = header.kept,
                     .raw = header.raw,
                     .reference = header.reference,
                     .raw_at = static_cast<uint32_t>(section.layout.raw),
                     .scales_at = static_cast<uint32_t>(section.layout.scales),
                     .codes_at = static_cast<uint32_t>(section.layout.codes),
                     .heads = shape.heads,
                     .dim = shape.dim,
                     .element_bytes = DTypeBytes(shape.dtype),
                     .dtype = shape.dtype,
                     .bits = static_cast<uint8_t>(shape.bits)};
  if (header.page == TscPage::kLayer) {
    task.scale_row_bytes = 2;
  } else {
    task.scale_head_bytes = 2;
    if (header.page == TscPage::kToken) task.scale_row_bytes = 2 * shape.heads;
  }
  const uint32_t head_bytes = task.dim * task.element_bytes;
  if (RowAlignment(rows) < 16) return task;
  if (header.deltas() == 0) {
    task.is_wide = head_bytes % 32 == 0;
    if (task.is_wide) WidenRaw(&task);
  } else {
    task.is_wide = task.dim % (task.bits == 8 ? 8 : 16) == 0;
  }
  return task;
}

// Room for the scales of one section, and the zeros behind them.
uint64_t ScaleBytes(const TscShape& shape) {
  return sizeof(uint16_t) * TscEncodeKernel::kTokens * shape.heads +
         kTscPartAlignment;
}
uint64_t ScratchBytes(const TscShape& shape) {
  return ScaleBytes(shape) +
         sizeof(uint32_t) * TscEncodeKernel::kTokens * shape.heads;
}

// Where deltas take more than raw rows there are none.
uint64_t MostSectionBytes(const TscSlicePlan& slice, uint32_t token_count) {
  return kTscHeaderBytes + token_count * slice.shape.row_bytes() +
         2 * kTscPartAlignment;
}

TscEncodeTask EncodeTaskOf(const TscSlicePlan& slice, const GpuRows& rows) {
  const TscShape& shape = slice.shape;
  TscEncodeTask task{.kept = slice.header.kept,
                     .kappa = slice.header.kappa,
                     .delta_limit = slice.delta_limit,
                     .reference_limit = slice.reference_limit,
                     .dtype = shape.dtype,
                     .bits = static_cast<uint8_t>(shape.bits),
                     .page = static_cast<uint8_t>(slice.header.page),
                     .is_raw = slice.is_raw};
  const uint32_t multiple = shape.bits == 8 ? 8 : 16;
  task.is_wide = RowAlignment(rows) == 16 &&
                 shape.dim * DTypeBytes(shape.dtype) % 16 == 0 &&
                 (slice.is_raw || shape.dim % multiple == 0);
  return task;
}

}  // namespace

Result<std::shared_ptr<const GpuProfile>> TscGpuCodec::Upload(
    std::shared_ptr<const CodecProfile> profile, uint64_t,
    std::shared_ptr<Device>) const {
  if (profile->codec() != CodecId::kTsc) {
    return FailedPreconditionError(CatMessage("tsc: the profile is of codec ",
                                              CodecIdName(profile->codec())));
  }
  return std::shared_ptr<const GpuProfile>(
      std::make_shared<TscGpuProfile>(std::move(profile)));
}

Status TscGpuCodec::AddTasks(const GpuDecodeRequest& request, uint32_t,
                             DecodePlan* plan) const {
  const FrameView& frame = *request.frames[0];
  REPRISE_ASSIGN_OR_RETURN(const TokenMask kept,
                           CheckTscFrame(frame, request.slices));
  REPRISE_RETURN_IF_ERROR(
      CheckTscKept(frame, kept, request.token_count, request.kept != nullptr));
  TscSection section;
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const GpuRows& rows = request.rows[i];
    if (rows.base == nullptr) continue;
    const FrameSection& entry = frame.sections[i];
    REPRISE_RETURN_IF_ERROR(
        LoadTscSection(frame, entry, request.slices[i], &section));
    REPRISE_RETURN_IF_ERROR(
        CheckTscValues(entry, section, request.token_count));
    if (rows.head_count == 0) continue;
    TscDecodeTask task =
        TaskOf(section, DeviceSection(request, 0, entry), rows);
    REPRISE_ASSIGN_OR_RETURN(task.rows, plan->AddRows(rows));
    REPRISE_RETURN_IF_ERROR(plan->Add<TscDecodeKernel>(task));
  }
  if (request.kept != nullptr) {
    *request.kept &= kept | ~FirstTokens(frame.info.token_count);
  }
  return Status();
}

Status TscGpuCodec::AddEncodeTasks(const GpuEncodeRequest& request, uint32_t,
                                   EncodePlan* plan) const {
  const EncodeRequest own = WithoutRows(request);
  REPRISE_ASSIGN_OR_RETURN(const TscChoices choices, CheckTscChoices(own));
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const GpuRows& rows = request.rows[i];
    const TscSlicePlan slice = PlanTscSlice(own, choices, request.slices[i]);
    TscEncodeTask task = EncodeTaskOf(slice, rows);
    REPRISE_ASSIGN_OR_RETURN(
        const GpuOutput output,
        plan->AddOutput(MostSectionBytes(slice, own.info.token_count)));
    REPRISE_ASSIGN_OR_RETURN(uint8_t* const scratch,
                             plan->AddScratch(ScratchBytes(slice.shape)));
    task.out = output.data;
    task.scales = reinterpret_cast<uint16_t*>(scratch);
    task.largest =
        reinterpret_cast<uint32_t*>(scratch + ScaleBytes(slice.shape));
    REPRISE_ASSIGN_OR_RETURN(task.rows, plan->AddRows(rows));
    REPRISE_RETURN_IF_ERROR(plan->Add<TscEncodeKernel>(task));
  }
  return Status();
}

Status TscGpuCodec::BuildFrames(const GpuEncodeRequest& request,
                                const EncodePlan& plan, uint32_t unit,
                                std::span<FrameBuilder* const> builders) const {
  const EncodeRequest own = WithoutRows(request);
  REPRISE_ASSIGN_OR_RETURN(const TscChoices choices, CheckTscChoices(own));
  const std::span<const GpuOutput> outputs = plan.Outputs(unit);
  const size_t count = request.slices.size();
  if (outputs.size() != count || builders.empty()) {
    return InternalError(CatMessage("tsc: ", outputs.size(), " outputs and ",
                                    builders.size(), " builders for ", count,
                                    " slices"));
  }
  FrameBuilder* const builder = builders[0];
  builder->Start(TscInfoOf(own, choices), static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) {
    const TscSlicePlan slice = PlanTscSlice(own, choices, request.slices[i]);
    TscHeader header;
    REPRISE_RETURN_IF_ERROR(LoadTscHeader(outputs[i].data, &header));
    const uint64_t bytes = LayOutTsc(header, slice.shape).end;
    if (header.kept != slice.header.kept || bytes > outputs[i].bytes) {
      return UnavailableError(CatMessage(
          "gpu: a device made a section of ", bytes, " bytes, there was room ",
          "for ", outputs[i].bytes, "; or of other tokens"));
    }
    std::memcpy(builder->BeginSection(bytes).data(), outputs[i].data, bytes);
    builder->EndSection(
        TscSectionOf(request.slices[i], header, slice.shape.bits), bytes);
  }
  return Status();
}

}  // namespace reprise
