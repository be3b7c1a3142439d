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

Result<DeviceDecoder*> Devices::Get(int32_t ordinal) {
  const std::lock_guard lock(mutex_);
  auto& decoder = decoders_[ordinal];
  if (decoder != nullptr) return decoder.get();
  DeviceDecoder::Options options;
  options.ring_bytes = options_.device_ring_bytes;
  options.max_blocks = options_.device_blocks;
  options.device = options_.device;
  if (options.device == nullptr) {
    REPRISE_ASSIGN_OR_RETURN(options.device, OpenDevice(ordinal));
  }
  REPRISE_ASSIGN_OR_RETURN(decoder, DeviceDecoder::Make(options));
  return decoder.get();
}

Result<std::shared_ptr<const GpuProfile>> Devices::Upload(
    DeviceDecoder* decoder, std::shared_ptr<const CodecProfile> profile,
    uint64_t max_tokens) {
  const GpuCodec* const codec = FindGpuCodec(profile->codec());
  if (codec == nullptr) {
    return UnimplementedError("device: there are no kernels for codec " +
                              std::string(CodecIdName(profile->codec())));
  }
  const std::lock_guard lock(mutex_);
  Uploaded& held = profiles_[{decoder, profile->id()}];
  if (held.profile == nullptr || held.max_tokens < max_tokens) {
    const uint64_t room = std::bit_ceil(std::max(max_tokens, kLeastTokens));
    REPRISE_ASSIGN_OR_RETURN(
        held.profile,
        codec->Upload(std::move(profile), room, decoder->shared_device()));
    held.max_tokens = room;
  }
  return held.profile;
}

}  // namespace reprise
