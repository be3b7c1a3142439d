// Where things stand in the frames of `vq` and `pq`. Format:
// docs/format/codecs/vq.md, section 2.
#ifndef REPRISE_CODEC_VECTOR_LAYOUT_H_
#define REPRISE_CODEC_VECTOR_LAYOUT_H_

#include <bit>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "codec/vector_profile.h"

namespace reprise {

// FrameSection::mode.
enum class VectorMode : uint8_t {
  kCodes = 0,        // all token-heads are codes
  kCodesAndRaw = 1,  // a bit for each says which are raw
  kPlane = 2,        // one plane, raw
};

inline constexpr uint64_t kVectorPartAlignment = 16;
constexpr uint64_t AlignVectorPart(uint64_t bytes) {
  return (bytes + kVectorPartAlignment - 1) & ~(kVectorPartAlignment - 1);
}

constexpr uint32_t VectorMaskBytes(uint32_t token_count) {
  return (token_count + 7) / 8;
}

// The three parts of the section of codes: masks, codes, raw rows. Each
// starts at a multiple of 16.
struct VectorParts {
  uint64_t mask_bytes = 0;  // 0 in kCodes
  uint64_t code_bytes = 0;
  uint64_t raw_bytes = 0;
  uint32_t token_heads = 0;
  uint32_t raw_token_heads = 0;

  uint64_t codes_at() const { return AlignVectorPart(mask_bytes); }
  uint64_t raw_at() const { return AlignVectorPart(codes_at() + code_bytes); }
  uint64_t bytes() const {
    return raw_bytes == 0 ? codes_at() + code_bytes : raw_at() + raw_bytes;
  }
  // One head, of which the tokens in `raw` are raw.
  void Add(const VectorProfile& profile, const VectorPlane& plane,
           uint32_t token_count, TokenMask raw) {
    const auto raw_count = static_cast<uint32_t>(std::popcount(raw));
    token_heads += token_count;
    raw_token_heads += raw_count;
    code_bytes +=
        uint64_t{profile.code_bytes(plane)} * (token_count - raw_count);
    raw_bytes += uint64_t{plane.dim} * DTypeBytes(plane.dtype) * raw_count;
  }
};

// The section of codes carries the name of the first slice in it.
inline FrameSection VectorSectionOf(const PlaneSlice& slice) {
  return {.layer = slice.layer,
          .plane = slice.plane,
          .channel_first = slice.channel_first(),
          .channel_count = slice.channels()};
}

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_LAYOUT_H_
