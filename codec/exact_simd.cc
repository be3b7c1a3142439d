// One source for all instruction sets (Highway). A row of 32 lanes is 2
// vectors of AVX-512, 4 of AVX2, 8 of NEON. What bounds decoding is the
// table look-up, a gather for each vector; everything else runs in its shadow.
#include "codec/exact_simd.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/exact_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "codec/rans_simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

bool Decode(const ExactDecodeJob& job, uint32_t token_count) {
  return ExactDecodeScalar(job, token_count);
}

ExactPairResult DecodePair(const ExactDecodeJob& first,
                           const ExactDecodeJob& second, uint32_t token_count) {
  return {ExactDecodeScalar(first, token_count),
          ExactDecodeScalar(second, token_count)};
}

uint32_t Encode(const ExactStream& stream, const ExactEncodeEntry* encode,
                const uint8_t* rows, uint64_t stride, ExactEncodeOut* out) {
  return ExactEncodeScalar(stream, encode, rows, stride, out);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using rans::AtLeast;
using rans::Bits;
using rans::D16;
using rans::D32;
using rans::GiveWords;
using rans::kLanes32;
using rans::kPairs;
using rans::kVectors;
using rans::M32;
using rans::V16;
using rans::V32;

// Rows lie at any address: they are loaded and stored as bytes.
template <class D>
HWY_INLINE hn::VFromD<D> LoadBytes(D d, const uint8_t* p) {
  return hn::BitCast(d, hn::LoadU(hn::Repartition<uint8_t, D>(), p));
}

// ------------------------------------------------------------------ decode

struct Coder {
  const uint32_t* table;
  const uint8_t* words;
  const uint8_t* raw;
  uint32_t cursor;
};

// Steps 1 to 3 of the format for one vector of lanes; returns symbols.
template <bool kShort>
HWY_INLINE V32 DecodeVector(V32& x, const uint32_t* table_slot, M32 active,
                            Coder& coder) {
  const D32 d;
  const V32 slots = hn::Set(d, kExactSlots - 1);
  const V32 index = hn::Add(hn::And(x, slots), hn::Load(d, table_slot));
  const V32 entry = hn::GatherIndex(
      d, coder.table, hn::BitCast(hn::RebindToSigned<D32>(), index));
  const V32 frequency =
      hn::And(hn::ShiftRight<kExactFrequencyShift>(entry), slots);
  const V32 coded =
      hn::Add(hn::Mul(frequency, hn::ShiftRight<kExactProbabilityBits>(x)),
              hn::And(entry, slots));
  const V32 next =
      rans::Renormalise<kShort>(coded, active, coder.words, &coder.cursor);
  x = kShort ? hn::IfThenElse(active, next, x) : next;
  return hn::ShiftRight<kExactSymbolShift>(entry);
}

// How values of 16 bits are put together: raw bits by a byte shuffle that
// brings each field into its lane, a multiplication that moves its top bit to
// the lane's, and a shift down.
class Join16 {
 public:
  explicit Join16(const ExactSplit& split) : split_(split) {
    const uint32_t w = split.raw_bits;
    uint8_t bytes[64];
    uint16_t factors[8];
    for (uint32_t l = 0; l < 8; ++l) {
      const uint32_t bit = l * w;
      for (uint32_t block = 0; block < 4; ++block) {
        const uint32_t first = bit / 8;
        bytes[block * 16 + 2 * l] = static_cast<uint8_t>(first);
        bytes[block * 16 + 2 * l + 1] = static_cast<uint8_t>(first + 1);
      }
      factors[l] = static_cast<uint16_t>(1u << (16 - w - bit % 8));
    }
    const hn::Repartition<uint8_t, D16> d8;
    bytes_ = hn::BitCast(D16(), hn::LoadU(d8, bytes));
    factors_ = hn::LoadDup128(D16(), factors);
    const uint32_t low = (1u << split.sign_bit) - 1;
    low_ = hn::Set(D16(), static_cast<uint16_t>(low & 0x7fff));
    high_ = hn::Set(D16(), static_cast<uint16_t>(~low & 0x7fff));
  }

  // Whether fields of w bits never span three bytes.
  static bool Fits(const ExactSplit& split) {
    if (split.element_bytes != 2) return false;
    for (uint32_t l = 0; l < 8; ++l) {
      if (l * split.raw_bits % 8 + split.raw_bits > 16) return false;
    }
    return split.raw_bits > 0;
  }

  // `pair`: which vector of 16-bit lanes of the row.
  HWY_INLINE V16 Values(V16 keys, const uint8_t* raw, uint32_t pair) const {
    const D16 d;
    const int w = static_cast<int>(split_.raw_bits);
    const int p = static_cast<int>(split_.sign_bit);
    const V16 field =
        hn::ShiftRightSame(hn::Mul(Windows(raw, pair), factors_), 16 - w);
    const V16 code = hn::Or(hn::ShiftLeftSame(keys, w), field);
    const V16 sign =
        hn::And(hn::ShiftLeftSame(code, 15 - p), hn::Set(d, uint16_t{0x8000}));
    return hn::Or(sign, hn::Or(hn::And(hn::ShiftRight<1>(code), high_),
                               hn::And(code, low_)));
  }

 private:
  HWY_INLINE V16 Windows(const uint8_t* raw, uint32_t pair) const {
    const hn::Repartition<uint8_t, D16> d8;
    const uint32_t w = split_.raw_bits;
    raw += pair * (sizeof(V16) / 16) * w;
    return hn::BitCast(D16(), hn::TableLookupBytes(Blocks(d8, raw, w),
                                                   hn::BitCast(d8, bytes_)));
  }

  // 16 bytes for each 8 lanes, w bytes apart.
  template <class D8>
  static HWY_INLINE hn::VFromD<D8> Blocks(D8 d, const uint8_t* raw,
                                          uint32_t w) {
    if constexpr (hn::MaxLanes(d) == 16) {
      return hn::LoadU(d, raw);
    } else {
      const hn::Half<D8> half;
      const uint32_t step = hn::MaxLanes(d) / 32 * w;
      return hn::Combine(d, Blocks(half, raw + step, w), Blocks(half, raw, w));
    }
  }
  ExactSplit split_;
  V16 bytes_, factors_, low_, high_;
};

// Elements of other sizes, or fields that span three bytes.
class JoinAny {
 public:
  explicit JoinAny(const ExactSplit& split) : split_(split) {}
  const ExactSplit& split() const { return split_; }

 private:
  const ExactSplit& split_;
};

// The keys of escaped lanes, which follow the row's words.
HWY_INLINE void TakeEscapes(uint32_t escaped, uint16_t* keys, Coder* coder) {
  for (; escaped != 0; escaped &= escaped - 1) {
    std::memcpy(keys + __builtin_ctz(escaped),
                coder->words + 2 * uint64_t{coder->cursor++}, 2);
  }
}

HWY_INLINE uint32_t EscapeBits(const V16* symbols, uint32_t active) {
  const D16 d;
  const V16 escape = hn::Set(d, uint16_t{kExactEscape});
  uint32_t bits = 0;
  for (uint32_t i = 0; i < kPairs; ++i) {
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(d, hn::Eq(symbols[i], escape), bytes);
    uint32_t part;
    std::memcpy(&part, bytes, sizeof part);
    bits |= part << (i * kLanes32 * 2 % 32);
  }
  return bits & active;
}

HWY_INLINE bool AnyEscape(const V16* symbols) {
  const V16 escape = hn::Set(D16(), uint16_t{kExactEscape});
  auto any = hn::Eq(symbols[0], escape);
  for (uint32_t i = 1; i < kPairs; ++i) {
    any = hn::Or(any, hn::Eq(symbols[i], escape));
  }
  return !hn::AllFalse(D16(), any);
}

// Keys of a row, in lane order. `lanes` below 32 in a short row.
template <bool kShort>
HWY_INLINE void DecodeKeys(V32 (&x)[kVectors], const ExactChannels& channels,
                           uint32_t first_channel, uint32_t lanes, Coder& coder,
                           V16 (&keys)[kPairs]) {
  const D32 d;
  V16 symbols[kPairs];
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kPairs; ++i) {
    V32 halves[2];
#pragma GCC unroll 2
    for (uint32_t h = 0; h < 2; ++h) {
      const uint32_t v = 2 * i + h;
      const uint32_t first = v * kLanes32;
      const M32 active = hn::FirstN(d, lanes > first ? lanes - first : 0);
      halves[h] = DecodeVector<kShort>(
          x[v], channels.table_slot + first_channel + first, active, coder);
    }
    symbols[i] = hn::ConcatEven(D16(), hn::BitCast(D16(), halves[1]),
                                hn::BitCast(D16(), halves[0]));
    keys[i] = hn::Add(
        symbols[i],
        hn::Load(D16(), channels.offset + first_channel + i * 2 * kLanes32));
  }
  if (HWY_UNLIKELY(AnyEscape(symbols))) {
    const uint32_t active = kShort ? (1u << lanes) - 1 : ~0u;
    alignas(64) uint16_t all[kExactLanes];
    for (uint32_t i = 0; i < kPairs; ++i) {
      hn::Store(keys[i], D16(), all + i * 2 * kLanes32);
    }
    TakeEscapes(EscapeBits(symbols, active), all, &coder);
    for (uint32_t i = 0; i < kPairs; ++i) {
      keys[i] = hn::Load(D16(), all + i * 2 * kLanes32);
    }
  }
}

HWY_INLINE void StoreRow(const Join16& join, const V16* keys,
                         const uint8_t* raw, uint32_t lanes, uint8_t* out) {
  const hn::Repartition<uint8_t, D16> d;
  uint8_t values[kExactLanes * 2];
  const bool whole = lanes == kExactLanes;
  uint8_t* to = whole ? out : values;
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kPairs; ++i) {
    hn::StoreU(hn::BitCast(d, join.Values(keys[i], raw, i)), d,
               to + i * 4 * kLanes32);
  }
  if (!whole) std::memcpy(out, values, lanes * 2);
}

HWY_INLINE void StoreRow(const JoinAny& join, const V16* keys,
                         const uint8_t* raw, uint32_t lanes, uint8_t* out) {
  alignas(64) uint16_t narrow[kExactLanes];
  uint32_t wide[kExactLanes];
  for (uint32_t i = 0; i < kPairs; ++i) {
    hn::Store(keys[i], D16(), narrow + i * 2 * kLanes32);
  }
  for (uint32_t l = 0; l < kExactLanes; ++l) wide[l] = narrow[l];
  ExactJoinRow(join.split(), wide, raw, lanes, out);
}

// What follows keeps states in arrays that are nobody's member: only then do
// they live in registers.
HWY_INLINE bool LoadStates(const ExactDecodeJob& job, V32 (&x)[kVectors]) {
  alignas(64) uint32_t states[kExactLanes];
  if (!ExactLoadStates(job.stream, job.coded, states)) return false;
#pragma GCC unroll 8
  for (uint32_t i = 0; i < kVectors; ++i) {
    x[i] = hn::Load(D32(), states + i * kLanes32);
  }
  return true;
}

HWY_INLINE bool IsEnd(const ExactDecodeJob& job, const V32 (&x)[kVectors],
                      uint32_t cursor) {
  alignas(64) uint32_t states[kExactLanes];
#pragma GCC unroll 8
  for (uint32_t i = 0; i < kVectors; ++i) {
    hn::Store(x[i], D32(), states + i * kLanes32);
  }
  return ExactIsEnd(job.stream, job.coded, states, cursor);
}

HWY_INLINE Coder CoderOf(const ExactDecodeJob& job) {
  return {job.decode, job.coded.words, job.coded.raw, 0};
}

// Decodes and stores one row.
template <bool kShort, class Join>
HWY_INLINE void DecodeRow(const ExactDecodeJob& job, const Join& join,
                          uint32_t channel, uint32_t lanes, uint8_t* out,
                          V32 (&x)[kVectors], Coder& coder) {
  const ExactSplit& split = job.stream.split;
  V16 keys[kPairs];
  DecodeKeys<kShort>(x, *job.stream.lanes, channel, lanes, coder, keys);
  StoreRow(join, keys, coder.raw, lanes, out + channel * split.element_bytes);
  coder.raw += split.raw_bits * 4;
}

template <class Join>
bool DecodeWith(const Join& join, const ExactDecodeJob& job,
                uint32_t token_count) {
  const uint32_t channels = job.stream.channels;
  V32 x[kVectors];
  if (!LoadStates(job, x)) return false;
  Coder coder = CoderOf(job);
  for (uint32_t t = 0; t < token_count; ++t) {
    uint8_t* const out = job.rows + t * job.stride;
    uint32_t c = 0;
    for (; c + kExactLanes <= channels; c += kExactLanes) {
      DecodeRow<false>(job, join, c, kExactLanes, out, x, coder);
      if (HWY_UNLIKELY(coder.cursor > job.coded.word_count)) return false;
    }
    if (c < channels) {
      DecodeRow<true>(job, join, c, channels - c, out, x, coder);
      if (HWY_UNLIKELY(coder.cursor > job.coded.word_count)) return false;
    }
  }
  return token_count < job.stream.tokens || IsEnd(job, x, coder.cursor);
}

bool Decode(const ExactDecodeJob& job, uint32_t token_count) {
  if (Join16::Fits(job.stream.split)) {
    return DecodeWith(Join16(job.stream.split), job, token_count);
  }
  return DecodeWith(JoinAny(job.stream.split), job, token_count);
}

// In step, streams of the same channels and split. False, before the end, when
// a stream is damaged.
bool DecodeInStep(const Join16& join, const ExactDecodeJob& a,
                  const ExactDecodeJob& b, uint32_t token_count) {
  const uint32_t channels = a.stream.channels;
  V32 x[kVectors];
  V32 y[kVectors];
  if (!LoadStates(a, x) || !LoadStates(b, y)) return false;
  Coder coder_a = CoderOf(a);
  Coder coder_b = CoderOf(b);
  const uint32_t end_a = a.coded.word_count;
  const uint32_t end_b = b.coded.word_count;
  for (uint32_t t = 0; t < token_count; ++t) {
    uint8_t* const out_a = a.rows + t * a.stride;
    uint8_t* const out_b = b.rows + t * b.stride;
    uint32_t c = 0;
    for (; c + kExactLanes <= channels; c += kExactLanes) {
      DecodeRow<false>(a, join, c, kExactLanes, out_a, x, coder_a);
      DecodeRow<false>(b, join, c, kExactLanes, out_b, y, coder_b);
      if (HWY_UNLIKELY(coder_a.cursor > end_a)) return false;
      if (HWY_UNLIKELY(coder_b.cursor > end_b)) return false;
    }
    if (c < channels) {
      DecodeRow<true>(a, join, c, channels - c, out_a, x, coder_a);
      DecodeRow<true>(b, join, c, channels - c, out_b, y, coder_b);
      if (HWY_UNLIKELY(coder_a.cursor > end_a)) return false;
      if (HWY_UNLIKELY(coder_b.cursor > end_b)) return false;
    }
  }
  return token_count < a.stream.tokens ||
         (IsEnd(a, x, coder_a.cursor) && IsEnd(b, y, coder_b.cursor));
}

ExactPairResult DecodePair(const ExactDecodeJob& first,
                           const ExactDecodeJob& second, uint32_t token_count) {
  // With 16 registers the second stream would live in memory: AVX2 loses a
  // third by it, AVX-512 gains as much.
  constexpr bool kEnoughRegisters = kLanes32 == 16;
  const ExactStream& a = first.stream;
  const ExactStream& b = second.stream;
  if (kEnoughRegisters && a.channels == b.channels && a.split == b.split &&
      a.tokens == b.tokens && Join16::Fits(a.split)) {
    // Which of them is damaged shows when each is decoded alone.
    if (DecodeInStep(Join16(a.split), first, second, token_count)) {
      return {true, true};
    }
  }
  return {Decode(first, token_count), Decode(second, token_count)};
}

// ------------------------------------------------------------------ encode

struct Entries {
  V32 frequency;
  V32 start;
  V32 reciprocal;
};

HWY_INLINE Entries GatherEntries(const ExactEncodeEntry* encode, V32 index) {
  const D32 d;
  const hn::RebindToSigned<D32> di;
  static_assert(sizeof(ExactEncodeEntry) == 8);
  const auto* base = reinterpret_cast<const uint32_t*>(encode);
  const auto twice = hn::BitCast(di, hn::Add(index, index));
  const V32 entry = hn::GatherIndex(d, base, twice);
  return {hn::And(entry, hn::Set(d, 0xffffu)), hn::ShiftRight<16>(entry),
          hn::GatherIndex(d, base + 1, twice)};
}

// Symbols of a vector of lanes, symbols of frequency 0 escaped, and entries.
HWY_INLINE V32 FindEntries(const ExactEncodeEntry* encode, V32 symbols,
                           const uint32_t* table_slot, Entries* entries) {
  const D32 d;
  const V32 base = hn::ShiftRight<4>(hn::Load(d, table_slot));
  *entries = GatherEntries(encode, hn::Add(base, symbols));
  const M32 none = hn::Eq(entries->frequency, hn::Zero(d));
  if (HWY_UNLIKELY(!hn::AllFalse(d, none))) {
    symbols = hn::IfThenElse(none, hn::Set(d, kExactEscape), symbols);
    *entries = GatherEntries(encode, hn::Add(base, symbols));
  }
  return symbols;
}

HWY_INLINE V32 PutSymbol(V32 x, const Entries& e) {
  return rans::PutSymbol<kExactProbabilityBits>(x, e.frequency, e.start,
                                                e.reciprocal);
}

HWY_INLINE uint16_t* EncodeRow(V32 (&x)[kVectors], const ExactStream& stream,
                               const ExactEncodeEntry* encode,
                               const uint16_t* keys, uint32_t first_channel,
                               uint32_t lanes, uint16_t* word) {
  const D32 d;
  const uint32_t* table_slot = stream.lanes->table_slot + first_channel;
  const V16 mask =
      hn::Set(D16(), static_cast<uint16_t>(stream.split.key_mask()));
  const V16 escape = hn::Set(D16(), uint16_t{kExactEscape});
  Entries entries[kVectors];
  uint32_t escaped = 0;
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kPairs; ++i) {
    const uint32_t first = i * 2 * kLanes32;
    const V16 offset =
        hn::Load(D16(), stream.lanes->offset + first_channel + first);
    const V16 key = hn::Load(D16(), keys + first);
    const V16 symbols = hn::Min(hn::And(hn::Sub(key, offset), mask), escape);
    const hn::Half<D16> half;
    const V32 low =
        FindEntries(encode, hn::PromoteTo(d, hn::LowerHalf(half, symbols)),
                    table_slot + first, &entries[2 * i]);
    const V32 high =
        FindEntries(encode, hn::PromoteTo(d, hn::UpperHalf(half, symbols)),
                    table_slot + first + kLanes32, &entries[2 * i + 1]);
    const V32 escape32 = hn::Set(d, kExactEscape);
    escaped |= Bits(hn::Eq(low, escape32)) << first;
    escaped |= Bits(hn::Eq(high, escape32)) << (first + kLanes32);
  }
  if (lanes < kExactLanes) escaped &= (1u << lanes) - 1;
  while (HWY_UNLIKELY(escaped != 0)) {
    const uint32_t lane = 31 - static_cast<uint32_t>(__builtin_clz(escaped));
    *--word = keys[lane];
    escaped ^= 1u << lane;
  }
#pragma GCC unroll 8
  for (uint32_t v = kVectors; v-- > 0;) {
    const Entries& e = entries[v];
    M32 full = AtLeast(hn::ShiftRight<22>(x[v]), e.frequency);
    const uint32_t first = v * kLanes32;
    const M32 active = hn::FirstN(d, lanes > first ? lanes - first : 0);
    if (lanes < kExactLanes) full = hn::And(full, active);
    word = GiveWords(x[v], Bits(full), word);
    const V32 rest = hn::IfThenElse(full, hn::ShiftRight<16>(x[v]), x[v]);
    const V32 next = PutSymbol(rest, e);
    x[v] = lanes < kExactLanes ? hn::IfThenElse(active, next, x[v]) : next;
  }
  return word;
}

// Values of 16 bits to keys and raw bits. Fields are joined two by two: in
// 32 bits, in 64, and the two halves of a block in general registers.
class Split16 {
 public:
  explicit Split16(const ExactSplit& split) : split_(split) {
    const uint32_t low = (1u << split.sign_bit) - 1;
    low_ = hn::Set(D16(), static_cast<uint16_t>(low & 0x7fff));
    high_ = hn::Set(D16(), static_cast<uint16_t>(~low & 0x7fff));
    sign_ = hn::Set(D16(), static_cast<uint16_t>(1u << split.sign_bit));
    field_ = hn::Set(D16(), static_cast<uint16_t>((1u << split.raw_bits) - 1));
  }

  HWY_INLINE void Put(V16 values, uint16_t* keys, uint8_t* raw) const {
    const D16 d;
    const int w = static_cast<int>(split_.raw_bits);
    const int p = static_cast<int>(split_.sign_bit);
    const V16 code = hn::Or(
        hn::Or(hn::ShiftLeft<1>(hn::And(values, high_)), hn::And(values, low_)),
        hn::And(hn::ShiftRightSame(values, 15 - p), sign_));
    hn::Store(hn::ShiftRightSame(code, w), d, keys);
    const hn::Repartition<uint64_t, D16> d64;
    const V16 field = hn::And(code, field_);
    const V32 f32 = hn::BitCast(D32(), field);
    const V32 two = hn::Or(hn::And(f32, hn::Set(D32(), 0xffffu)),
                           hn::ShiftLeftSame(hn::ShiftRight<16>(f32), w));
    const auto t64 = hn::BitCast(d64, two);
    const auto four = hn::Or(hn::And(t64, hn::Set(d64, uint64_t{0xffffffff})),
                             hn::ShiftLeftSame(hn::ShiftRight<32>(t64), 2 * w));
    alignas(64) uint64_t parts[8];
    hn::Store(four, d64, parts);
    // A block's w bytes; what is stored behind them is overwritten next.
    for (uint32_t b = 0; b < sizeof(V16) / 16; ++b, raw += w) {
      const uint64_t a = parts[2 * b];
      const uint64_t c = parts[2 * b + 1];
      const uint64_t first = a | c << (4 * w);
      const uint64_t second = c >> (64 - 4 * w);
      std::memcpy(raw, &first, 8);
      std::memcpy(raw + 8, &second, 8);
    }
  }

 private:
  ExactSplit split_;
  V16 low_, high_, sign_, field_;
};

void SplitRows16(const ExactStream& stream, const uint8_t* rows,
                 uint64_t stride, ExactEncodeOut* out) {
  const D16 d;
  const Split16 split(stream.split);
  uint8_t* raw = out->raw;
  uint16_t* keys = out->keys;
  for (uint32_t t = 0; t < stream.tokens; ++t) {
    const uint8_t* in = rows + t * stride;
    for (uint32_t r = 0; r < stream.rows_per_token(); ++r) {
      uint8_t values[kExactLanes * 2] = {};
      const uint32_t lanes = ExactLaneCount(stream, r);
      const uint8_t* from = in;
      if (lanes < kExactLanes) {
        std::memcpy(values, in, lanes * 2);
        from = values;
      }
#pragma GCC unroll 4
      for (uint32_t i = 0; i < kPairs; ++i) {
        const uint32_t first = i * 2 * kLanes32;
        split.Put(LoadBytes(d, from + first * 2), keys + first,
                  raw + first / 8 * stream.split.raw_bits);
      }
      raw += stream.split.raw_bits * 4;
      keys += kExactLanes;
      in += kExactLanes * 2;
    }
  }
}

void SplitRowsAny(const ExactStream& stream, const uint8_t* rows,
                  uint64_t stride, ExactEncodeOut* out) {
  const uint32_t rows_per_token = stream.rows_per_token();
  std::memset(out->raw, 0, stream.raw_bytes() + sizeof(uint32_t));
  for (uint32_t row = 0; row < stream.rows(); ++row) {
    const uint32_t r = row % rows_per_token;
    ExactSplitRow(stream.split,
                  rows + row / rows_per_token * stride +
                      r * kExactLanes * stream.split.element_bytes,
                  ExactLaneCount(stream, r), out->keys + row * kExactLanes,
                  out->raw + row * stream.split.raw_bits * 4);
  }
}

uint32_t Encode(const ExactStream& stream, const ExactEncodeEntry* encode,
                const uint8_t* rows, uint64_t stride, ExactEncodeOut* out) {
  const D32 d;
  // 16 bytes hold 8 fields of up to 15 bits, and shifts stay below 64.
  if (stream.split.element_bytes == 2 && stream.split.raw_bits > 0) {
    SplitRows16(stream, rows, stride, out);
  } else {
    SplitRowsAny(stream, rows, stride, out);
  }
  V32 x[kVectors];
  for (V32& v : x) v = hn::Set(d, kExactLowState);
  uint16_t* const end = out->words + ExactMaxWords(stream);
  uint16_t* word = end;
  uint32_t row = stream.rows();
  for (uint32_t t = stream.tokens; t-- > 0;) {
    for (uint32_t r = stream.rows_per_token(); r-- > 0;) {
      --row;
      word = EncodeRow(x, stream, encode, out->keys + row * kExactLanes,
                       r * kExactLanes, ExactLaneCount(stream, r), word);
    }
  }
  alignas(64) uint32_t states[kExactLanes];
  for (uint32_t i = 0; i < kVectors; ++i) {
    hn::Store(x[i], d, states + i * kLanes32);
  }
  std::memcpy(out->states, states, sizeof states);
  return static_cast<uint32_t>(end - word);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Decode);
HWY_EXPORT(DecodePair);
HWY_EXPORT(Encode);

bool ExactDecode(const ExactDecodeJob& job, uint32_t token_count) {
  return HWY_DYNAMIC_DISPATCH(Decode)(job, token_count);
}

ExactPairResult ExactDecodePair(const ExactDecodeJob& first,
                                const ExactDecodeJob& second,
                                uint32_t token_count) {
  return HWY_DYNAMIC_DISPATCH(DecodePair)(first, second, token_count);
}

uint32_t ExactEncode(const ExactStream& stream, const ExactEncodeEntry* encode,
                     const uint8_t* rows, uint64_t stride,
                     ExactEncodeOut* out) {
  return HWY_DYNAMIC_DISPATCH(Encode)(stream, encode, rows, stride, out);
}

std::vector<int64_t> ExactTargets() {
  return hwy::SupportedAndGeneratedTargets();
}

std::string_view ExactTargetName(int64_t target) {
  return hwy::TargetName(target);
}

void ChooseExactTarget(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace reprise
#endif  // HWY_ONCE
