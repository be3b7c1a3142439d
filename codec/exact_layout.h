// Where the parts of a section of `exact` lie. Format:
// docs/format/codecs/exact.md, sections 1 and 3.
#ifndef REPRISE_CODEC_EXACT_LAYOUT_H_
#define REPRISE_CODEC_EXACT_LAYOUT_H_

#include <cstdint>

#include "base/bytes.h"
#include "codec/exact_kernel.h"

namespace reprise {

// Byte offsets inside a section of mode kExactRans.
struct ExactLayout {
  uint64_t states = 0;
  uint64_t words = 0;
  uint64_t raw = 0;
  uint64_t end = 0;
};

// `head_bytes`: of the channel header, 0 with a profile.
inline ExactLayout LayOutExactStream(const ExactStream& stream,
                                     uint32_t head_bytes, uint32_t word_count) {
  ExactLayout layout;
  layout.states = head_bytes;
  layout.words = layout.states + 4 * stream.states();
  layout.raw = layout.words + (uint64_t{word_count} * 2 + 3) / 4 * 4;
  layout.end = layout.raw + stream.raw_bytes();
  return layout;
}

// The most words with which a stream is shorter than its values as they are;
// 0 also when there is no such number.
inline uint32_t ExactWordLimit(const ExactStream& stream, uint32_t head_bytes) {
  const uint64_t as_is =
      uint64_t{stream.tokens} * stream.channels * stream.split.element_bytes;
  const uint64_t without = LayOutExactStream(stream, head_bytes, 0).end;
  if (without >= as_is) return 0;
  return static_cast<uint32_t>((as_is - without - 1) / 4 * 2);
}

inline ExactCoded ExactParts(const uint8_t* section, const ExactLayout& layout,
                             uint32_t word_count) {
  return {.states = section + layout.states,
          .words = section + layout.words,
          .raw = section + layout.raw,
          .word_count = word_count};
}

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_LAYOUT_H_
