// A profile of `klt`, parsed and laid out for the codec's loops.
#ifndef REPRISE_CODEC_KLT_PROFILE_H_
#define REPRISE_CODEC_KLT_PROFILE_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/klt_entropy.h"
#include "codec/klt_profile_format.h"
#include "codec/klt_transform_kernel.h"

namespace reprise {

// A group, its planes and its transform.
struct KltGroup {
  const KltGroupParts* parts = nullptr;  // without the matrix
  std::span<const KltPlane> planes;
  KltTransform transform;

  uint32_t end_layer() const {
    return uint32_t{parts->first_layer} + parts->layer_count;
  }
};

class KltProfile final : public CodecProfile {
 public:
  // kDataLoss for damage, kUnimplemented for a version from the future.
  static Result<std::shared_ptr<const KltProfile>> Parse(ByteView bytes);

  CodecId codec() const override { return CodecId::kKlt; }
  const ProfileId& id() const override { return id_; }

  KltProfileKind kind() const { return parts_.kind; }
  // The weights_hash of the models it was trained on; zero: not known.
  const Sha256Digest& weights() const { return parts_.weights; }
  // JSON text, for people.
  const std::string& notes() const { return parts_.notes; }

  // Without the groups' matrices: those stand in their transforms alone.
  const KltProfileParts& parts() const { return parts_; }
  const KltTables& tables() const { return tables_; }
  std::span<const KltGroup> groups() const { return groups_; }
  // Null when the profile knows nothing of the plane: it is stored raw.
  const KltPlane* FindPlane(uint16_t layer, uint8_t plane) const;

  // The groups inside these layers. kFailedPrecondition, with what differs,
  // when one crosses their border, or when the slices lack a plane of such a
  // group or have it with other heads (in part, say), dim or another type than
  // f32, bf16 or f16.
  Result<std::span<const KltGroup>> GroupsFor(
      const LayerGroup& layers, std::span<const PlaneSlice> slices) const;

 private:
  ProfileId id_;
  KltProfileParts parts_;
  std::vector<KltGroup> groups_;
  KltTables tables_;
};

// kFailedPrecondition when there is none (null), or when it is of another
// codec.
Result<const KltProfile*> OwnKltProfile(const CodecProfile* profile);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_PROFILE_H_
