// A batch of rows to be encoded on a device, straight from an engine's cache:
// GpuCodec::PlanEncode adds a frame's tasks here, Launch does them all, and
// GpuCodec::BuildFrames makes the frames of what came back.
//
// What kernels make goes to *outputs*: pinned memory of the host, which a
// device writes to over its bus. So only the bytes that are written cross it,
// however few those are of the room that there had to be, and nothing is to be
// copied when the kernels are done. In return a kernel writes an output once,
// at the end, in whole rows of a warp, and never reads it: what is in the
// making stands in scratch or in shared memory.
#ifndef REPRISE_GPU_ENCODE_PLAN_H_
#define REPRISE_GPU_ENCODE_PLAN_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "gpu/device.h"
#include "gpu/kernels.h"
#include "gpu/task_batch.h"

namespace reprise {

struct EncodePlanLimits : TaskBatchLimits {
  // Pinned memory: about what the batch's rows have, undone; for `klt` up to
  // seven times as much, as its streams have room for any coefficients.
  uint64_t output_bytes = 64 << 20;
  uint32_t outputs = 1 << 16;
};

// Where a kernel leaves its result, at the same address on the host and on
// the device; a multiple of 256.
struct GpuOutput {
  uint8_t* data = nullptr;
  uint64_t bytes = 0;
};

// One thread at a time.
class EncodePlan final : public TaskBatch<EncodeKernels> {
 public:
  // Device and pinned memory for the limits; none is got later.
  static Result<std::unique_ptr<EncodePlan>> Make(
      std::shared_ptr<Device> device, const EncodePlanLimits& limits);
  // Waits for what was launched.
  ~EncodePlan() { Finish(); }

  // Empties it. REQUIRES: what was launched is done.
  void Clear();
  // Starts a unit, as TaskBatch has it.
  Result<uint32_t> BeginUnit();
  // Takes back everything since BeginUnit.
  void DropUnit();

  // Room for a result of the unit that was begun last, contents undefined.
  // Kernels may write up to 15 bytes behind it. kResourceExhausted when there
  // is none.
  Result<GpuOutput> AddOutput(uint64_t bytes);
  // A unit's, in the order in which they were added. What they hold is there
  // when the batch is done, until Clear.
  std::span<const GpuOutput> Outputs(uint32_t unit) const;

 private:
  EncodePlan(std::shared_ptr<Device> device, const EncodePlanLimits& limits)
      : TaskBatch(std::move(device), limits), limits_(limits) {}
  Status AllocateOutputs();

  const EncodePlanLimits limits_;
  DeviceBuffer memory_;
  uint64_t used_ = 0;  // bytes of it
  std::vector<GpuOutput> outputs_;
  // By unit: its first output.
  std::vector<uint32_t> first_;
  uint64_t mark_ = 0;  // used_ before the last unit
};

}  // namespace reprise

#endif  // REPRISE_GPU_ENCODE_PLAN_H_
