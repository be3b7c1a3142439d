#include "codec/exact_kernel.h"

#include <cstring>

#include "base/bytes.h"

namespace reprise {
namespace {

uint32_t LoadElement(const uint8_t* p, uint32_t bytes) {
  if (bytes == 2) return LoadLe<uint16_t>(p);
  if (bytes == 4) return LoadLe<uint32_t>(p);
  return *p;
}

void StoreElement(uint8_t* p, uint32_t bytes, uint32_t value) {
  if (bytes == 2) {
    StoreLe<uint16_t>(p, static_cast<uint16_t>(value));
  } else if (bytes == 4) {
    StoreLe<uint32_t>(p, value);
  } else {
    *p = static_cast<uint8_t>(value);
  }
}

uint16_t WordAt(const ExactCoded& coded, uint32_t cursor) {
  return LoadLe<uint16_t>(coded.words + 2 * uint64_t{cursor});
}

// One row of symbols: steps 1 to 4 of the format. Returns the cursor.
uint32_t DecodeRow(const ExactStream& stream, const ExactCoded& coded,
                   const uint32_t* decode, uint32_t first_channel,
                   uint32_t lanes, uint32_t cursor, uint32_t* states,
                   uint32_t* keys) {
  bool escaped[kExactLanes];
  for (uint32_t l = 0; l < lanes; ++l) {
    const uint32_t channel = first_channel + l;
    const uint32_t x = states[l];
    const uint32_t entry =
        decode[stream.lanes->table_slot[channel] + x % kExactSlots];
    const uint32_t frequency =
        entry >> kExactFrequencyShift & (kExactSlots - 1);
    const uint32_t symbol = entry >> kExactSymbolShift;
    uint32_t next =
        frequency * (x >> kExactProbabilityBits) + (entry & (kExactSlots - 1));
    if (next < kExactLowState) next = next << 16 | WordAt(coded, cursor++);
    states[l] = next;
    keys[l] = symbol + stream.lanes->offset[channel];
    escaped[l] = symbol == kExactEscape;
  }
  for (uint32_t l = 0; l < lanes; ++l) {
    if (escaped[l]) keys[l] = WordAt(coded, cursor++);
  }
  return cursor;
}

// One row of symbols, last lane first. Returns where its words begin.
uint16_t* EncodeRow(const ExactStream& stream, const ExactEncodeEntry* encode,
                    const uint16_t* keys, uint32_t first_channel,
                    uint32_t lanes, uint32_t* states, uint16_t* word) {
  ExactEncodeEntry entries[kExactLanes];
  for (uint32_t l = lanes; l-- > 0;) {
    const uint32_t channel = first_channel + l;
    const ExactEncodeEntry* table = encode + stream.lanes->table_slot[channel] /
                                                 kExactSlots * kExactSymbols;
    uint32_t symbol =
        (keys[l] - stream.lanes->offset[channel]) & stream.split.key_mask();
    if (symbol > kExactEscape || table[symbol].frequency() == 0) {
      symbol = kExactEscape;
    }
    if (symbol == kExactEscape) *--word = keys[l];
    entries[l] = table[symbol];
  }
  for (uint32_t l = lanes; l-- > 0;) {
    const uint32_t f = entries[l].frequency();
    uint32_t x = states[l];
    if (x >> 22 >= f) {
      *--word = static_cast<uint16_t>(x);
      x >>= 16;
    }
    states[l] = (x / f << kExactProbabilityBits) + x % f + entries[l].start();
  }
  return word;
}

}  // namespace

bool ExactLoadStates(const ExactStream& stream, const ExactCoded& coded,
                     uint32_t states[kExactLanes]) {
  bool high = true;
  for (uint32_t l = 0; l < kExactLanes; ++l) {
    states[l] = l < stream.states() ? LoadLe<uint32_t>(coded.states + 4 * l)
                                    : kExactLowState;
    high &= states[l] >= kExactLowState;
  }
  return high;
}

bool ExactIsEnd(const ExactStream& stream, const ExactCoded& coded,
                const uint32_t states[kExactLanes], uint32_t cursor) {
  bool whole = cursor == coded.word_count;
  for (uint32_t l = 0; l < stream.states(); ++l) {
    whole &= states[l] == kExactLowState;
  }
  return whole;
}

void ExactJoinRow(const ExactSplit& split, const uint32_t* keys,
                  const uint8_t* raw, uint32_t lanes, uint8_t* out) {
  const uint32_t w = split.raw_bits;
  for (uint32_t l = 0; l < lanes; ++l, out += split.element_bytes) {
    // w <= 24: a field lies within four bytes.
    const uint32_t bit = l * w;
    const uint32_t field = LoadLe<uint32_t>(raw + bit / 8) >> (bit % 8);
    const uint32_t code =
        (keys[l] & split.key_mask()) << w | (field & ((1u << w) - 1));
    StoreElement(out, split.element_bytes, ExactValue(code, split));
  }
}

void ExactSplitRow(const ExactSplit& split, const uint8_t* in, uint32_t lanes,
                   uint16_t* keys, uint8_t* raw) {
  const uint32_t w = split.raw_bits;
  for (uint32_t l = 0; l < lanes; ++l, in += split.element_bytes) {
    const uint32_t code =
        ExactCode(LoadElement(in, split.element_bytes), split);
    keys[l] = static_cast<uint16_t>(code >> w);
    const uint32_t bit = l * w;
    uint8_t* at = raw + bit / 8;
    StoreLe<uint32_t>(at, LoadLe<uint32_t>(at) | (code & ((1u << w) - 1))
                                                     << (bit % 8));
  }
}

bool ExactDecodeScalar(const ExactDecodeJob& job, uint32_t token_count) {
  const ExactStream& stream = job.stream;
  const ExactCoded& coded = job.coded;
  uint32_t states[kExactLanes];
  if (!ExactLoadStates(stream, coded, states)) return false;
  const uint32_t row_bytes = kExactLanes * stream.split.element_bytes;
  const uint8_t* raw = coded.raw;
  uint32_t cursor = 0;
  for (uint32_t t = 0; t < token_count; ++t) {
    for (uint32_t r = 0; r < stream.rows_per_token(); ++r) {
      const uint32_t lanes = ExactLaneCount(stream, r);
      uint32_t keys[kExactLanes];
      cursor = DecodeRow(stream, coded, job.decode, r * kExactLanes, lanes,
                         cursor, states, keys);
      if (cursor > coded.word_count) return false;
      ExactJoinRow(stream.split, keys, raw, lanes,
                   job.rows + t * job.stride + r * row_bytes);
      raw += stream.split.raw_bits * 4;
    }
  }
  return token_count < stream.tokens ||
         ExactIsEnd(stream, coded, states, cursor);
}

uint32_t ExactEncodeScalar(const ExactStream& stream,
                           const ExactEncodeEntry* encode, const uint8_t* rows,
                           uint64_t stride, ExactEncodeOut* out) {
  const uint32_t rows_per_token = stream.rows_per_token();
  const uint32_t row_bytes = kExactLanes * stream.split.element_bytes;
  std::memset(out->raw, 0, stream.raw_bytes() + sizeof(uint32_t));
  for (uint32_t row = 0; row < stream.rows(); ++row) {
    const uint32_t r = row % rows_per_token;
    ExactSplitRow(stream.split,
                  rows + row / rows_per_token * stride + r * row_bytes,
                  ExactLaneCount(stream, r), out->keys + row * kExactLanes,
                  out->raw + row * stream.split.raw_bits * 4);
  }
  for (uint32_t& state : out->states) state = kExactLowState;
  uint16_t* const end = out->words + ExactMaxWords(stream);
  uint16_t* word = end;
  for (uint32_t row = stream.rows(); row-- > 0;) {
    const uint32_t r = row % rows_per_token;
    word = EncodeRow(stream, encode, out->keys + row * kExactLanes,
                     r * kExactLanes, ExactLaneCount(stream, r), out->states,
                     word);
  }
  return static_cast<uint32_t>(end - word);
}

}  // namespace reprise
