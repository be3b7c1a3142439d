#include "client/device_encoder.h"

#include <string>
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
  const std::shared_ptr<Device>& device = options_.device;
  REPRISE_ASSIGN_OR_RETURN(kernels_, device->MakeStream());
  REPRISE_ASSIGN_OR_RETURN(caller_, device->MakeEvent());
  const EncodePlanLimits limits = LimitsFor(options_.output_bytes / kSlots);
  slots_.resize(kSlots);
  for (Slot& slot : slots_) {
    REPRISE_ASSIGN_OR_RETURN(slot.plan, EncodePlan::Make(device, limits));
    slot.units.reserve(limits.units);
    free_.push_back(&slot);
  }
  thread_ = std::thread([this] { Work(); });
  return Status();
}

DeviceEncoder::~DeviceEncoder() {
  if (thread_.joinable()) {
    {
      std::unique_lock lock(mutex_);
      closing_ = true;
      LaunchFilling();
      changed_.notify_all();
      changed_.wait(lock, [this] {
        return free_.size() + (filling_ != nullptr ? 1 : 0) == slots_.size();
      });
    }
    thread_.join();
  }
  // First: after it nothing is queued that uses the rest.
  if (kernels_ != nullptr) options_.device->FreeStream(kernels_);
  if (caller_ != nullptr) options_.device->FreeEvent(caller_);
}

Status DeviceEncoder::WaitFor(GpuStream stream, GpuEvent event) {
  const std::lock_guard lock(mutex_);
  REPRISE_RETURN_IF_ERROR(failure_);
  if (event == nullptr) {
    REPRISE_RETURN_IF_ERROR(options_.device->Record(caller_, stream));
    event = caller_;
  }
  return options_.device->Wait(kernels_, event);
}

Status DeviceEncoder::Add(const DeviceEncodeUnit& unit, Done done) {
  std::unique_lock lock(mutex_);
  for (;;) {
    Slot* const slot = Filling(&lock);
    if (!failure_.ok()) return failure_;
    const Status status = AddTo(slot, unit, &done);
    if (status.ok()) {
      if (slot->raw_bytes >= kLaunchBytes || under_way_.empty()) {
        LaunchFilling();
      }
      return Status();
    }
    // What has no room even in an empty one never will. Another thread may
    // have filled the next one as well.
    if (!status.Is(StatusCode::kResourceExhausted) || slot->plan->is_empty()) {
      return status;
    }
    LaunchFilling();
  }
}

DeviceEncoder::Slot* DeviceEncoder::Filling(
    std::unique_lock<std::mutex>* lock) {
  changed_.wait(*lock, [this] {
    return filling_ != nullptr || !free_.empty() || !failure_.ok();
  });
  if (filling_ == nullptr && !free_.empty()) {
    filling_ = free_.back();
    free_.pop_back();
    filling_->raw_bytes = 0;
    filling_->units.clear();
    filling_->plan->Clear();
  } else if (filling_ != nullptr && filling_->plan->is_empty()) {
    // Block tables of units that were refused are still in it.
    filling_->plan->Clear();
  }
  return filling_;
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
  slot->raw_bytes += RawBytesOf(request.slices, info.token_count);
  return Status();
}

void DeviceEncoder::LaunchFilling() {
  if (filling_ == nullptr || filling_->plan->is_empty()) return;
  Slot* const slot = std::exchange(filling_, nullptr);
  const Status status = slot->plan->Launch(kernels_, options_.max_blocks);
  if (failure_.ok()) failure_ = status;
  under_way_.push_back(slot);
  changed_.notify_all();
}

void DeviceEncoder::Finish(Slot* slot, std::unique_lock<std::mutex>* lock) {
  lock->unlock();
  const Status status = slot->plan->Synchronize();
  lock->lock();
  if (failure_.ok()) failure_ = status;
  const Status outcome = failure_;
  const auto count = static_cast<uint32_t>(slot->units.size());
  // One more than there are results: it stays ours while they are handed out.
  slot->held = count + 1;
  lock->unlock();
  for (uint32_t i = 0; i < count; ++i) {
    const Done done = std::move(slot->units[i].done);
    auto unit = std::make_shared<EncodedUnit>(this, slot, i);
    if (!outcome.ok()) unit = nullptr;
    done(outcome, std::move(unit));
  }
  GiveBack(slot);
  lock->lock();
}

void DeviceEncoder::GiveBack(Slot* slot) {
  const std::lock_guard lock(mutex_);
  if (--slot->held > 0) return;
  free_.push_back(slot);
  // Under the mutex: who waits for the last one ends this object.
  changed_.notify_all();
}

void DeviceEncoder::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || !under_way_.empty(); });
    if (under_way_.empty()) return;
    Slot* const slot = under_way_.front();
    Finish(slot, &lock);
    under_way_.pop_front();
    if (under_way_.empty()) LaunchFilling();
    changed_.notify_all();
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
