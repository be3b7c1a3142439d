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

Status AddGatherTasks(const GpuEncodeRequest& request, EncodePlan* plan) {
  const uint32_t tokens = request.info.token_count;
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const GpuRows& rows = request.rows[i];
    const uint64_t row_bytes = request.slices[i].token_bytes();
    REPRISE_ASSIGN_OR_RETURN(const GpuOutput output,
                             plan->AddOutput(row_bytes * tokens));
    GatherRowsTask task{.row_bytes = static_cast<uint32_t>(row_bytes),
                        .is_wide = IsWide(rows)};
    REPRISE_ASSIGN_OR_RETURN(task.rows, plan->AddRows(rows));
    for (uint32_t first = 0; first < tokens; first += kTaskTokens) {
      task.out = output.data + first * row_bytes;
      task.token_first = first;
      task.token_count = std::min(kTaskTokens, tokens - first);
      REPRISE_RETURN_IF_ERROR(plan->Add<GatherRowsKernel>(task));
    }
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
