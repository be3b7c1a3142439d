#include "codec/klt_entropy.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/limits.h"
#include "codec/klt_step.h"

namespace reprise {
namespace {

KltEncodeEntry EntryOf(uint32_t f, uint32_t start) {
  const uint64_t reciprocal = f > 1 ? (uint64_t{1} << 32) / f : 0xffffffff;
  return {f | start << 16, static_cast<uint32_t>(reciprocal)};
}

template <size_t kCount>
void AddTable(const std::array<uint16_t, kCount>& frequencies,
              std::vector<uint32_t>* decode,
              std::vector<KltEncodeEntry>* encode) {
  uint32_t start = 0;
  for (uint32_t s = 0; s < kCount; ++s) {
    const uint32_t f = frequencies[s];
    for (uint32_t bias = 0; bias < f; ++bias) {
      decode->push_back(bias | f << kKltFrequencyShift | s << kKltSymbolShift);
    }
    encode->push_back(EntryOf(f, start));
    start += f;
  }
}

// One symbol's way out of a state, and a word if the state gets low.
uint32_t Advance(uint32_t x, uint32_t frequency, uint32_t bias,
                 KltDecoder* decoder) {
  const uint32_t next = frequency * (x >> kKltProbabilityBits) + bias;
  if (next >= kKltLowState) return next;
  const auto word =
      LoadLe<uint16_t>(decoder->words + 2 * uint64_t{decoder->cursor++});
  return next << 16 | word;
}

uint16_t TakeWord(KltDecoder* decoder) {
  return LoadLe<uint16_t>(decoder->words + 2 * uint64_t{decoder->cursor++});
}

int TakeSign(KltDecoder* decoder) {
  const uint64_t at = decoder->sign_cursor++;
  return decoder->signs[at / 8] >> (at % 8) & 1 ? -1 : 1;
}

bool IsInside(const KltDecoder& decoder) {
  return decoder.cursor <= decoder.word_count &&
         decoder.sign_cursor <= decoder.sign_count;
}

void Put(const KltEncodeEntry& entry, uint32_t lane, KltEncoder* encoder) {
  const uint32_t f = entry.frequency();
  uint32_t x = encoder->x[lane];
  if (x >> 20 >= f) {
    *--encoder->word = static_cast<uint16_t>(x);
    x >>= 16;
  }
  encoder->x[lane] = (x / f << kKltProbabilityBits) + x % f + entry.start();
}

int Magnitude(int16_t q) { return q < 0 ? -q : q; }

const KltEncodeEntry* RefiningEntries(const KltTables& tables, uint32_t table,
                                      int magnitude) {
  const auto context = static_cast<uint32_t>(std::min(magnitude, 2));
  return tables.Refining(table) + context * kKltRefiningEntries;
}

}  // namespace

KltTables MakeKltTables(const KltProfileParts& parts) {
  KltTables tables;
  tables.lo0 = parts.lo0;
  tables.lo1 = parts.lo1;
  tables.n0 = static_cast<uint32_t>(parts.magnitudes.size());
  tables.n1 = static_cast<uint32_t>(parts.refining.size());
  AddTable(parts.exponents, &tables.decode_exponents, &tables.encode_exponents);
  tables.decode_magnitudes.reserve(uint64_t{tables.n0} * kKltSlots);
  for (const KltMagnitudeTable& table : parts.magnitudes) {
    AddTable(table, &tables.decode_magnitudes, &tables.encode_magnitudes);
  }
  for (const KltRefiningTable& table : parts.refining) {
    for (const auto& [one, two] : table) {
      const uint32_t zero = kKltSlots - one - two;
      tables.refining.push_back(EntryOf(zero, 0));
      tables.refining.push_back(EntryOf(one, zero));
      tables.refining.push_back(EntryOf(two, zero + one));
      tables.refining.push_back(EntryOf(0, 0));
    }
  }
  return tables;
}

KltRows KltRowsOf(const KltTables& tables, const KltGroupParts& group,
                  uint32_t stage, int e) {
  KltRows rows;
  rows.levels = group.levels.data();
  rows.n = group.n;
  const uint32_t lo = stage == 0 ? tables.lo0 : tables.lo1;
  rows.last_table = (stage == 0 ? tables.n0 : tables.n1) - 1;
  rows.base = KltBase(stage, lo, e);
  // Levels don't rise.
  const auto first_left = std::partition_point(
      group.levels.begin(), group.levels.end(),
      [&](uint8_t level) { return level + rows.base >= 0; });
  rows.count = static_cast<uint32_t>(first_left - group.levels.begin());
  return rows;
}

bool KltDecoder::IsEnd() const {
  bool whole = cursor == word_count && sign_count - sign_cursor < 8;
  for (const uint32_t state : x) whole &= state == kKltLowState;
  for (uint64_t at = sign_cursor; whole && at < sign_count; ++at) {
    whole = (signs[at / 8] >> (at % 8) & 1) == 0;
  }
  return whole;
}

bool KltDecodeExponentsScalar(const KltTables& tables, uint64_t tokens,
                              KltDecoder* decoder, uint8_t* o) {
  for (uint32_t t = 0; t < kSegmentTokens; ++t) {
    if ((tokens >> t & 1) == 0) continue;
    uint32_t& x = decoder->x[t % kKltLanes];
    const uint32_t entry = tables.decode_exponents[x % kKltSlots];
    o[t] = static_cast<uint8_t>(entry >> kKltSymbolShift);
    x = Advance(x, entry >> kKltFrequencyShift & (kKltSlots - 1),
                entry & (kKltSlots - 1), decoder);
  }
  return IsInside(*decoder);
}

bool KltDecodeMagnitudesScalar(const KltTables& tables, const KltRows& rows,
                               KltDecoder* decoder, int16_t* q) {
  for (uint32_t r = 0; r < rows.count; ++r, q += kKltLanes) {
    const uint32_t* decode =
        tables.decode_magnitudes.data() + uint64_t{rows.Table(r)} * kKltSlots;
    const uint32_t lanes = rows.Lanes(r);
    uint32_t magnitudes[kKltLanes] = {};
    for (uint32_t l = 0; l < lanes; ++l) {
      uint32_t& x = decoder->x[l];
      const uint32_t entry = decode[x % kKltSlots];
      magnitudes[l] = entry >> kKltSymbolShift;
      x = Advance(x, entry >> kKltFrequencyShift & (kKltSlots - 1),
                  entry & (kKltSlots - 1), decoder);
    }
    for (uint32_t l = 0; l < lanes; ++l) {
      if (magnitudes[l] == kKltEscape) magnitudes[l] = TakeWord(decoder);
      if (magnitudes[l] > kKltMaxMagnitude) return false;
    }
    for (uint32_t l = 0; l < kKltLanes; ++l) {
      const int m = static_cast<int>(magnitudes[l]);
      q[l] = static_cast<int16_t>(m == 0 ? 0 : m * TakeSign(decoder));
    }
    if (!IsInside(*decoder)) return false;
  }
  return true;
}

bool KltDecodeRefiningScalar(const KltTables& tables, const KltRows& rows,
                             KltDecoder* decoder, int16_t* q) {
  for (uint32_t r = 0; r < rows.count; ++r, q += kKltLanes) {
    const uint32_t table = rows.Table(r);
    const uint32_t lanes = rows.Lanes(r);
    for (uint32_t l = 0; l < lanes; ++l) {
      const int m = Magnitude(q[l]);
      const KltEncodeEntry* entries = RefiningEntries(tables, table, m);
      uint32_t& x = decoder->x[l];
      const uint32_t slot = x % kKltSlots;
      const uint32_t s =
          (slot >= entries[1].start()) + (slot >= entries[2].start());
      x = Advance(x, entries[s].frequency(), slot - entries[s].start(),
                  decoder);
      const int next = 3 * m + (s == 2 ? -1 : static_cast<int>(s));
      if (next > kKltMaxMagnitude) return false;
      const bool is_new = m == 0 && next != 0;
      const int sign = is_new ? TakeSign(decoder) : q[l] < 0 ? -1 : 1;
      q[l] = static_cast<int16_t>(next * sign);
    }
    if (!IsInside(*decoder)) return false;
  }
  return true;
}

void KltEncodeExponentsScalar(const KltTables& tables, uint64_t tokens,
                              const uint8_t* o, KltEncoder* encoder) {
  for (uint32_t t = kSegmentTokens; t-- > 0;) {
    if ((tokens >> t & 1) == 0) continue;
    Put(tables.encode_exponents[o[t]], t % kKltLanes, encoder);
  }
}

void KltEncodeMagnitudesScalar(const KltTables& tables, const KltRows& rows,
                               const int16_t* q, KltEncoder* encoder) {
  for (uint32_t r = rows.count; r-- > 0;) {
    const KltEncodeEntry* entries =
        tables.encode_magnitudes.data() + rows.Table(r) * kKltMagnitudes;
    const uint32_t lanes = rows.Lanes(r);
    uint32_t symbols[kKltLanes];
    for (uint32_t l = lanes; l-- > 0;) {
      const int m = Magnitude(q[r * kKltLanes + l]);
      uint32_t& s = symbols[l];
      s = static_cast<uint32_t>(m);
      if (s > kKltEscape || entries[s].frequency() == 0) s = kKltEscape;
      if (s == kKltEscape) *--encoder->word = static_cast<uint16_t>(m);
    }
    for (uint32_t l = lanes; l-- > 0;) Put(entries[symbols[l]], l, encoder);
  }
}

void KltEncodeRefiningScalar(const KltTables& tables, const KltRows& rows,
                             const int16_t* coarse, const int16_t* q,
                             KltEncoder* encoder) {
  for (uint32_t r = rows.count; r-- > 0;) {
    const uint32_t table = rows.Table(r);
    for (uint32_t l = rows.Lanes(r); l-- > 0;) {
      const uint32_t at = r * kKltLanes + l;
      const int m = Magnitude(coarse[at]);
      const int d = Magnitude(q[at]) - 3 * m;
      Put(RefiningEntries(tables, table, m)[d < 0 ? 2 : d], l, encoder);
    }
  }
}

void KltWriteSignsScalar(const KltRows& rows, const int16_t* coarse,
                         const int16_t* q, KltSignWriter* writer) {
  for (uint32_t i = 0; i < rows.count * kKltLanes; ++i) {
    if (q[i] == 0 || (coarse != nullptr && coarse[i] != 0)) continue;
    if (q[i] < 0) {
      writer->bytes[writer->count / 8] |=
          static_cast<uint8_t>(1u << (writer->count % 8));
    }
    ++writer->count;
  }
}

}  // namespace reprise
