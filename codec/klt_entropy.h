// The entropy coder of `klt`, scalar: the reference that the vector versions
// (klt_entropy_simd.h) equal bit for bit. It allocates nothing and cannot fail
// but by saying so; the codec checks everything before and the end after.
//
// The coder is the interleaved rANS of exact_kernel.h with probabilities of 12
// bits. What is new is what it codes: rows of 32 coefficients of one token,
// all lanes by one table, either as magnitudes or as what refines the
// magnitudes of the stages below. Format: docs/format/codecs/klt.md, section 3.
#ifndef REPRISE_CODEC_KLT_ENTROPY_H_
#define REPRISE_CODEC_KLT_ENTROPY_H_

#include <cstdint>
#include <vector>

#include "codec/klt_encode_entry.h"
#include "codec/klt_profile_format.h"

namespace reprise {

// The low end of a state between symbols, and its value at the very end.
inline constexpr uint32_t kKltLowState = 1u << 16;
inline constexpr int kKltMaxMagnitude = 32767;
// Loops may read this far behind words and behind signs, and write this far in
// front of words: what is there changes nothing.
inline constexpr uint32_t kKltSlackBytes = 128;

// An entry of a decoding table, one for each of 4,096 slots:
// bits 0..11 slot - start, 12..23 frequency, 24..29 symbol.
inline constexpr uint32_t kKltFrequencyShift = 12;
inline constexpr uint32_t kKltSymbolShift = 24;

// A profile's tables as the loops want them.
struct KltTables {
  std::vector<uint32_t> decode_exponents;         // [4096]
  std::vector<KltEncodeEntry> encode_exponents;   // [16]
  std::vector<uint32_t> decode_magnitudes;        // [n0][4096]
  std::vector<KltEncodeEntry> encode_magnitudes;  // [n0][64]
  // [n1][3 contexts][3 symbols, and one that pads]. A decoder takes the
  // frequencies from here too.
  std::vector<KltEncodeEntry> refining;
  uint32_t lo0 = 0;
  uint32_t lo1 = 0;
  uint32_t n0 = 0;
  uint32_t n1 = 0;

  // The entries of a refining table, context by context.
  const KltEncodeEntry* Refining(uint32_t table) const {
    return refining.data() + table * kKltContexts * kKltRefiningEntries;
  }
};
KltTables MakeKltTables(const KltProfileParts& parts);

// The coded rows of one token and group in one stage: those whose level is at
// least -base; of these, number r has table min(level[r] + base, last_table).
struct KltRows {
  const uint8_t* levels = nullptr;
  int base = 0;
  uint32_t last_table = 0;
  uint32_t count = 0;  // of coded rows
  uint32_t n = 0;      // of coefficients in all rows of the group

  uint32_t Table(uint32_t row) const {
    const auto index = static_cast<uint32_t>(levels[row] + base);
    return index < last_table ? index : last_table;
  }
  uint32_t Lanes(uint32_t row) const {
    const uint32_t left = n - row * kKltLanes;
    return left < kKltLanes ? left : kKltLanes;
  }
};
// `e` is the token's exponent, less 3, plus the shift.
KltRows KltRowsOf(const KltTables& tables, const KltGroupParts& group,
                  uint32_t stage, int e);

// One stream while it is decoded. Words and signs may be followed by anything
// for kKltSlackBytes.
struct KltDecoder {
  alignas(64) uint32_t x[kKltLanes];
  const uint8_t* words = nullptr;
  uint32_t word_count = 0;
  uint32_t cursor = 0;
  const uint8_t* signs = nullptr;
  uint64_t sign_count = 0;  // bits, those that fill the last byte included
  uint64_t sign_cursor = 0;

  // Whether nothing is left but less than a byte of zero signs.
  bool IsEnd() const;
};
// All three answer false when the stream is damaged.

// Two rows of exponents, of the tokens in `tokens`: o[0 .. 63].
bool KltDecodeExponentsScalar(const KltTables& tables, uint64_t tokens,
                              KltDecoder* decoder, uint8_t* o);
// Stage 0. Writes rows.count * 32 coefficients: zeros in lanes from n on.
bool KltDecodeMagnitudesScalar(const KltTables& tables, const KltRows& rows,
                               KltDecoder* decoder, int16_t* q);
// A further stage: refines rows.count * 32 coefficients in place.
bool KltDecodeRefiningScalar(const KltTables& tables, const KltRows& rows,
                             KltDecoder* decoder, int16_t* q);

// One stream while it is encoded, last row first: words grow downwards.
// kKltSlackBytes in front of what is written may be overwritten.
struct KltEncoder {
  alignas(64) uint32_t x[kKltLanes];
  uint16_t* word = nullptr;
};
void KltEncodeExponentsScalar(const KltTables& tables, uint64_t tokens,
                              const uint8_t* o, KltEncoder* encoder);
// REQUIRES: |q| <= 32767.
void KltEncodeMagnitudesScalar(const KltTables& tables, const KltRows& rows,
                               const int16_t* q, KltEncoder* encoder);
// `coarse` is q of the stages below. REQUIRES: it is the nearest to q / 3, and
// q is 0 or 1 in magnitude where the row was not coded in those.
void KltEncodeRefiningScalar(const KltTables& tables, const KltRows& rows,
                             const int16_t* coarse, const int16_t* q,
                             KltEncoder* encoder);

// The signs of a stage, first row first, from the lowest bit of each byte on.
struct KltSignWriter {
  uint8_t* bytes = nullptr;  // all zero, with kKltSlackBytes behind them
  uint64_t count = 0;        // bits
};
// Of what is not 0 in q, but is in `coarse` (null: all zeros).
void KltWriteSignsScalar(const KltRows& rows, const int16_t* coarse,
                         const int16_t* q, KltSignWriter* writer);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_ENTROPY_H_
