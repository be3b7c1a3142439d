// What stands in a frame of `klt`, for its encoder and its decoder
// (docs/format/codecs/klt.md).
#ifndef REPRISE_CODEC_KLT_LAYOUT_H_
#define REPRISE_CODEC_KLT_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/klt_entropy.h"
#include "codec/klt_transform_kernel.h"

namespace reprise {

enum class KltMode : uint8_t {
  kPlane = 0,         // a slice as it is
  kCoefficients = 1,  // of all groups
  kRawTokens = 2,
};

inline constexpr int kKltMaxShift = 32;

// The section of coefficients: shift, parent, states; then words, signs.
inline constexpr uint64_t kKltParentOffset = 4;
inline constexpr uint64_t kKltStatesOffset = 8;
inline constexpr uint64_t kKltWordsOffset = kKltStatesOffset + 4 * kKltLanes;
constexpr uint64_t KltSignsOffset(uint64_t word_count) {
  return kKltWordsOffset + (2 * word_count + 3) / 4 * 4;
}

// The directory entry of a section of the frame, or of a slice as it is.
// Offset, bytes and checksum are left to the builder.
FrameSection KltSectionOf(const PlaneSlice& first_slice, KltMode mode,
                          uint32_t words);
FrameSection KltPlaneSectionOf(const PlaneSlice& slice);

// Working memory of an encoder or decoder, kept from frame to frame. All of it
// only grows.
struct KltWork final : CodecScratch::Kept {
  KltScratch transform;
  std::vector<uint32_t> coded;        // indexes of the coded slices
  std::vector<float> cosines, sines;  // [tokens, pairs]
  std::vector<float> x;               // [tokens, padded n] of one group
  std::vector<float> z;               // [padded n, 64] of one group
  std::vector<float> steps;           // [tokens]
  std::vector<uint32_t> used;         // [tokens]
  std::vector<uint8_t> o;             // [groups, 64]
  // By stage: [groups][tokens, padded n]. A decoder uses the first, for one
  // group at a time.
  std::vector<int16_t> q[kMaxStages];
  std::vector<uint8_t> words[kMaxStages];  // and slack
  std::vector<uint8_t> signs[kMaxStages];  // and slack

  template <typename T>
  static T* Room(std::vector<T>* in, uint64_t count) {
    if (in->size() < count) in->resize(count);
    return in->data();
  }
};

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_LAYOUT_H_
