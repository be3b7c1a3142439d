#include "gpu/exact_gpu_profile.h"

#include <cstring>

namespace reprise {
namespace {

// Puts the elements at the end, at a multiple of 16, and answers where.
template <typename T>
uint64_t Append(const std::vector<T>& elements, Bytes* bytes) {
  const uint64_t at = (bytes->size() + 15) / 16 * 16;
  const uint64_t size = elements.size() * sizeof(T);
  bytes->resize(at + size);
  if (size > 0) std::memcpy(bytes->data() + at, elements.data(), size);
  return at;
}

}  // namespace

Result<std::shared_ptr<const ExactGpuProfile>> ExactGpuProfile::Make(
    std::shared_ptr<const CodecProfile> profile,
    std::shared_ptr<Device> device) {
  const Result<const ExactProfile*> exact = AsExactProfile(profile.get());
  if (!exact.ok()) return exact.status();
  if (*exact == nullptr) return InvalidArgumentError("exact: profile is null");
  std::shared_ptr<ExactGpuProfile> made(
      new ExactGpuProfile(std::move(profile)));
  const ExactProfileParts& parts = (*exact)->parts();
  Bytes bytes;
  made->steps_ = Append(parts.steps, &bytes);
  made->words_ = Append(parts.channel_words, &bytes);
  for (const ExactTableSet& set : parts.sets) {
    made->sets_.push_back({.decode = Append(set.decode, &bytes),
                           .encode = Append(set.encode, &bytes)});
  }
  Result<DeviceBuffer> memory = DeviceBuffer::Upload(std::move(device), bytes);
  if (!memory.ok()) return memory.status();
  made->memory_ = *std::move(memory);
  return std::shared_ptr<const ExactGpuProfile>(std::move(made));
}

ExactGpuChannels ExactGpuProfile::Channels(const ExactPlane& plane,
                                           uint32_t first_channel,
                                           uint32_t first_token) const {
  const ExactProfileParts& parts = exact().parts();
  const uint64_t word =
      plane.first_word + uint64_t{first_channel} * plane.angles;
  return {.words =
              reinterpret_cast<const uint16_t*>(memory_.data() + words_) + word,
          .steps = reinterpret_cast<const uint32_t*>(memory_.data() + steps_),
          .first_token = first_token,
          .dim = plane.dim,
          .first_channel = first_channel,
          .rotary_pairs = parts.rotary_dims / 2,
          .angles = static_cast<uint16_t>(plane.angles),
          .is_adjacent = parts.pairing == RopePairing::kAdjacent};
}

}  // namespace reprise
