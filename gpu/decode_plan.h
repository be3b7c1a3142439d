// A batch of frames to be decoded on a device: GpuCodec::Plan checks a frame
// and adds its tasks here, Launch does them all.
#ifndef REPRISE_GPU_DECODE_PLAN_H_
#define REPRISE_GPU_DECODE_PLAN_H_

#include <memory>

#include "base/status.h"
#include "gpu/device.h"
#include "gpu/kernels.h"
#include "gpu/task_batch.h"

namespace reprise {

using DecodePlanLimits = TaskBatchLimits;

// One thread at a time.
class DecodePlan final : public TaskBatch<DecodeKernels> {
 public:
  // Device and pinned memory for the limits; none is got later.
  static Result<std::unique_ptr<DecodePlan>> Make(
      std::shared_ptr<Device> device, const DecodePlanLimits& limits);

  // Empties it. REQUIRES: what was launched is done.
  void Clear() { ClearTasks(); }
  // Takes back everything since BeginUnit.
  void DropUnit() { DropTasks(); }

 private:
  using TaskBatch::TaskBatch;
};

}  // namespace reprise

#endif  // REPRISE_GPU_DECODE_PLAN_H_
