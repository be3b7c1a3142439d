// One source for all instruction sets (Highway). A row of 32 lanes is 2
// vectors of AVX-512, 4 of AVX2, 8 of NEON. Magnitudes are found by a gather
// from a table of 4,096 slots; the three symbols of a refining stage by two
// comparisons.
#include "codec/klt_entropy_simd.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/klt_entropy_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "codec/rans_simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

bool DecodeMagnitudes(const KltTables& tables, const KltRows& rows,
                      KltDecoder* decoder, int16_t* q) {
  return KltDecodeMagnitudesScalar(tables, rows, decoder, q);
}
bool DecodeRefining(const KltTables& tables, const KltRows& rows,
                    KltDecoder* decoder, int16_t* q) {
  return KltDecodeRefiningScalar(tables, rows, decoder, q);
}
void EncodeMagnitudes(const KltTables& tables, const KltRows& rows,
                      const int16_t* q, KltEncoder* encoder) {
  KltEncodeMagnitudesScalar(tables, rows, q, encoder);
}
void EncodeRefining(const KltTables& tables, const KltRows& rows,
                    const int16_t* coarse, const int16_t* q,
                    KltEncoder* encoder) {
  KltEncodeRefiningScalar(tables, rows, coarse, q, encoder);
}
void WriteSigns(const KltRows& rows, const int16_t* coarse, const int16_t* q,
                KltSignWriter* writer) {
  KltWriteSignsScalar(rows, coarse, q, writer);
}

#else

namespace hn = hwy::HWY_NAMESPACE;
using rans::AtLeast;
using rans::D16;
using rans::D32;
using rans::kLanes32;
using rans::kPairs;
using rans::kVectors;
using rans::M32;
using rans::V16;
using rans::V32;
using DI16 = hn::RebindToSigned<D16>;
using VI16 = hn::VFromD<DI16>;

constexpr uint32_t kLanes16 = 2 * kLanes32;
// 3 m - 1 is above the largest magnitude from here on.
constexpr int16_t kTooLarge = kKltMaxMagnitude / 3 + 1;

// --- Signs: bits of a stream that belong to the set bits of a mask.

HWY_INLINE uint32_t Deposit(uint32_t bits, uint32_t mask) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return _pdep_u32(bits, mask);
#else
  uint32_t out = 0;
  for (; mask != 0; mask &= mask - 1, bits >>= 1) {
    if (bits & 1) out |= mask & (0 - mask);
  }
  return out;
#endif
}

HWY_INLINE uint32_t Extract(uint32_t bits, uint32_t mask) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return _pext_u32(bits, mask);
#else
  uint32_t out = 0;
  for (uint32_t at = 1; mask != 0; mask &= mask - 1, at += at) {
    if (bits & mask & (0 - mask)) out |= at;
  }
  return out;
#endif
}

// The lanes of a row, from the masks of its vectors.
template <class Mask>
HWY_INLINE uint32_t RowBits(const Mask* masks) {
  uint32_t bits = 0;
  for (uint32_t i = 0; i < kPairs; ++i) {
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(DI16(), masks[i], bytes);
    uint32_t part;
    std::memcpy(&part, bytes, sizeof part);
    bits |= part << (i * kLanes16 % 32);
  }
  return bits;
}

HWY_INLINE auto MaskOf(uint32_t row_bits, uint32_t pair) {
  uint8_t bytes[8] = {};
  const uint32_t part = row_bits >> (pair * kLanes16 % 32);
  std::memcpy(bytes, &part, sizeof part);
  return hn::LoadMaskBits(DI16(), bytes);
}

// The signs of the lanes in `mask`: a bit for each that is negative.
HWY_INLINE uint32_t TakeSigns(uint32_t mask, KltDecoder* decoder) {
  const uint64_t at = decoder->sign_cursor;
  uint64_t bits;
  std::memcpy(&bits, decoder->signs + at / 8, sizeof bits);
  decoder->sign_cursor += static_cast<uint32_t>(__builtin_popcount(mask));
  return Deposit(static_cast<uint32_t>(bits >> (at % 8)), mask);
}

HWY_INLINE bool IsInside(const KltDecoder& decoder) {
  return decoder.cursor <= decoder.word_count &&
         decoder.sign_cursor <= decoder.sign_count;
}

template <class Coder>
HWY_INLINE void LoadStates(const Coder& coder, V32 (&x)[kVectors]) {
#pragma GCC unroll 8
  for (uint32_t v = 0; v < kVectors; ++v) {
    x[v] = hn::Load(D32(), coder.x + v * kLanes32);
  }
}

template <class Coder>
HWY_INLINE void StoreStates(const V32 (&x)[kVectors], Coder* coder) {
#pragma GCC unroll 8
  for (uint32_t v = 0; v < kVectors; ++v) {
    hn::Store(x[v], D32(), coder->x + v * kLanes32);
  }
}

// Lanes of vector v below `lanes`.
HWY_INLINE M32 Active(uint32_t v, uint32_t lanes) {
  const uint32_t first = v * kLanes32;
  return hn::FirstN(D32(), lanes > first ? lanes - first : 0);
}

// Two vectors of 32-bit lanes to one of 16.
HWY_INLINE V16 Narrow(V32 low, V32 high) {
  return hn::ConcatEven(D16(), hn::BitCast(D16(), high),
                        hn::BitCast(D16(), low));
}

// Half `h` of a vector of 16-bit lanes.
HWY_INLINE V32 Widen(V16 v, uint32_t h) {
  const hn::Half<D16> half;
  return h == 0 ? hn::PromoteTo(D32(), hn::LowerHalf(half, v))
                : hn::PromoteTo(D32(), hn::UpperHalf(half, v));
}

// ------------------------------------------------------------------ decode

// Magnitudes get their signs and are stored; `is_new` lanes take one each.
HWY_INLINE void StoreSigned(const VI16 (&m)[kPairs], uint32_t negative,
                            int16_t* q) {
  const DI16 d;
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kPairs; ++i) {
    const VI16 value = hn::IfThenElse(MaskOf(negative, i), hn::Neg(m[i]), m[i]);
    hn::StoreU(value, d, q + i * kLanes16);
  }
}

HWY_NOINLINE bool TakeEscapes(uint32_t escaped, KltDecoder* decoder,
                              VI16 (&m)[kPairs]) {
  alignas(64) int16_t all[kKltLanes];
  for (uint32_t i = 0; i < kPairs; ++i) {
    hn::Store(m[i], DI16(), all + i * kLanes16);
  }
  bool fits = true;
  for (; escaped != 0; escaped &= escaped - 1) {
    int16_t word;
    std::memcpy(&word, decoder->words + 2 * uint64_t{decoder->cursor++}, 2);
    fits &= word >= 0;
    all[__builtin_ctz(escaped)] = word;
  }
  for (uint32_t i = 0; i < kPairs; ++i) {
    m[i] = hn::Load(DI16(), all + i * kLanes16);
  }
  return fits;
}

template <bool kShort>
HWY_INLINE bool DecodeMagnitudeRow(const uint32_t* table, uint32_t lanes,
                                   V32 (&x)[kVectors], KltDecoder* decoder,
                                   int16_t* q) {
  const D32 d;
  const DI16 di;
  const V32 slots = hn::Set(d, kKltSlots - 1);
  VI16 m[kPairs];
  hn::Mask<DI16> masks[kPairs];
  bool any_escape = false;
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kPairs; ++i) {
    V32 halves[2];
#pragma GCC unroll 2
    for (uint32_t h = 0; h < 2; ++h) {
      const uint32_t v = 2 * i + h;
      const M32 active = Active(v, lanes);
      const V32 slot = hn::And(x[v], slots);
      const V32 entry = hn::GatherIndex(
          d, table, hn::BitCast(hn::RebindToSigned<D32>(), slot));
      const V32 f = hn::And(hn::ShiftRight<kKltFrequencyShift>(entry), slots);
      V32 next = hn::Add(hn::Mul(f, hn::ShiftRight<kKltProbabilityBits>(x[v])),
                         hn::And(entry, slots));
      next = rans::Renormalise<kShort>(next, active, decoder->words,
                                       &decoder->cursor);
      x[v] = kShort ? hn::IfThenElse(active, next, x[v]) : next;
      halves[h] = hn::ShiftRight<kKltSymbolShift>(entry);
      if (kShort) halves[h] = hn::IfThenElseZero(active, halves[h]);
    }
    m[i] = hn::BitCast(di, Narrow(halves[0], halves[1]));
    masks[i] = hn::Eq(m[i], hn::Set(di, int16_t{kKltEscape}));
    any_escape |= !hn::AllFalse(di, masks[i]);
  }
  if (HWY_UNLIKELY(any_escape) && !TakeEscapes(RowBits(masks), decoder, m)) {
    return false;
  }
  for (uint32_t i = 0; i < kPairs; ++i) masks[i] = hn::Ne(m[i], hn::Zero(di));
  StoreSigned(m, TakeSigns(RowBits(masks), decoder), q);
  return IsInside(*decoder);
}

bool DecodeMagnitudes(const KltTables& tables, const KltRows& rows,
                      KltDecoder* decoder, int16_t* q) {
  V32 x[kVectors];
  LoadStates(*decoder, x);
  bool whole = true;
  for (uint32_t r = 0; r < rows.count && whole; ++r, q += kKltLanes) {
    const uint32_t* table =
        tables.decode_magnitudes.data() + uint64_t{rows.Table(r)} * kKltSlots;
    const uint32_t lanes = rows.Lanes(r);
    whole = lanes == kKltLanes
                ? DecodeMagnitudeRow<false>(table, lanes, x, decoder, q)
                : DecodeMagnitudeRow<true>(table, lanes, x, decoder, q);
  }
  StoreStates(x, decoder);
  return whole;
}

// Where +1 and -1 start, by context.
struct Starts {
  V32 one[kKltContexts];
  V32 two[kKltContexts];
};

HWY_INLINE Starts StartsOf(const KltEncodeEntry* entries) {
  Starts starts;
  for (uint32_t c = 0; c < kKltContexts; ++c) {
    starts.one[c] = hn::Set(D32(), entries[4 * c + 1].start());
    starts.two[c] = hn::Set(D32(), entries[4 * c + 2].start());
  }
  return starts;
}

// By magnitude 0, 1 or more.
HWY_INLINE V32 ByContext(M32 is_zero, M32 is_one,
                         const V32 (&v)[kKltContexts]) {
  return hn::IfThenElse(is_zero, v[0], hn::IfThenElse(is_one, v[1], v[2]));
}

template <bool kShort>
HWY_INLINE bool RefineRow(const Starts& starts, uint32_t lanes,
                          V32 (&x)[kVectors], KltDecoder* decoder, int16_t* q) {
  const D32 d;
  const DI16 di;
  const V32 slots = hn::Set(d, kKltSlots - 1);
  VI16 m[kPairs];
  hn::Mask<DI16> fresh[kPairs];
  hn::Mask<DI16> negative[kPairs];
  bool fits = true;
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kPairs; ++i) {
    const VI16 old = hn::LoadU(di, q + i * kLanes16);
    const VI16 magnitude = hn::Abs(old);
    negative[i] = hn::Lt(old, hn::Zero(di));
    fits &= hn::AllTrue(di, hn::Lt(magnitude, hn::Set(di, kTooLarge)));
    V32 halves[2];
#pragma GCC unroll 2
    for (uint32_t h = 0; h < 2; ++h) {
      const uint32_t v = 2 * i + h;
      const M32 active = Active(v, lanes);
      const V32 wide = Widen(hn::BitCast(D16(), magnitude), h);
      const M32 is_zero = hn::Eq(wide, hn::Zero(d));
      const M32 is_one = hn::Eq(wide, hn::Set(d, 1));
      const V32 one = ByContext(is_zero, is_one, starts.one);
      const V32 two = ByContext(is_zero, is_one, starts.two);
      const V32 slot = hn::And(x[v], slots);
      const M32 from_one = AtLeast(slot, one);
      const M32 from_two = AtLeast(slot, two);
      const V32 start =
          hn::IfThenElse(from_two, two, hn::IfThenElseZero(from_one, one));
      const V32 end = hn::IfThenElse(from_two, hn::Set(d, kKltSlots),
                                     hn::IfThenElse(from_one, two, one));
      V32 next = hn::Add(hn::Mul(hn::Sub(end, start),
                                 hn::ShiftRight<kKltProbabilityBits>(x[v])),
                         hn::Sub(slot, start));
      next = rans::Renormalise<kShort>(next, active, decoder->words,
                                       &decoder->cursor);
      x[v] = kShort ? hn::IfThenElse(active, next, x[v]) : next;
      // 1 from +1 on, less 2 from -1 on.
      V32 delta = hn::Sub(hn::IfThenElseZero(from_one, hn::Set(d, 1)),
                          hn::IfThenElseZero(from_two, hn::Set(d, 2)));
      if (kShort) delta = hn::IfThenElseZero(active, delta);
      halves[h] = delta;
    }
    const VI16 delta = hn::BitCast(di, Narrow(halves[0], halves[1]));
    m[i] = hn::Add(hn::Add(magnitude, hn::Add(magnitude, magnitude)), delta);
    fresh[i] =
        hn::And(hn::Eq(magnitude, hn::Zero(di)), hn::Ne(m[i], hn::Zero(di)));
  }
  const uint32_t signs = TakeSigns(RowBits(fresh), decoder);
  StoreSigned(m, RowBits(negative) | signs, q);
  return fits && IsInside(*decoder);
}

bool DecodeRefining(const KltTables& tables, const KltRows& rows,
                    KltDecoder* decoder, int16_t* q) {
  V32 x[kVectors];
  LoadStates(*decoder, x);
  bool whole = true;
  for (uint32_t r = 0; r < rows.count && whole; ++r, q += kKltLanes) {
    const Starts starts = StartsOf(tables.Refining(rows.Table(r)));
    const uint32_t lanes = rows.Lanes(r);
    whole = lanes == kKltLanes ? RefineRow<false>(starts, lanes, x, decoder, q)
                               : RefineRow<true>(starts, lanes, x, decoder, q);
  }
  StoreStates(x, decoder);
  return whole;
}

// ------------------------------------------------------------------ encode

struct Entries {
  V32 frequency;
  V32 start;
  V32 reciprocal;
};

HWY_INLINE Entries GatherEntries(const KltEncodeEntry* encode, V32 index) {
  const D32 d;
  static_assert(sizeof(KltEncodeEntry) == 8);
  const auto* base = reinterpret_cast<const uint32_t*>(encode);
  const auto twice =
      hn::BitCast(hn::RebindToSigned<D32>(), hn::Add(index, index));
  const V32 entry = hn::GatherIndex(d, base, twice);
  return {hn::And(entry, hn::Set(d, 0xffffu)), hn::ShiftRight<16>(entry),
          hn::GatherIndex(d, base + 1, twice)};
}

// Puts a row of symbols, the last lane first.
HWY_INLINE void PutRow(const Entries (&entries)[kVectors], uint32_t lanes,
                       V32 (&x)[kVectors], KltEncoder* encoder) {
#pragma GCC unroll 8
  for (uint32_t v = kVectors; v-- > 0;) {
    const Entries& e = entries[v];
    const M32 active = Active(v, lanes);
    const M32 full =
        hn::And(active, AtLeast(hn::ShiftRight<20>(x[v]), e.frequency));
    encoder->word = rans::GiveWords(x[v], rans::Bits(full), encoder->word);
    const V32 rest = hn::IfThenElse(full, hn::ShiftRight<16>(x[v]), x[v]);
    const V32 next = rans::PutSymbol<kKltProbabilityBits>(
        rest, e.frequency, e.start, e.reciprocal);
    x[v] = hn::IfThenElse(active, next, x[v]);
  }
}

void EncodeMagnitudes(const KltTables& tables, const KltRows& rows,
                      const int16_t* q, KltEncoder* encoder) {
  const D32 d;
  const DI16 di;
  V32 x[kVectors];
  LoadStates(*encoder, x);
  for (uint32_t r = rows.count; r-- > 0;) {
    const KltEncodeEntry* encode =
        tables.encode_magnitudes.data() + rows.Table(r) * kKltMagnitudes;
    const uint32_t lanes = rows.Lanes(r);
    const V32 escape = hn::Set(d, kKltEscape);
    Entries entries[kVectors];
    uint32_t escaped = 0;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < kPairs; ++i) {
      const V16 m = hn::BitCast(
          D16(), hn::Abs(hn::LoadU(di, q + r * kKltLanes + i * kLanes16)));
#pragma GCC unroll 2
      for (uint32_t h = 0; h < 2; ++h) {
        const uint32_t v = 2 * i + h;
        V32 symbol = hn::Min(Widen(m, h), escape);
        entries[v] = GatherEntries(encode, symbol);
        const M32 none = hn::Eq(entries[v].frequency, hn::Zero(d));
        if (HWY_UNLIKELY(!hn::AllFalse(d, none))) {
          symbol = hn::IfThenElse(none, escape, symbol);
          entries[v] = GatherEntries(encode, symbol);
        }
        escaped |= rans::Bits(hn::And(hn::Eq(symbol, escape), Active(v, lanes)))
                   << (v * kLanes32);
      }
    }
    while (HWY_UNLIKELY(escaped != 0)) {
      const uint32_t lane = 31 - static_cast<uint32_t>(__builtin_clz(escaped));
      const int16_t value = q[r * kKltLanes + lane];
      *--encoder->word = static_cast<uint16_t>(value < 0 ? -value : value);
      escaped ^= 1u << lane;
    }
    PutRow(entries, lanes, x, encoder);
  }
  StoreStates(x, encoder);
}

void EncodeRefining(const KltTables& tables, const KltRows& rows,
                    const int16_t* coarse, const int16_t* q,
                    KltEncoder* encoder) {
  const DI16 di;
  V32 x[kVectors];
  LoadStates(*encoder, x);
  for (uint32_t r = rows.count; r-- > 0;) {
    const KltEncodeEntry* encode = tables.Refining(rows.Table(r));
    Entries entries[kVectors];
#pragma GCC unroll 4
    for (uint32_t i = 0; i < kPairs; ++i) {
      const uint32_t at = r * kKltLanes + i * kLanes16;
      const VI16 m = hn::Abs(hn::LoadU(di, coarse + at));
      const VI16 fine = hn::Abs(hn::LoadU(di, q + at));
      const VI16 delta = hn::Sub(fine, hn::Add(m, hn::Add(m, m)));
      // 4 contexts of symbols 0, 1 and, for -1, 2.
      const VI16 symbol = hn::IfThenElse(hn::Lt(delta, hn::Zero(di)),
                                         hn::Set(di, int16_t{2}), delta);
      const VI16 context = hn::Min(m, hn::Set(di, int16_t{2}));
      const V16 index =
          hn::BitCast(D16(), hn::Add(hn::ShiftLeft<2>(context), symbol));
      entries[2 * i] = GatherEntries(encode, Widen(index, 0));
      entries[2 * i + 1] = GatherEntries(encode, Widen(index, 1));
    }
    PutRow(entries, rows.Lanes(r), x, encoder);
  }
  StoreStates(x, encoder);
}

void WriteSigns(const KltRows& rows, const int16_t* coarse, const int16_t* q,
                KltSignWriter* writer) {
  const DI16 di;
  for (uint32_t r = 0; r < rows.count; ++r) {
    hn::Mask<DI16> fresh[kPairs];
    hn::Mask<DI16> negative[kPairs];
    for (uint32_t i = 0; i < kPairs; ++i) {
      const uint32_t at = r * kKltLanes + i * kLanes16;
      const VI16 value = hn::LoadU(di, q + at);
      negative[i] = hn::Lt(value, hn::Zero(di));
      fresh[i] = hn::Ne(value, hn::Zero(di));
      if (coarse != nullptr) {
        fresh[i] =
            hn::And(fresh[i], hn::Eq(hn::LoadU(di, coarse + at), hn::Zero(di)));
      }
    }
    const uint32_t mask = RowBits(fresh);
    if (mask == 0) continue;
    const uint64_t bits = Extract(RowBits(negative), mask);
    uint8_t* const to = writer->bytes + writer->count / 8;
    uint64_t held;
    std::memcpy(&held, to, sizeof held);
    held |= bits << (writer->count % 8);
    std::memcpy(to, &held, sizeof held);
    writer->count += static_cast<uint32_t>(__builtin_popcount(mask));
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(DecodeMagnitudes);
HWY_EXPORT(DecodeRefining);
HWY_EXPORT(EncodeMagnitudes);
HWY_EXPORT(EncodeRefining);
HWY_EXPORT(WriteSigns);

bool KltDecodeMagnitudes(const KltTables& tables, const KltRows& rows,
                         KltDecoder* decoder, int16_t* q) {
  return HWY_DYNAMIC_DISPATCH(DecodeMagnitudes)(tables, rows, decoder, q);
}

bool KltDecodeRefining(const KltTables& tables, const KltRows& rows,
                       KltDecoder* decoder, int16_t* q) {
  return HWY_DYNAMIC_DISPATCH(DecodeRefining)(tables, rows, decoder, q);
}

void KltEncodeMagnitudes(const KltTables& tables, const KltRows& rows,
                         const int16_t* q, KltEncoder* encoder) {
  HWY_DYNAMIC_DISPATCH(EncodeMagnitudes)(tables, rows, q, encoder);
}

void KltEncodeRefining(const KltTables& tables, const KltRows& rows,
                       const int16_t* coarse, const int16_t* q,
                       KltEncoder* encoder) {
  HWY_DYNAMIC_DISPATCH(EncodeRefining)(tables, rows, coarse, q, encoder);
}

void KltWriteSigns(const KltRows& rows, const int16_t* coarse, const int16_t* q,
                   KltSignWriter* writer) {
  HWY_DYNAMIC_DISPATCH(WriteSigns)(rows, coarse, q, writer);
}

}  // namespace reprise
#endif  // HWY_ONCE
