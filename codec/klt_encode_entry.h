// What an encoder of `klt` wants of a symbol, for kernels of any machine.
#ifndef REPRISE_CODEC_KLT_ENCODE_ENTRY_H_
#define REPRISE_CODEC_KLT_ENCODE_ENTRY_H_

#include <cstdint>

namespace reprise {

// Dividing x by the frequency f is q = x * reciprocal >> 32, which is the
// quotient or one less.
struct KltEncodeEntry {
  uint32_t frequency_start;  // f | start << 16; f = 0: the symbol is escaped
  uint32_t reciprocal;       // floor(2^32 / f), and 2^32 - 1 for f = 1

  constexpr uint32_t frequency() const { return frequency_start & 0xffff; }
  constexpr uint32_t start() const { return frequency_start >> 16; }
};

// Of a context of a refining table; the last only pads.
inline constexpr uint32_t kKltRefiningEntries = 4;

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_ENCODE_ENTRY_H_
