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
  REPRISE_ASSIGN_OR_RETURN(bodies_, BodyRing::Make(device, ring_bytes()));
  const uint64_t slots_bytes = kSlots * slot_bytes();
  REPRISE_ASSIGN_OR_RETURN(
      pinned_, DeviceBuffer::Make(device, GpuMemory::kPinned, slots_bytes));
  REPRISE_ASSIGN_OR_RETURN(
      staging_,
      DeviceBuffer::Make(device, GpuMemory::kDevice,
                         Aligned(ring_bytes() + kGpuSlackBytes) + slots_bytes));
  REPRISE_ASSIGN_OR_RETURN(copies_, device->MakeStream());
  REPRISE_ASSIGN_OR_RETURN(placer_, DevicePlacer::Make(device));
  return slots_.Start(
      kSlots,
      {.launch = [this](Slot* slot) { return Launch(slot); },
       .deliver = [this](Slot* slot,
                         const Status& outcome) { Deliver(slot, outcome); }},
      [&](uint32_t index, Slot* slot) {
        slot->pinned = pinned_.data() + index * slot_bytes();
        slot->on_device = staging_.data() +
                          Aligned(ring_bytes() + kGpuSlackBytes) +
                          index * slot_bytes();
        REPRISE_ASSIGN_OR_RETURN(slot->copied, device->MakeEvent());
        REPRISE_ASSIGN_OR_RETURN(slot->plan,
                                 DecodePlan::Make(device, options_.plan));
        slot->done.reserve(options_.plan.units);
        return Status();
      });
}

DeviceDecoder::~DeviceDecoder() {
  slots_.Close();
  if (copies_ != nullptr) options_.device->FreeStream(copies_);
  for (Slot& slot : slots_.slots()) {
    if (slot.copied != nullptr) options_.device->FreeEvent(slot.copied);
  }
}

bool DeviceDecoder::IsInRing(ByteView frame) const {
  return bodies_->Holds(frame) &&
         bodies_->OffsetOf(frame) % kFrameAlignment == 0;
}

uint64_t DeviceDecoder::PackedBytes(
    std::span<const FrameView* const> frames) const {
  uint64_t bytes = 0;
  for (const FrameView* frame : frames) {
    if (IsInRing(frame->bytes)) continue;
    bytes += Aligned(frame->bytes.size() + kGpuSlackBytes);
  }
  return bytes;
}

Status DeviceDecoder::Add(const DeviceUnit& unit, Done done, Queued queued) {
  const uint64_t bytes = PackedBytes(unit.frames);
  if (bytes > slot_bytes()) {
    return ResourceExhaustedError("device: frames of " + std::to_string(bytes) +
                                  " bytes together, a slot has " +
                                  std::to_string(slot_bytes()));
  }
  return slots_.Add([&](Slot* slot) {
    if (slot->packed_bytes + bytes > slot_bytes()) {
      return ResourceExhaustedError("device: the slot is full");
    }
    REPRISE_RETURN_IF_ERROR(AddTo(slot, unit));
    slot->done.push_back(std::move(done));
    if (queued != nullptr) slot->queued.push_back(std::move(queued));
    return Status();
  });
}

Status DeviceDecoder::AddTo(Slot* slot, const DeviceUnit& unit) {
  const GpuCodec* const codec = FindGpuCodec(unit.frames[0]->info.codec);
  if (codec == nullptr) {
    return UnimplementedError(
        "device: there are no kernels for codec " +
        std::string(CodecIdName(unit.frames[0]->info.codec)));
  }
  REPRISE_ASSIGN_OR_RETURN(const uint8_t* const scratch, MakeRows(slot, unit));
  std::array<const uint8_t*, kMaxStages> device_frames{};
  uint64_t at = slot->packed_bytes;
  for (size_t k = 0; k < unit.frames.size(); ++k) {
    const ByteView bytes = unit.frames[k]->bytes;
    if (IsInRing(bytes)) {
      device_frames[k] = staging_.data() + bodies_->OffsetOf(bytes);
      continue;
    }
    device_frames[k] = slot->on_device + at;
    at += Aligned(bytes.size() + kGpuSlackBytes);
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
  REPRISE_ASSIGN_OR_RETURN(const uint32_t index,
                           codec->Plan(request, slot->plan.get()));
  if (unit.is_refinement) {
    slot->refinements.push_back({index,
                                 {.target = unit.target,
                                  .slices = unit.slices,
                                  .first_token = unit.first_token,
                                  .token_count = unit.token_count,
                                  .rows = scratch,
                                  .stream = unit.stream,
                                  .rows_lock = unit.rows_lock}});
  }
  for (const FrameView* frame : unit.frames) {
    const ByteView bytes = frame->bytes;
    slot->bytes += bytes.size();
    if (IsInRing(bytes)) {
      const uint64_t from = bodies_->OffsetOf(bytes);
      slot->in_ring.push_back({from, from + bytes.size()});
      continue;
    }
    std::memcpy(slot->pinned + slot->packed_bytes, bytes.data(), bytes.size());
    slot->packed_bytes += Aligned(bytes.size() + kGpuSlackBytes);
  }
  return Status();
}

Result<const uint8_t*> DeviceDecoder::MakeRows(Slot* slot,
                                               const DeviceUnit& unit) {
  if (unit.is_refinement) {
    return MakeScratchRows(*unit.target, unit.slices, unit.token_count,
                           slot->plan.get(), &rows_);
  }
  REPRISE_RETURN_IF_ERROR(MakeDeviceRows(*unit.target, unit.slices,
                                         unit.first_token, unit.token_count,
                                         slot->plan.get(), &rows_));
  return nullptr;
}

void DeviceDecoder::Deliver(Slot* slot, const Status& outcome) {
  Status status = outcome;
  if (status.ok()) {
    whole_.clear();
    for (const auto& [unit, refinement] : slot->refinements) {
      if (slot->plan->damage(unit) == 0) whole_.push_back(refinement);
    }
    status = placer_->Place(whole_);
    if (!status.ok()) slots_.Fail(status);
  }
  for (uint32_t unit = 0; unit < slot->done.size(); ++unit) {
    slot->done[unit](status.ok() && slot->plan->damage(unit) == 0);
  }
  slot->done.clear();
  slot->queued.clear();
}

// Frames that lie side by side go in one copy, with what is between two bodies.
Status DeviceDecoder::CopyFrames(Slot* slot) {
  Device& device = *options_.device;
  REPRISE_RETURN_IF_ERROR(device.CopyToDevice(slot->on_device, slot->pinned,
                                              slot->packed_bytes, copies_));
  auto& frames = slot->in_ring;
  std::sort(frames.begin(), frames.end());
  for (size_t i = 0; i < frames.size();) {
    auto [from, to] = frames[i++];
    while (i < frames.size() && frames[i].first < to + kGpuAlignment) {
      to = std::max(to, frames[i++].second);
    }
    REPRISE_RETURN_IF_ERROR(device.CopyToDevice(
        staging_.data() + from, bodies_->data() + from, to - from, copies_));
  }
  return Status();
}

Status DeviceDecoder::Launch(Slot* slot) {
  Device& device = *options_.device;
  REPRISE_RETURN_IF_ERROR(CopyFrames(slot));
  REPRISE_RETURN_IF_ERROR(device.Record(slot->copied, copies_));
  REPRISE_RETURN_IF_ERROR(device.Wait(slots_.kernels(), slot->copied));
  REPRISE_RETURN_IF_ERROR(
      slot->plan->Launch(slots_.kernels(), options_.max_blocks));
  for (const Queued& queued : slot->queued) queued(slots_.kernels());
  return Status();
}

}  // namespace reprise
