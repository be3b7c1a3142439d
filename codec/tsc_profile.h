// The profile of `tsc`: for each plane the largest delta that is still a
// delta. Format: docs/format/codecs/tsc.md, 5.
#ifndef REPRISE_CODEC_TSC_PROFILE_H_
#define REPRISE_CODEC_TSC_PROFILE_H_

#include <span>
#include <vector>

#include "codec/codec.h"

namespace reprise {

struct TscPlane {
  uint16_t layer = 0;
  uint8_t plane = 0;  // index in the layer
  DType dtype = DType::kF16;
  uint32_t heads = 0;
  uint32_t dim = 0;
  // Of a token, the largest |delta| in the plane. The bound on the delta error
  // at b bits is this / (2 * (2^(b-1) - 1)).
  float max_delta = 0;
};

struct TscProfileParts {
  uint32_t kappa = 64;           // that the deltas were taken at
  uint32_t tokens = 0;           // that they were taken from
  std::vector<TscPlane> planes;  // ascending in (layer, plane)
};

Bytes EncodeTscProfile(const TscProfileParts& parts);

class TscProfile final : public CodecProfile {
 public:
  // kDataLoss for bytes that are no such profile, kUnimplemented for a version
  // from the future.
  static Result<std::shared_ptr<const TscProfile>> Parse(ByteView bytes);

  CodecId codec() const override { return CodecId::kTsc; }
  const ProfileId& id() const override { return id_; }
  const TscProfileParts& parts() const { return parts_; }

  // Null when the profile has no such plane.
  const TscPlane* Find(uint16_t layer, uint8_t plane) const;
  // kFailedPrecondition with both shapes for a slice that the profile knows
  // otherwise.
  Status CheckShape(std::span<const PlaneSlice> slices) const;

 private:
  TscProfileParts parts_;
  ProfileId id_;
};

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_PROFILE_H_
