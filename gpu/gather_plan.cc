#include "gpu/gather_plan.h"

#include <algorithm>
#include <span>

#include "gpu/row_shape.h"

namespace reprise {
namespace {

// Of a task: 16 KiB of a row of 2 KiB.
constexpr uint32_t kTaskTokens = 8;

bool IsWide(const GpuRows& rows) {
  return RowAlignment(rows) == 16 && rows.dim * rows.element_bytes % 16 == 0;
}

}  // namespace

Status AddGather(const GatherPlace& place, EncodePlan* plan) {
  const GpuRows& rows = place.rows;
  GatherRowsTask task{
      .out = place.out,
      .mask = place.mask,
      .row_bytes = rows.head_count * rows.dim * rows.element_bytes,
      .rows = place.rows_index,
      .is_wide = IsWide(rows)};
  for (uint32_t first = 0; first < rows.token_count; first += kTaskTokens) {
    if (task.mask == nullptr) {
      task.out = place.out + uint64_t{first} * task.row_bytes;
    }
    task.token_first = first;
    task.token_count = std::min(kTaskTokens, rows.token_count - first);
    REPRISE_RETURN_IF_ERROR(plan->Add<GatherRowsKernel>(task));
  }
  return Status();
}

Status AddGatherTasks(const GpuEncodeRequest& request, EncodePlan* plan) {
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const GpuRows& rows = request.rows[i];
    REPRISE_ASSIGN_OR_RETURN(
        const GpuOutput output,
        plan->AddOutput(request.slices[i].token_bytes() * rows.token_count));
    REPRISE_ASSIGN_OR_RETURN(const uint32_t index, plan->AddRows(rows));
    REPRISE_RETURN_IF_ERROR(AddGather(
        {.rows = rows, .rows_index = index, .out = output.data}, plan));
  }
  return Status();
}

Result<uint32_t> PlanGather(const GpuEncodeRequest& request, EncodePlan* plan) {
  REPRISE_RETURN_IF_ERROR(CheckGpuEncodeRequest(request));
  Result<uint32_t> unit = plan->BeginUnit();
  if (!unit.ok()) return unit;
  const Status status = AddGatherTasks(request, plan);
  if (status.ok()) return unit;
  plan->DropUnit();
  return status;
}

void AppendGathered(const GpuEncodeRequest& request, const EncodePlan& plan,
                    uint32_t unit, std::vector<ConstPlaneRows>* out) {
  const std::span<const GpuOutput> outputs = plan.Outputs(unit);
  for (size_t i = 0; i < outputs.size(); ++i) {
    out->push_back({outputs[i].data, request.slices[i].token_bytes()});
  }
}

}  // namespace reprise
