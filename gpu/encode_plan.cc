#include "gpu/encode_plan.h"

#include <utility>

namespace reprise {
namespace {

constexpr uint64_t kOutputAlignment = 256;
constexpr uint64_t kOutputSlackBytes = 15;

}  // namespace

Result<std::unique_ptr<EncodePlan>> EncodePlan::Make(
    std::shared_ptr<Device> device, const EncodePlanLimits& limits) {
  std::unique_ptr<EncodePlan> plan(new EncodePlan(std::move(device), limits));
  REPRISE_RETURN_IF_ERROR(plan->Allocate());
  REPRISE_RETURN_IF_ERROR(plan->AllocateOutputs());
  return plan;
}

Status EncodePlan::AllocateOutputs() {
  Result<DeviceBuffer> made =
      DeviceBuffer::Make(device(), GpuMemory::kPinned, limits_.output_bytes);
  if (!made.ok()) return made.status();
  memory_ = *std::move(made);
  outputs_.reserve(limits_.outputs);
  first_.reserve(limits_.units);
  return Status();
}

void EncodePlan::Clear() {
  ClearTasks();
  outputs_.clear();
  first_.clear();
  used_ = 0;
}

Result<uint32_t> EncodePlan::BeginUnit() {
  Result<uint32_t> unit = TaskBatch::BeginUnit();
  if (!unit.ok()) return unit;
  first_.push_back(static_cast<uint32_t>(outputs_.size()));
  mark_ = used_;
  return unit;
}

void EncodePlan::DropUnit() {
  DropTasks();
  outputs_.resize(first_.back());
  first_.pop_back();
  used_ = mark_;
}

Result<GpuOutput> EncodePlan::AddOutput(uint64_t bytes) {
  if (outputs_.size() == limits_.outputs) {
    return NoRoom("outputs", limits_.outputs);
  }
  const uint64_t size = (bytes + kOutputSlackBytes + kOutputAlignment - 1) /
                        kOutputAlignment * kOutputAlignment;
  if (size > limits_.output_bytes - used_) {
    return NoRoom("bytes of outputs", limits_.output_bytes);
  }
  outputs_.push_back({.data = memory_.data() + used_, .bytes = bytes});
  used_ += size;
  return outputs_.back();
}

std::span<const GpuOutput> EncodePlan::Outputs(uint32_t unit) const {
  const size_t first = first_[unit];
  const size_t end =
      unit + 1 < first_.size() ? first_[unit + 1] : outputs_.size();
  return std::span(outputs_).subspan(first, end - first);
}

}  // namespace reprise
