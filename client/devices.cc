#include "client/devices.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

namespace reprise {
namespace {

// So that a session that grows does not have its profile's tables made anew at
// every turn.
constexpr uint64_t kLeastTokens = 8192;

}  // namespace

Result<std::shared_ptr<Device>> Devices::Open(int32_t ordinal) {
  if (options_.device != nullptr) return options_.device;
  auto& device = devices_[ordinal];
  if (device == nullptr) {
    REPRISE_ASSIGN_OR_RETURN(device, OpenDevice(ordinal));
  }
  return device;
}

Result<DeviceDecoder*> Devices::Decoder(int32_t ordinal) {
  const std::lock_guard lock(mutex_);
  auto& decoder = decoders_[ordinal];
  if (decoder != nullptr) return decoder.get();
  DeviceDecoder::Options options;
  options.ring_bytes = options_.device_ring_bytes;
  options.max_blocks = options_.device_blocks;
  REPRISE_ASSIGN_OR_RETURN(options.device, Open(ordinal));
  REPRISE_ASSIGN_OR_RETURN(decoder, DeviceDecoder::Make(options));
  return decoder.get();
}

Result<DeviceEncoder*> Devices::Encoder(int32_t ordinal) {
  const std::lock_guard lock(mutex_);
  auto& encoder = encoders_[ordinal];
  if (encoder != nullptr) return encoder.get();
  DeviceEncoder::Options options;
  options.output_bytes = options_.device_ring_bytes;
  options.max_blocks = options_.device_blocks;
  REPRISE_ASSIGN_OR_RETURN(options.device, Open(ordinal));
  REPRISE_ASSIGN_OR_RETURN(encoder, DeviceEncoder::Make(options));
  return encoder.get();
}

std::shared_ptr<BodyMemory> Devices::LikelyBodies() {
  const std::lock_guard lock(bodies_mutex_);
  return likely_bodies_;
}

void Devices::NoteBodies(std::shared_ptr<BodyMemory> bodies) {
  const std::lock_guard lock(bodies_mutex_);
  likely_bodies_ = std::move(bodies);
}

Result<std::shared_ptr<const GpuProfile>> Devices::Upload(
    const std::shared_ptr<Device>& device,
    std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens) {
  const GpuCodec* const codec = FindGpuCodec(profile->codec());
  if (codec == nullptr) {
    return UnimplementedError("device: there are no kernels for codec " +
                              std::string(CodecIdName(profile->codec())));
  }
  const std::lock_guard lock(mutex_);
  Uploaded& held = profiles_[{device.get(), profile->id()}];
  if (held.profile == nullptr || held.max_tokens < max_tokens) {
    const uint64_t room = std::bit_ceil(std::max(max_tokens, kLeastTokens));
    REPRISE_ASSIGN_OR_RETURN(held.profile,
                             codec->Upload(std::move(profile), room, device));
    held.max_tokens = room;
  }
  return held.profile;
}

}  // namespace reprise
