// A profile of `klt` on a device: tables and matrices as its kernels want them,
// and angles of all positions that there may be.
#ifndef REPRISE_GPU_KLT_GPU_PROFILE_H_
#define REPRISE_GPU_KLT_GPU_PROFILE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "codec/klt_profile.h"
#include "gpu/device.h"
#include "gpu/gpu_codec.h"
#include "gpu/klt_entropy_kernel.h"
#include "gpu/klt_gpu_encoding.h"
#include "gpu/klt_inverse_kernel.h"

namespace reprise {

// Angles take 4 R bytes a position (R rotary dims; 512 bytes for 128), as far
// as they fit in this: 512 Ki positions of 128 dims. Those of later ones go to
// the device with each batch.
inline constexpr uint64_t kKltMaxTurnBytes = 256ull << 20;

// The channels of a plane in the order of a matrix's strips: pairs of two, and
// zeros that fill the last strip.
struct KltPairPlace {
  // In the plane; kKltNone: it only pads.
  uint16_t channel[2] = {kKltNone, kKltNone};
  uint16_t turn = kKltNone;
};
std::vector<KltPairPlace> KltPairsOf(const KltProfileParts& parts,
                                     const KltPlane& plane);

// All pointers are the device's.
class KltGpuProfile final : public GpuProfile {
 public:
  struct Plane {
    uint32_t first_strip = 0;  // of the group's
    // The first and last head that a strip has channels of.
    std::vector<std::pair<uint16_t, uint16_t>> strip_heads;

    uint32_t strips() const {
      return static_cast<uint32_t>(strip_heads.size());
    }
  };
  struct Group {
    std::vector<Plane> planes;
    uint32_t strips = 0;
    uint32_t rows = 0;
    uint32_t lead_rows = 0;
    const uint8_t* hi = nullptr;
    const uint8_t* lo = nullptr;
    const KltGpuQuad* quads = nullptr;
  };

  // See GpuCodec::Upload.
  static Result<std::shared_ptr<const KltGpuProfile>> Make(
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
      std::shared_ptr<Device> device);

  const CodecProfile& profile() const override { return *profile_; }
  Status PrepareToEncode() const override { return encoding_->MakeAll(); }
  const KltProfile& klt() const { return *profile_; }
  const KltGpuTable* tables() const { return tables_; }
  const uint32_t* refining() const { return refining_; }
  // As KltProfile::groups.
  const KltGpuGroup* entropy_groups() const { return entropy_groups_; }
  const std::vector<Group>& groups() const { return groups_; }
  // What encoders want besides.
  KltGpuEncoding& encoding() const { return *encoding_; }
  // [tokens, R / 2]; null: these positions' are not here.
  const KltGpuTurn* Turns(uint64_t first_position, uint32_t tokens) const {
    if (first_position + tokens > turn_positions_) return nullptr;
    return turns_ + first_position * klt().parts().turns.size();
  }

 private:
  explicit KltGpuProfile(std::shared_ptr<const KltProfile> profile)
      : profile_(std::move(profile)) {}

  Status UploadTables(std::shared_ptr<Device> device);
  Status UploadLevels(std::shared_ptr<Device> device);
  Status UploadGroup(const KltGroup& group, std::shared_ptr<Device> device);
  Status UploadTurns(uint64_t positions, std::shared_ptr<Device> device);
  // The device's address of a copy.
  Result<const uint8_t*> Upload(ByteView bytes, std::shared_ptr<Device> device);

  const std::shared_ptr<const KltProfile> profile_;
  std::unique_ptr<KltGpuEncoding> encoding_;
  std::vector<DeviceBuffer> memory_;
  std::vector<Group> groups_;
  const KltGpuTable* tables_ = nullptr;
  const uint32_t* refining_ = nullptr;
  const KltGpuGroup* entropy_groups_ = nullptr;
  const KltGpuTurn* turns_ = nullptr;
  uint64_t turn_positions_ = 0;
};

// Angles of positions from `first` on, as KltGpuProfile::Turns has them.
void AppendKltTurns(const KltProfileParts& parts, uint64_t first,
                    uint32_t tokens, std::vector<KltGpuTurn>* turns);

// Those of a frame, on the device: the profile's or the plan's. Null when
// nothing is rotated. kResourceExhausted when the plan has no room.
template <typename Plan>
Result<const KltGpuTurn*> KltTurnsFor(const KltGpuProfile& profile,
                                      uint64_t first, uint32_t tokens,
                                      Plan* plan) {
  const KltProfileParts& parts = profile.klt().parts();
  const KltGpuTurn* const held = profile.Turns(first, tokens);
  if (held != nullptr || parts.turns.empty()) return held;
  std::vector<KltGpuTurn> turns;
  AppendKltTurns(parts, first, tokens, &turns);
  REPRISE_ASSIGN_OR_RETURN(
      const uint8_t* at,
      plan->AddConstants({reinterpret_cast<const uint8_t*>(turns.data()),
                          turns.size() * sizeof(KltGpuTurn)}));
  return reinterpret_cast<const KltGpuTurn*>(at);
}

}  // namespace reprise

#endif  // REPRISE_GPU_KLT_GPU_PROFILE_H_
