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
#include "codec/exact_split.h"

namespace reprise {

// kDataLoss unless elements have 1, 2 or 4 bytes, w <= 24, 1 <= N - w <= 13
// and p < N.
Status CheckExactSplit(const ExactSplit& split);

// Frequencies of one table: they sum to 1024, each is below 1024, and the
// escape's is not 0.
using ExactFrequencies = std::array<uint16_t, kExactSymbols>;

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
