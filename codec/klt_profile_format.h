// The stored profile of `klt`: means, transforms, tables, and what an encoder
// wants to know of a model. Format: docs/format/profile.md. Trainers fill in
// KltProfileParts and call EncodeKltProfile.
#ifndef REPRISE_CODEC_KLT_PROFILE_FORMAT_H_
#define REPRISE_CODEC_KLT_PROFILE_FORMAT_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"
#include "codec/klt_step.h"
#include "codec/model_spec.h"

namespace reprise {

inline constexpr uint32_t kKltLanes = 32;  // of a row of coefficients
inline constexpr uint32_t kKltExponents = 16;
inline constexpr uint32_t kKltMagnitudes = 64;  // symbols of stage 0
inline constexpr uint32_t kKltEscape = 63;
inline constexpr uint32_t kKltContexts = 3;  // of a refining stage
inline constexpr uint32_t kKltProbabilityBits = 12;
inline constexpr uint32_t kKltSlots = 1u << kKltProbabilityBits;
inline constexpr uint32_t kKltMaxChannels = 4096;  // of a group
inline constexpr uint32_t kKltMaxTables = 64;
// The level of a row whose deviation equals the step of stage 2.
inline constexpr int kKltLevelOfStep = 128;

// What a profile says of one plane of one layer.
struct KltPlane {
  uint16_t layer = 0;
  uint8_t plane = 0;
  bool is_rotated = false;  // keys, to be un-rotated first
  uint32_t heads = 0;
  uint32_t dim = 0;

  bool operator==(const KltPlane&) const = default;
  uint64_t channels() const { return uint64_t{heads} * dim; }
};

using KltExponentTable = std::array<uint16_t, kKltExponents>;
using KltMagnitudeTable = std::array<uint16_t, kKltMagnitudes>;
// [context] f(1), f(2).
using KltRefiningTable = std::array<std::array<uint16_t, 2>, kKltContexts>;

// log2 of a token's sensitivity, relative to the mean, as a linear function;
// encoders only.
struct KltRegressor {
  std::vector<float> by_channel;  // [n], of x - mu
  std::vector<float> by_norm;     // [planes of the group], of log2 |x - mu|^2
  float by_position = 0;          // of log2(1 + position)
  float constant = 0;

  bool operator==(const KltRegressor&) const = default;
};

// One group of layers: n channels, ascending in layer, plane, channel.
struct KltGroupParts {
  uint16_t first_layer = 0;
  uint16_t layer_count = 0;
  uint32_t n = 0;
  uint32_t lead = 0;       // coefficients with a second limb
  std::vector<float> mu;   // [n]
  std::vector<float> dec;  // [n]
  std::vector<float> enc;  // [n]
  KltRegressor regressor;
  std::vector<uint8_t> levels;  // [rows], not rising
  std::vector<int8_t> hi;       // [n coefficients, n channels]
  std::vector<int8_t> lo;       // [lead, n]

  bool operator==(const KltGroupParts&) const = default;
  uint32_t rows() const { return (n + kKltLanes - 1) / kKltLanes; }
};

// How a profile was fitted.
enum class KltProfileKind : uint8_t {
  kStatistics = 0,     // from values alone: a fall-back
  kSensitivities = 1,  // with gradients
};

// The contents of a profile, as a trainer makes them.
struct KltProfileParts {
  RopePairing pairing = RopePairing::kNone;
  uint32_t rotary_dims = 0;
  std::vector<uint64_t> turns;  // [rotary_dims / 2], in 2^-64 turns a position
  Sha256Digest weights;         // zero: not known
  double step = 1;              // D, of stage 2
  KltProfileKind kind = KltProfileKind::kStatistics;
  uint32_t raw_first = 0;  // tokens at lower positions are stored raw
  uint32_t lo0 = 0;        // lowest index of a row that stage 0 codes
  uint32_t lo1 = 0;        // that a later stage codes
  uint32_t least_exponent = kKltMeanExponent;
  uint32_t largest_exponent = kKltMeanExponent;
  float sensitivity_exponent = 0;
  std::vector<KltPlane> planes;  // ascending in (layer, plane)
  KltExponentTable exponents{};
  std::vector<KltMagnitudeTable> magnitudes;  // [n0], by index from lo0 on
  std::vector<KltRefiningTable> refining;     // [n1], by index from lo1 on
  std::vector<KltGroupParts> groups;          // ascending in layers
  std::string notes;

  bool operator==(const KltProfileParts&) const = default;

  // The planes of a group: they stand together.
  std::span<const KltPlane> PlanesOf(const KltGroupParts& group) const;
};

// kDataLoss, naming the rule and both numbers, unless the parts keep every
// rule of the format. A trainer may ask before it encodes.
Status CheckKltProfile(const KltProfileParts& parts);

// The bytes of a profile. REQUIRES: CheckKltProfile(parts).ok().
Bytes EncodeKltProfile(const KltProfileParts& parts);
// What EncodeKltProfile was given. kDataLoss for damage, kUnimplemented for a
// version from the future.
Result<KltProfileParts> DecodeKltProfile(ByteView bytes);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_PROFILE_FORMAT_H_
