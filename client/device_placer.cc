#include "client/device_placer.h"

#include <mutex>
#include <utility>

#include "client/device_rows.h"
#include "codec/segment.h"
#include "gpu/copy_rows_kernel.h"

namespace reprise {
namespace {

// More than a slot of frames has in most cases; where it has more, its
// refinements go in several turns.
constexpr DecodePlanLimits kLimits{.tasks = 1 << 12,
                                   .rows = 1 << 12,
                                   .units = 1 << 10,
                                   .constant_bytes = 1 << 20,
                                   .scratch_bytes = 0};

bool GoTogether(const Refinement& a, const Refinement& b) {
  return a.stream == b.stream && a.rows_lock == b.rows_lock;
}

}  // namespace

Result<std::unique_ptr<DevicePlacer>> DevicePlacer::Make(
    std::shared_ptr<Device> device) {
  std::unique_ptr<DevicePlacer> placer(new DevicePlacer(std::move(device)));
  REPRISE_RETURN_IF_ERROR(placer->Start());
  return placer;
}

Status DevicePlacer::Start() {
  REPRISE_ASSIGN_OR_RETURN(stream_, device_->MakeStream());
  REPRISE_ASSIGN_OR_RETURN(caller_, device_->MakeEvent());
  REPRISE_ASSIGN_OR_RETURN(plan_, DecodePlan::Make(device_, kLimits));
  return Status();
}

DevicePlacer::~DevicePlacer() {
  plan_.reset();  // waits
  if (stream_ != nullptr) device_->FreeStream(stream_);
  if (caller_ != nullptr) device_->FreeEvent(caller_);
}

Status DevicePlacer::Place(std::span<const Refinement> refinements) {
  while (!refinements.empty()) {
    plan_->Clear();
    size_t count = 0;
    for (const Refinement& refinement : refinements) {
      if (!GoTogether(refinement, refinements[0])) break;
      const Status added = Add(refinement);
      if (added.Is(StatusCode::kResourceExhausted) && count > 0) break;
      REPRISE_RETURN_IF_ERROR(added);
      ++count;
    }
    const Status status = Run(refinements[0]);
    if (!status.ok()) {
      (void)device_->Drain(stream_);  // rows may be written until then
      return status;
    }
    refinements = refinements.subspan(count);
  }
  return Status();
}

Status DevicePlacer::Add(const Refinement& refinement) {
  REPRISE_RETURN_IF_ERROR(plan_->BeginUnit().status());
  const auto add = [&]() -> Status {
    REPRISE_RETURN_IF_ERROR(MakeDeviceRows(
        *refinement.target, refinement.slices, refinement.first_token,
        refinement.token_count, plan_.get(), &rows_));
    const uint8_t* from = refinement.rows;
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i].base == nullptr) continue;
      const PlaneSlice& slice = refinement.slices[i];
      REPRISE_ASSIGN_OR_RETURN(const uint32_t rows, plan_->AddRows(rows_[i]));
      REPRISE_RETURN_IF_ERROR(plan_->Add<CopyRowsKernel>(
          {.from = from,
           .from_stride = slice.token_bytes(),
           .tokens = FirstTokens(refinement.token_count),
           .rows = rows,
           .channel_count = slice.channels()}));
      from += ScratchRowsBytes(slice, refinement.token_count);
    }
    return Status();
  };
  const Status status = add();
  if (!status.ok()) plan_->DropUnit();
  return status;
}

Status DevicePlacer::Run(const Refinement& first) {
  {
    std::unique_lock<std::shared_mutex> lock;
    if (first.rows_lock != nullptr) lock = std::unique_lock(*first.rows_lock);
    REPRISE_RETURN_IF_ERROR(device_->Record(caller_, first.stream));
    REPRISE_RETURN_IF_ERROR(device_->Wait(stream_, caller_));
    REPRISE_RETURN_IF_ERROR(plan_->Launch(stream_));
    REPRISE_RETURN_IF_ERROR(device_->Wait(first.stream, plan_->done_event()));
  }
  return plan_->Synchronize();
}

}  // namespace reprise
