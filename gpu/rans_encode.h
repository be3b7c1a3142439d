// What kernels that encode by interleaved rANS have in common: a warp is 32
// states, and words grow downwards, last row first.
#ifndef REPRISE_GPU_RANS_ENCODE_H_
#define REPRISE_GPU_RANS_ENCODE_H_

#include <cstdint>

#include "gpu/executor.h"

namespace reprise {

// Puts word(lane) of each lane in `mask` before the words that are there: at
// words[*left ..), in the order of lanes.
template <typename Word>
REPRISE_GPU inline void PutWords(const Warp& warp, uint32_t mask,
                                 uint16_t* words, uint32_t* left, Word word) {
  *left -= CountOnes(mask);
  warp.ForEach([&](uint32_t l) {
    if ((mask >> l & 1) == 0) return;
    words[*left + CountBelow(mask, l)] = static_cast<uint16_t>(word(l));
  });
}

// Adds an entry's symbol to a state that has room for it. The entry's
// reciprocal gives the quotient or one less.
template <uint32_t kProbabilityBits, typename Entry>
REPRISE_GPU inline uint32_t PutSymbol(uint32_t x, const Entry& entry) {
  const uint32_t f = entry.frequency();
  auto quotient = static_cast<uint32_t>(uint64_t{x} * entry.reciprocal >> 32);
  uint32_t rest = x - quotient * f;
  if (rest >= f) {
    ++quotient;
    rest -= f;
  }
  return (quotient << kProbabilityBits) + rest + entry.start();
}

// Words that stand in scratch to a section, two at once.
//
//   out  [(count + 1) / 2]  u32; a zero behind an odd last word
//
// REQUIRES: `out` is a multiple of 4; what lanes wrote is synchronised.
REPRISE_GPU inline void StoreWords(const Warp& warp, const uint16_t* words,
                                   uint32_t count, uint8_t* out) {
  const uint32_t pairs = (count + 1) / 2;
  for (uint32_t first = 0; first < pairs; first += kWarpLanes) {
    warp.ForEach([&](uint32_t l) {
      const uint32_t i = first + l;
      if (i >= pairs) return;
      const uint32_t high = 2 * i + 1 < count ? words[2 * i + 1] : 0;
      StoreAligned(out + 4 * i, words[2 * i] | high << 16);
    });
  }
}

}  // namespace reprise

#endif  // REPRISE_GPU_RANS_ENCODE_H_
