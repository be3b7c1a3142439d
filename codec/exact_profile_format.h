// The stored profile of `exact`, parsed. Format: docs/format/codecs/exact.md,
// section 4.
#ifndef REPRISE_CODEC_EXACT_PROFILE_FORMAT_H_
#define REPRISE_CODEC_EXACT_PROFILE_FORMAT_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/exact_kernel.h"
#include "codec/exact_tables.h"
#include "codec/frame.h"
#include "codec/model_spec.h"

namespace reprise {

inline constexpr uint32_t kExactAngles = 16;
inline constexpr uint32_t kExactMaxSets = 64;

// What a profile says of one plane of one layer.
struct ExactPlane {
  uint16_t layer = 0;
  uint8_t plane = 0;
  DType dtype = DType::kF16;
  uint32_t heads = 0;
  uint32_t dim = 0;
  uint8_t set = 0;
  ExactSplit split;
  uint32_t angles = 1;      // or kExactAngles
  uint64_t first_word = 0;  // of the channel words; not stored

  uint32_t channels() const { return heads * dim; }
};

// The contents of a profile, as a fitter makes them. Sets need frequencies
// only.
struct ExactProfileParts {
  RopePairing pairing = RopePairing::kNone;
  uint32_t rotary_dims = 0;
  std::vector<uint32_t> steps;  // [rotary_dims / 2]
  std::vector<ExactTableSet> sets;
  std::vector<ExactPlane> planes;       // ascending in (layer, plane)
  std::vector<uint16_t> channel_words;  // [plane][channel][angle]
};

inline uint16_t ExactChannelWord(uint32_t offset, uint32_t table) {
  return static_cast<uint16_t>(offset << 3 | table);
}

// The bytes of a profile. REQUIRES: the parts keep the rules of the format.
Bytes EncodeExactProfile(const ExactProfileParts& parts);

// Which pair of channels a channel of a head belongs to; rotary_dims / 2 for
// one that is not rotated.
uint32_t ExactRotaryPair(RopePairing pairing, uint32_t rotary_dims,
                         uint32_t channel_in_head);

class ExactProfile final : public CodecProfile {
 public:
  // kDataLoss for damage, kUnimplemented for a version from the future.
  static Result<std::shared_ptr<const ExactProfile>> Parse(ByteView bytes);

  CodecId codec() const override { return CodecId::kExact; }
  const ProfileId& id() const override { return id_; }

  // Null when the profile knows nothing of the plane.
  const ExactPlane* FindPlane(uint16_t layer, uint8_t plane) const;
  // kFailedPrecondition when a plane has another dtype or shape here than in
  // the model.
  Status CheckShape(std::span<const PlaneSlice> slices) const;

  const ExactTableSet& set(uint32_t index) const { return parts_.sets[index]; }
  // The tables and offsets of adjacent channels of a plane in the frame that
  // starts at `first_token`. REQUIRES: the channels lie in the plane and are
  // at most 256.
  void FillChannels(const ExactPlane& plane, uint32_t first_token,
                    uint32_t channel_first, uint32_t channel_count,
                    ExactChannels* out) const;

  const ExactProfileParts& parts() const { return parts_; }

 private:
  Status Read(ByteView bytes);

  ProfileId id_;
  ExactProfileParts parts_;
};

// A codec's profile as one of `exact`; null for null. kFailedPrecondition when
// it is another codec's.
Result<const ExactProfile*> AsExactProfile(const CodecProfile* profile);

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_PROFILE_FORMAT_H_
