#include "gpu/vector_gpu_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "codec/vector_section.h"
#include "gpu/row_shape.h"

namespace reprise {
namespace {

class VectorGpuProfile final : public GpuProfile {
 public:
  VectorGpuProfile(std::shared_ptr<const CodecProfile> profile,
                   DeviceBuffer entries)
      : profile_(std::move(profile)), entries_(std::move(entries)) {}

  const CodecProfile& profile() const override { return *profile_; }
  // Where an address among VectorProfile::entries() is on the device.
  const uint8_t* OnDevice(const uint8_t* entries) const {
    const auto& own = static_cast<const VectorProfile&>(*profile_);
    return entries_.data() + (entries - own.entries().data());
  }

 private:
  const std::shared_ptr<const CodecProfile> profile_;
  const DeviceBuffer entries_;
};

// Tasks of the slices of one frame.
class Planner {
 public:
  Planner(const GpuDecodeRequest& request, const VectorGpuProfile& gpu_profile,
          const VectorProfile& profile, DecodePlan* plan)
      : request_(request),
        gpu_profile_(gpu_profile),
        profile_(profile),
        plan_(plan) {}

  Status Run();

 private:
  // Takes a head of a slice, and adds the slice's task with its last one.
  Status AddHead(const VectorHead& head, const FrameSection& section);
  Status AddSlice(const VectorHead& last, const FrameSection& section);
  Status AddPlane(size_t slice, const FrameSection& section);

  const GpuDecodeRequest& request_;
  const VectorGpuProfile& gpu_profile_;
  const VectorProfile& profile_;
  DecodePlan* plan_;
  std::vector<VectorHeadPlace> heads_;  // of the slice, so far, if wanted
};

// The most bytes that all of an entry's parts are multiples of.
uint32_t UnitBytes(const GpuRows& rows, const VectorTable& table) {
  if (rows.element_stride != int64_t{rows.element_bytes}) {
    return rows.element_bytes;
  }
  uint32_t of_all = RowAlignment(rows) | table.tail_bytes;
  // Without whole blocks the entries' size is still their stride.
  of_all |= table.full_blocks > 0 ? table.entry_bytes : table.tail_stride;
  of_all |= table.tail_bytes > 0 ? table.tail_stride : 0;
  return std::max(of_all & (~of_all + 1), rows.element_bytes);
}

// How much of a slice has tables that fit into shared memory.
void SetParts(VectorDecodeTask* task) {
  constexpr uint32_t kTableBytes = VectorDecodeKernel::kTableBytes;
  // The largest table of a block, of 256 times 16 f32, has half of that.
  static_assert(2 * kVectorMaxCentroids * kVectorMaxBlock * sizeof(float) <=
                kTableBytes);
  if (task->head_table_bytes <= kTableBytes) {
    task->part_heads = kTableBytes / task->head_table_bytes;
    task->part_blocks = task->blocks;
  } else {
    task->part_heads = 1;
    task->part_blocks = kTableBytes / task->block_stride;
  }
}

Status Planner::AddHead(const VectorHead& head, const FrameSection& section) {
  const GpuRows& rows = request_.rows[head.slice];
  if (rows.base == nullptr || rows.head_count == 0) return Status();
  if (head.head == 0) heads_.clear();
  if (head.head - rows.head_first < rows.head_count) {
    heads_.push_back({.raw = head.raw,
                      .codes_at = static_cast<uint32_t>(head.codes_at),
                      .raw_at = static_cast<uint32_t>(head.raw_at)});
  }
  const bool is_last = head.head + 1 == request_.slices[head.slice].head_count;
  return is_last ? AddSlice(head, section) : Status();
}

Status Planner::AddSlice(const VectorHead& last, const FrameSection& section) {
  const GpuRows& rows = request_.rows[last.slice];
  const VectorPlane& plane = *last.plane;
  const VectorTable table = profile_.table(
      plane, request_.slices[last.slice].head_first + rows.head_first);
  VectorDecodeTask task{
      .table = gpu_profile_.OnDevice(table.entries),
      .section = DeviceSection(request_, 0, section),
      .head_table_bytes =
          static_cast<uint32_t>(profile_.head_entry_bytes(plane)),
      .block_stride = static_cast<uint32_t>(table.block_stride),
      .blocks = table.blocks(),
      .full_blocks = table.full_blocks,
      .entry_bytes = table.entry_bytes,
      .tail_bytes = table.tail_bytes,
      .tail_stride = table.tail_stride,
      .code_bytes = profile_.code_bytes(plane),
      .bits = profile_.code_bits(),
      .row_bytes = plane.dim * DTypeBytes(plane.dtype),
      .unit_bytes = UnitBytes(rows, table)};
  SetParts(&task);
  REPRISE_ASSIGN_OR_RETURN(
      const uint8_t* const heads,
      plan_->AddConstants({reinterpret_cast<const uint8_t*>(heads_.data()),
                           heads_.size() * sizeof(VectorHeadPlace)}));
  task.heads = reinterpret_cast<const VectorHeadPlace*>(heads);
  REPRISE_ASSIGN_OR_RETURN(task.rows, plan_->AddRows(rows));
  return plan_->Add<VectorDecodeKernel>(task);
}

Status Planner::AddPlane(size_t slice, const FrameSection& section) {
  if (request_.rows[slice].base == nullptr) return Status();
  REPRISE_ASSIGN_OR_RETURN(const uint32_t rows,
                           plan_->AddRows(request_.rows[slice]));
  return plan_->Add<CopyRowsKernel>(
      {.from = DeviceSection(request_, 0, section),
       .from_stride = request_.slices[slice].token_bytes(),
       .tokens = FirstTokens(request_.frames[0]->info.token_count),
       .rows = rows,
       .channel_first = 0,
       .channel_count = request_.slices[slice].channels()});
}

Status Planner::Run() {
  VectorFrame whole(*request_.frames[0], request_.slices, profile_);
  REPRISE_RETURN_IF_ERROR(whole.Check());
  REPRISE_RETURN_IF_ERROR(whole.ForEachHead([&](const VectorHead& head) {
    return AddHead(head, whole.CodeSection());
  }));
  return whole.ForEachPlane([&](size_t slice, const FrameSection& section) {
    return AddPlane(slice, section);
  });
}

}  // namespace

Result<std::shared_ptr<const GpuProfile>> VectorGpuCodec::Upload(
    std::shared_ptr<const CodecProfile> profile, uint64_t,
    std::shared_ptr<Device> device) const {
  REPRISE_ASSIGN_OR_RETURN(const VectorProfile* own,
                           VectorProfile::Of(id_, profile.get()));
  REPRISE_ASSIGN_OR_RETURN(
      DeviceBuffer buffer,
      DeviceBuffer::Upload(std::move(device), own->entries()));
  return std::shared_ptr<const GpuProfile>(std::make_shared<VectorGpuProfile>(
      std::move(profile), std::move(buffer)));
}

Status VectorGpuCodec::AddTasks(const GpuDecodeRequest& request, uint32_t,
                                DecodePlan* plan) const {
  const GpuProfile* const given = request.profile;
  REPRISE_ASSIGN_OR_RETURN(
      const VectorProfile* profile,
      CheckVectorProfile(id_, *request.frames[0], request.slices,
                         given == nullptr ? nullptr : &given->profile()));
  const auto& gpu_profile = static_cast<const VectorGpuProfile&>(*given);
  return Planner(request, gpu_profile, *profile, plan).Run();
}

}  // namespace reprise
