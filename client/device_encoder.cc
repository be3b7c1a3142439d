#include "client/device_encoder.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "client/device_rows.h"
#include "gpu/gather_plan.h"

namespace reprise {
namespace {

// Of a codec that keeps more than that between its kernels, a batch is not as
// large.
constexpr uint64_t kScratchPerOutput = 2;

// What 16 MiB of rows need of each where heads are small and pages smaller; a
// batch that is short of something is launched before it is full.
EncodePlanLimits LimitsFor(uint64_t output_bytes) {
  EncodePlanLimits limits;
  limits.tasks = 1 << 13;
  limits.rows = 1 << 12;
  limits.units = 1 << 11;
  limits.constant_bytes = 1 << 20;
  limits.scratch_bytes = kScratchPerOutput * output_bytes;
  limits.output_bytes = output_bytes;
  limits.outputs = 1 << 13;
  return limits;
}

}  // namespace

Status EncodedUnit::BuildFrames(std::span<FrameBuilder* const> builders) const {
  return unit().codec->BuildFrames(unit().request, *slot_->plan, index_,
                                   builders);
}

void EncodedUnit::AppendRows(std::vector<ConstPlaneRows>* out) const {
  AppendGathered(unit().request, *slot_->plan, index_, out);
}

Result<std::unique_ptr<DeviceEncoder>> DeviceEncoder::Make(
    const Options& options) {
  if (options.device == nullptr) {
    return InvalidArgumentError("device: there is none");
  }
  std::unique_ptr<DeviceEncoder> encoder(new DeviceEncoder(options));
  REPRISE_RETURN_IF_ERROR(encoder->Start());
  return encoder;
}

Status DeviceEncoder::Start() {
  const EncodePlanLimits limits = LimitsFor(options_.output_bytes / kSlots);
  return slots_.Start(
      kSlots,
      {.launch =
           [this](Slot* slot) {
             return slot->plan->Launch(slots_.kernels(), options_.max_blocks);
           },
       .deliver = [this](Slot* slot,
                         const Status& outcome) { Deliver(slot, outcome); }},
      [&](uint32_t, Slot* slot) {
        REPRISE_ASSIGN_OR_RETURN(slot->plan,
                                 EncodePlan::Make(options_.device, limits));
        slot->units.reserve(limits.units);
        return Status();
      });
}

Status DeviceEncoder::Add(const DeviceEncodeUnit& unit, Done done) {
  return slots_.Add([&](Slot* slot) { return AddTo(slot, unit, &done); });
}

Status DeviceEncoder::AddTo(Slot* slot, const DeviceEncodeUnit& unit,
                            Done* done) {
  EncodePlan* const plan = slot->plan.get();
  GpuEncodeRequest request = unit.request;
  const FrameInfo& info = request.info;
  REPRISE_RETURN_IF_ERROR(MakeDeviceRows(*unit.source, request.slices,
                                         info.first_token, info.token_count,
                                         plan, &rows_));
  request.rows = rows_;
  const GpuCodec* codec = unit.as_rows ? nullptr : FindGpuCodec(unit.codec);
  if (codec != nullptr) {
    const Status status = codec->PlanEncode(request, plan).status();
    // An encoder may want more room than the rows have.
    const bool is_too_large =
        status.Is(StatusCode::kResourceExhausted) && plan->is_empty();
    if (status.Is(StatusCode::kUnimplemented) || is_too_large) {
      codec = nullptr;
    } else if (!status.ok()) {
      return status;
    }
  }
  if (codec == nullptr) {
    REPRISE_RETURN_IF_ERROR(PlanGather(request, plan).status());
  }
  request.rows = {};
  slot->units.push_back({request, codec, std::move(*done)});
  slot->bytes += RawBytesOf(request.slices, info.token_count);
  return Status();
}

void DeviceEncoder::Deliver(Slot* slot, const Status& outcome) {
  const auto count = static_cast<uint32_t>(slot->units.size());
  slots_.Hold(slot, count);
  for (uint32_t i = 0; i < count; ++i) {
    const Done done = std::move(slot->units[i].done);
    auto unit = std::make_shared<EncodedUnit>(this, slot, i);
    if (!outcome.ok()) unit = nullptr;
    done(outcome, std::move(unit));
  }
}

Result<std::shared_ptr<EncodedUnit>> DeviceEncoder::Gather(
    const DeviceEncodeUnit& unit) {
  struct Outcome {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_here = false;
    Status status;
    std::shared_ptr<EncodedUnit> unit;
  };
  // Shared: who notifies may come last.
  const auto outcome = std::make_shared<Outcome>();
  DeviceEncodeUnit rows = unit;
  rows.as_rows = true;
  REPRISE_RETURN_IF_ERROR(
      Add(rows, [outcome](Status status, std::shared_ptr<EncodedUnit> made) {
        const std::lock_guard lock(outcome->mutex);
        outcome->is_here = true;
        outcome->status = std::move(status);
        outcome->unit = std::move(made);
        outcome->changed.notify_all();
      }));
  std::unique_lock lock(outcome->mutex);
  outcome->changed.wait(lock, [&] { return outcome->is_here; });
  if (!outcome->status.ok()) return outcome->status;
  return std::move(outcome->unit);
}

}  // namespace reprise
