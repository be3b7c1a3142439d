// How `exact` cuts values into keys and raw bits, and the numbers of its
// coder: what every version of the loops wants, those on devices included.
// Format: docs/format/codecs/exact.md, sections 2 and 3.
#ifndef REPRISE_CODEC_EXACT_SPLIT_H_
#define REPRISE_CODEC_EXACT_SPLIT_H_

#include <cstdint>

namespace reprise {

inline constexpr uint32_t kExactSymbols = 64;
inline constexpr uint32_t kExactEscape = 63;
inline constexpr uint32_t kExactProbabilityBits = 10;
inline constexpr uint32_t kExactSlots = 1u << kExactProbabilityBits;
inline constexpr uint32_t kExactMaxTables = 8;
inline constexpr uint32_t kExactMaxRawBits = 24;
inline constexpr uint32_t kExactMaxKeyBits = 13;

inline constexpr uint32_t kExactLanes = 32;
inline constexpr uint32_t kExactMaxChannels = 256;
// The low end of a state between symbols, and its value at the very end.
inline constexpr uint32_t kExactLowState = 1u << 16;

// FrameSection::mode.
enum ExactMode : uint8_t {
  kExactRaw = 0,
  kExactConstant = 1,
  kExactRans = 2,
  kExactTables = 3,
};

// How the values of a plane are cut: N-bit elements, w raw bits, sign to bit
// p of the code.
struct ExactSplit {
  uint32_t element_bytes = 2;
  uint32_t raw_bits = 0;
  uint32_t sign_bit = 0;

  constexpr uint32_t bits() const { return element_bytes * 8; }
  constexpr uint32_t key_bits() const { return bits() - raw_bits; }
  constexpr uint32_t key_mask() const { return (1u << key_bits()) - 1; }
  bool operator==(const ExactSplit&) const = default;
};

// Value to code and back (section 2 of the format).
constexpr uint32_t ExactCode(uint32_t value, const ExactSplit& split) {
  const uint32_t top = split.bits() - 1;
  const uint32_t low = (1u << split.sign_bit) - 1;
  const uint32_t magnitude = value & ((1u << top) - 1);
  return ((magnitude & ~low) << 1) | ((value >> top) << split.sign_bit) |
         (magnitude & low);
}
constexpr uint32_t ExactValue(uint32_t code, const ExactSplit& split) {
  const uint32_t top = split.bits() - 1;
  const uint32_t low = (1u << split.sign_bit) - 1;
  return ((code >> 1) & ~low & ((1u << top) - 1)) |
         ((code >> split.sign_bit & 1) << top) | (code & low);
}

// Which pair of a head's channels one of them belongs to, of `pairs` that are
// rotated; `pairs` for one that is not (section 4).
constexpr uint32_t ExactPair(bool is_adjacent, uint32_t pairs,
                             uint32_t channel_in_head) {
  if (channel_in_head >= 2 * pairs) return pairs;
  return is_adjacent ? channel_in_head / 2 : channel_in_head % pairs;
}
// The angle of a pair in the frame that starts at `first_token`.
constexpr uint32_t ExactAngle(uint32_t step, uint32_t first_token) {
  return (first_token + 32) * step >> 28;
}

// An entry of a decoding table, one for each of 1,024 slots:
// bits 0..9 slot - start, 10..19 frequency, 20..25 symbol.
inline constexpr uint32_t kExactFrequencyShift = 10;
inline constexpr uint32_t kExactSymbolShift = 20;

// What the encoder wants of a symbol. Dividing x by the frequency f is
// q = x * reciprocal >> 32, which is the quotient or one less.
struct ExactEncodeEntry {
  uint32_t frequency_start;  // f | start << 16; f = 0: the symbol is escaped
  uint32_t reciprocal;       // floor(2^32 / f), and 2^32 - 1 for f = 1

  constexpr uint32_t frequency() const { return frequency_start & 0xffff; }
  constexpr uint32_t start() const { return frequency_start >> 16; }
};

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_SPLIT_H_
