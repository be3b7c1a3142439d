// Frequency tables of `exact`: 64 symbols, 10-bit probabilities, and what the
// coder's loops want of them. Format: docs/format/codecs/exact.md, 2 and 3.
#ifndef REPRISE_CODEC_EXACT_TABLES_H_
#define REPRISE_CODEC_EXACT_TABLES_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace reprise {

inline constexpr uint32_t kExactSymbols = 64;
inline constexpr uint32_t kExactEscape = 63;
inline constexpr uint32_t kExactProbabilityBits = 10;
inline constexpr uint32_t kExactSlots = 1u << kExactProbabilityBits;
inline constexpr uint32_t kExactMaxTables = 8;
inline constexpr uint32_t kExactMaxRawBits = 24;
inline constexpr uint32_t kExactMaxKeyBits = 13;

// How the values of a plane are cut: N-bit elements, w raw bits, sign to bit
// p of the code.
struct ExactSplit {
  uint32_t element_bytes = 2;
  uint32_t raw_bits = 0;
  uint32_t sign_bit = 0;

  uint32_t bits() const { return element_bytes * 8; }
  uint32_t key_bits() const { return bits() - raw_bits; }
  uint32_t key_mask() const { return (1u << key_bits()) - 1; }
  bool operator==(const ExactSplit&) const = default;
};

// kDataLoss unless elements have 1, 2 or 4 bytes, w <= 24, 1 <= N - w <= 13
// and p < N.
Status CheckExactSplit(const ExactSplit& split);

// Frequencies of one table: they sum to 1024, each is below 1024, and the
// escape's is not 0.
using ExactFrequencies = std::array<uint16_t, kExactSymbols>;

// An entry of a decoding table, one for each of 1,024 slots:
// bits 0..9 slot - start, 10..19 frequency, 20..25 symbol.
inline constexpr uint32_t kExactFrequencyShift = 10;
inline constexpr uint32_t kExactSymbolShift = 20;

// What the encoder wants of a symbol. Dividing x by the frequency f is
// q = x * reciprocal >> 32, which is the quotient or one less.
struct ExactEncodeEntry {
  uint32_t frequency_start;  // f | start << 16; f = 0: the symbol is escaped
  uint32_t reciprocal;       // floor(2^32 / f), and 2^32 - 1 for f = 1

  uint32_t frequency() const { return frequency_start & 0xffff; }
  uint32_t start() const { return frequency_start >> 16; }
};

// A set of 1 to 8 tables, as stored and as the loops want it. 32 KiB of
// decoding tables at most: they fit in a first-level cache.
struct ExactTableSet {
  std::vector<ExactFrequencies> frequencies;
  // [tables][1024] and [tables][64].
  std::vector<uint32_t> decode;
  std::vector<ExactEncodeEntry> encode;

  uint32_t table_count() const {
    return static_cast<uint32_t>(frequencies.size());
  }
};

// Reads 64 frequencies of 16 bits. kDataLoss, naming the rule and the number,
// when they are no table.
Status ReadExactFrequencies(ByteReader* reader, ExactFrequencies* out);

// What the loops want of one table: decode[1024] and encode[64].
void BuildExactTable(const ExactFrequencies& frequencies, uint32_t* decode,
                     ExactEncodeEntry* encode);
// The same for all tables of a set.
void BuildExactTables(ExactTableSet* set);

// 2^16 log2(x), rounded down a little: integers, so that every machine has
// the same. REQUIRES: 1 <= x <= 1024.
uint32_t ExactLog2(uint32_t x);

// Bits that a symbol of this frequency costs, in units of 2^-16.
inline uint32_t ExactCost(uint32_t frequency) {
  return (kExactProbabilityBits << 16) - ExactLog2(frequency);
}

// The table that codes `counts` in nearly the fewest bits. Rare symbols get
// frequency 0: they are escaped. Integers only.
ExactFrequencies FitExactFrequencies(
    const std::array<uint64_t, kExactSymbols>& counts);

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_TABLES_H_
