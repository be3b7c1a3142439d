// Rows that come to the host as they are: what it encodes itself of a cache
// that lies on a device.
#ifndef REPRISE_GPU_GATHER_PLAN_H_
#define REPRISE_GPU_GATHER_PLAN_H_

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "codec/codec.h"
#include "gpu/encode_plan.h"
#include "gpu/gpu_codec.h"

namespace reprise {

// Adds the copies of the request's rows as one unit of the plan, and answers
// its number; profile, options and tokens kept are not looked at.
// kResourceExhausted when there is no room; after an error the plan is as it
// was.
Result<uint32_t> PlanGather(const GpuEncodeRequest& request, EncodePlan* plan);

// For planners: the same, of a unit that was begun. Adds one output a slice.
Status AddGatherTasks(const GpuEncodeRequest& request, EncodePlan* plan);

// For planners: the copy of one slice's rows to a part of an output of theirs,
// at a multiple of 16. `rows_index`: of the rows in the plan.
struct GatherPlace {
  const GpuRows& rows;
  uint32_t rows_index = 0;
  uint8_t* out = nullptr;
  const uint64_t* mask = nullptr;  // as in GatherRowsTask
};
Status AddGather(const GatherPlace& place, EncodePlan* plan);

// The rows of a unit that is done, packed, in pinned memory: valid until the
// plan is emptied. Adds one to `out` for each slice.
void AppendGathered(const GpuEncodeRequest& request, const EncodePlan& plan,
                    uint32_t unit, std::vector<ConstPlaneRows>* out);

}  // namespace reprise

#endif  // REPRISE_GPU_GATHER_PLAN_H_
