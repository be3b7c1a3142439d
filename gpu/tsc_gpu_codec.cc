#include "gpu/tsc_gpu_codec.h"

#include <utility>

#include "codec/message.h"
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

}  // namespace reprise
