#include "client/device_decoder.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "client/device_rows.h"

namespace reprise {
namespace {

constexpr uint64_t Aligned(uint64_t bytes) {
  return (bytes + kGpuAlignment - 1) / kGpuAlignment * kGpuAlignment;
}

uint64_t PackedBytes(std::span<const FrameView* const> frames) {
  uint64_t bytes = 0;
  for (const FrameView* frame : frames) {
    bytes += Aligned(frame->bytes.size() + kGpuSlackBytes);
  }
  return bytes;
}

}  // namespace

Result<std::unique_ptr<DeviceDecoder>> DeviceDecoder::Make(
    const Options& options) {
  if (options.device == nullptr) {
    return InvalidArgumentError("device: there is none");
  }
  std::unique_ptr<DeviceDecoder> decoder(new DeviceDecoder(options));
  REPRISE_RETURN_IF_ERROR(decoder->Start());
  return decoder;
}

Status DeviceDecoder::Start() {
  const std::shared_ptr<Device>& device = options_.device;
  REPRISE_ASSIGN_OR_RETURN(
      pinned_,
      DeviceBuffer::Make(device, GpuMemory::kPinned, options_.ring_bytes));
  REPRISE_ASSIGN_OR_RETURN(
      staging_,
      DeviceBuffer::Make(device, GpuMemory::kDevice, options_.ring_bytes));
  REPRISE_ASSIGN_OR_RETURN(copies_, device->MakeStream());
  REPRISE_ASSIGN_OR_RETURN(kernels_, device->MakeStream());
  REPRISE_ASSIGN_OR_RETURN(caller_, device->MakeEvent());
  slots_.resize(kSlots);
  for (uint32_t i = 0; i < kSlots; ++i) {
    Slot& slot = slots_[i];
    slot.pinned = pinned_.data() + i * slot_bytes();
    slot.on_device = staging_.data() + i * slot_bytes();
    REPRISE_ASSIGN_OR_RETURN(slot.copied, device->MakeEvent());
    REPRISE_ASSIGN_OR_RETURN(slot.plan,
                             DecodePlan::Make(device, options_.plan));
    slot.done.reserve(options_.plan.units);
    free_.push_back(&slot);
  }
  thread_ = std::thread([this] { Work(); });
  return Status();
}

DeviceDecoder::~DeviceDecoder() {
  if (thread_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      LaunchFilling();
    }
    changed_.notify_all();
    thread_.join();
  }
  // First: after it nothing is queued that uses the rest.
  if (kernels_ != nullptr) options_.device->FreeStream(kernels_);
  if (copies_ != nullptr) options_.device->FreeStream(copies_);
  for (Slot& slot : slots_) {
    if (slot.copied != nullptr) options_.device->FreeEvent(slot.copied);
  }
  if (caller_ != nullptr) options_.device->FreeEvent(caller_);
}

Status DeviceDecoder::failure() {
  const std::lock_guard lock(mutex_);
  return failure_;
}

Status DeviceDecoder::WaitFor(GpuStream stream, GpuEvent event) {
  const std::lock_guard lock(mutex_);
  REPRISE_RETURN_IF_ERROR(failure_);
  if (event == nullptr) {
    REPRISE_RETURN_IF_ERROR(options_.device->Record(caller_, stream));
    event = caller_;
  }
  return options_.device->Wait(kernels_, event);
}

Status DeviceDecoder::Add(const DeviceUnit& unit, Done done) {
  const uint64_t bytes = PackedBytes(unit.frames);
  if (bytes > slot_bytes()) {
    return ResourceExhaustedError("device: frames of " + std::to_string(bytes) +
                                  " bytes together, a slot has " +
                                  std::to_string(slot_bytes()));
  }
  std::unique_lock lock(mutex_);
  for (;;) {
    Slot* slot = Filling(&lock);
    if (!failure_.ok()) return failure_;
    Status status = ResourceExhaustedError("device: the slot is full");
    if (slot->used_bytes + bytes <= slot_bytes()) status = AddTo(slot, unit);
    if (status.ok()) {
      slot->done.push_back(std::move(done));
      if (slot->used_bytes >= kLaunchBytes || under_way_.empty()) {
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

DeviceDecoder::Slot* DeviceDecoder::Filling(
    std::unique_lock<std::mutex>* lock) {
  changed_.wait(*lock, [this] {
    return filling_ != nullptr || !free_.empty() || !failure_.ok();
  });
  if (filling_ == nullptr && !free_.empty()) {
    filling_ = free_.back();
    free_.pop_back();
    filling_->plan->Clear();
    filling_->used_bytes = 0;
  } else if (filling_ != nullptr && filling_->plan->is_empty()) {
    // Block tables of units that were refused are still in it.
    filling_->plan->Clear();
  }
  return filling_;
}

Status DeviceDecoder::AddTo(Slot* slot, const DeviceUnit& unit) {
  const GpuCodec* const codec = FindGpuCodec(unit.frames[0]->info.codec);
  if (codec == nullptr) {
    return UnimplementedError(
        "device: there are no kernels for codec " +
        std::string(CodecIdName(unit.frames[0]->info.codec)));
  }
  REPRISE_RETURN_IF_ERROR(MakeDeviceRows(*unit.target, unit.slices,
                                         unit.first_token, unit.token_count,
                                         slot->plan.get(), &rows_));
  std::array<const uint8_t*, kMaxStages> device_frames{};
  uint64_t at = slot->used_bytes;
  for (size_t k = 0; k < unit.frames.size(); ++k) {
    device_frames[k] = slot->on_device + at;
    at += Aligned(unit.frames[k]->bytes.size() + kGpuSlackBytes);
  }
  if (unit.kept != nullptr) *unit.kept = kAllTokens;
  const GpuDecodeRequest request{
      .frames = unit.frames,
      .device_frames = std::span(device_frames).first(unit.frames.size()),
      .slices = unit.slices,
      .rows = rows_,
      .token_count = unit.token_count,
      .profile = unit.profile,
      .kept = unit.kept};
  REPRISE_RETURN_IF_ERROR(codec->Plan(request, slot->plan.get()).status());
  for (const FrameView* frame : unit.frames) {
    std::memcpy(slot->pinned + slot->used_bytes, frame->bytes.data(),
                frame->bytes.size());
    slot->used_bytes += Aligned(frame->bytes.size() + kGpuSlackBytes);
  }
  return Status();
}

void DeviceDecoder::LaunchFilling() {
  if (filling_ == nullptr || filling_->plan->is_empty()) return;
  Slot* const slot = std::exchange(filling_, nullptr);
  const Status status = Launch(slot);
  if (failure_.ok()) failure_ = status;
  under_way_.push_back(slot);
  changed_.notify_all();
}

Status DeviceDecoder::Launch(Slot* slot) {
  Device& device = *options_.device;
  REPRISE_RETURN_IF_ERROR(device.CopyToDevice(slot->on_device, slot->pinned,
                                              slot->used_bytes, copies_));
  REPRISE_RETURN_IF_ERROR(device.Record(slot->copied, copies_));
  REPRISE_RETURN_IF_ERROR(device.Wait(kernels_, slot->copied));
  return slot->plan->Launch(kernels_, options_.max_blocks);
}

void DeviceDecoder::Finish(Slot* slot, std::unique_lock<std::mutex>* lock) {
  lock->unlock();
  const Status status = slot->plan->Synchronize();
  lock->lock();
  if (failure_.ok()) failure_ = status;
  const bool is_whole = failure_.ok();
  std::vector<Done> done = std::move(slot->done);
  lock->unlock();
  for (uint32_t unit = 0; unit < done.size(); ++unit) {
    done[unit](is_whole && slot->plan->damage(unit) == 0);
  }
  done.clear();
  lock->lock();
  slot->done = std::move(done);  // its memory is used again
  free_.push_back(slot);
}

void DeviceDecoder::Work() {
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

}  // namespace reprise
