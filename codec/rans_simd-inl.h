// Pieces of interleaved rANS coders in vectors: states of 32 bits, words of 16
// bits, 32 lanes that take turns at one sequence of words. For sources that
// are compiled once an instruction set; to be included after hwy/highway.h.
#if defined(REPRISE_CODEC_RANS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REPRISE_CODEC_RANS_SIMD_INL_H_
#undef REPRISE_CODEC_RANS_SIMD_INL_H_
#else
#define REPRISE_CODEC_RANS_SIMD_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {
namespace rans {

#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::CappedTag<uint32_t, 16>;
using D16 = hn::Repartition<uint16_t, D32>;
using V32 = hn::VFromD<D32>;
using V16 = hn::VFromD<D16>;
using M32 = hn::Mask<D32>;

constexpr uint32_t kLanes = 32;  // of a row
constexpr uint32_t kLanes32 = hn::MaxLanes(D32());
constexpr uint32_t kVectors = kLanes / kLanes32;
constexpr uint32_t kPairs = kVectors / 2;  // of u16 vectors in a row

// [mask of up to 8 lanes][lane]: which of the packed words a lane takes, and
// the reverse with packed words at the end.
struct MaskTables {
  uint8_t expand[256][8];
  uint8_t compress[256][8];
};

constexpr MaskTables MakeMaskTables() {
  constexpr uint32_t lanes = kLanes32 < 8 ? kLanes32 : 8;
  MaskTables tables{};
  for (uint32_t mask = 0; mask < (1u << lanes); ++mask) {
    uint32_t set = 0;
    for (uint32_t l = 0; l < lanes; ++l) {
      tables.expand[mask][l] = static_cast<uint8_t>(set);
      set += mask >> l & 1;
    }
    uint32_t at = lanes - set;
    for (uint32_t l = 0; l < lanes; ++l) {
      if (mask >> l & 1) tables.compress[mask][at++] = static_cast<uint8_t>(l);
    }
  }
  return tables;
}

alignas(64) constexpr MaskTables kMaskTables = MakeMaskTables();

HWY_INLINE uint32_t Bits(M32 mask) {
  uint8_t bytes[8] = {};
  hn::StoreMaskBits(D32(), mask, bytes);
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return bits;
}

// Words lie at any address: they are loaded and stored as bytes.
HWY_INLINE V32 LoadWords(const uint8_t* p) {
  const hn::Rebind<uint16_t, D32> d;
  const hn::Repartition<uint8_t, decltype(d)> d8;
  return hn::PromoteTo(D32(), hn::BitCast(d, hn::LoadU(d8, p)));
}

#if HWY_TARGET == HWY_AVX3

HWY_INLINE V32 TakeWords(const uint8_t* words, uint32_t bits) {
  return V32{_mm512_maskz_expand_epi32(static_cast<__mmask16>(bits),
                                       LoadWords(words).raw)};
}

// Puts the low words of the chosen lanes in front of `end`.
HWY_INLINE uint16_t* GiveWords(V32 x, uint32_t bits, uint16_t* end) {
  const uint32_t count = static_cast<uint32_t>(__builtin_popcount(bits));
  const __m256i words = _mm512_cvtepi32_epi16(
      _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), x.raw));
  end -= count;
  _mm256_mask_storeu_epi16(end, static_cast<__mmask16>((1u << count) - 1),
                           words);
  return end;
}

#else

HWY_INLINE V32 Permute(V32 v, const uint8_t* index8) {
  const hn::Rebind<uint8_t, D32> d8;
  const V32 index = hn::PromoteTo(D32(), hn::LoadU(d8, index8));
  return hn::TableLookupLanes(v, hn::IndicesFromVec(D32(), index));
}

HWY_INLINE V32 TakeWords(const uint8_t* words, uint32_t bits) {
  return Permute(LoadWords(words), kMaskTables.expand[bits]);
}

HWY_INLINE uint16_t* GiveWords(V32 x, uint32_t bits, uint16_t* end) {
  const V16 packed = hn::BitCast(D16(), Permute(x, kMaskTables.compress[bits]));
  // A whole vector that ends at `end`: what is too much lies in front.
  const hn::Half<D16> d;
  hn::StoreU(hn::LowerHalf(d, hn::ConcatEven(D16(), packed, packed)), d,
             end - kLanes32);
  return end - __builtin_popcount(bits);
}

#endif

// a >= b, of numbers below 2^31.
HWY_INLINE M32 AtLeast(V32 a, V32 b) {
  const hn::RebindToSigned<D32> di;
  const auto below_b = hn::Sub(hn::BitCast(di, b), hn::Set(di, 1));
  return hn::RebindMask(D32(), hn::Gt(hn::BitCast(di, a), below_b));
}

// x * r >> 32, lane by lane.
HWY_INLINE V32 MulHigh(V32 x, V32 r) {
  const hn::Repartition<uint64_t, D32> d64;
  const auto even = hn::ShiftRight<32>(hn::MulEven(x, r));
  const auto odd =
      hn::MulEven(hn::BitCast(D32(), hn::ShiftRight<32>(hn::BitCast(d64, x))),
                  hn::BitCast(D32(), hn::ShiftRight<32>(hn::BitCast(d64, r))));
  const auto high = hn::Set(d64, 0xffffffff00000000u);
  return hn::BitCast(D32(), hn::Or(even, hn::And(odd, high)));
}

// A state after a symbol was decoded and before it is renormalised becomes
// what it is after: lanes below 2^16, of those in `active`, take a word each.
template <bool kShort>
HWY_INLINE V32 Renormalise(V32 next, M32 active, const uint8_t* words,
                           uint32_t* cursor) {
  const D32 d;
  M32 low = hn::Eq(hn::ShiftRight<16>(next), hn::Zero(d));
  if (kShort) low = hn::And(low, active);
  const uint32_t bits = Bits(low);
  const V32 taken = TakeWords(words + 2 * uint64_t{*cursor}, bits);
  *cursor += static_cast<uint32_t>(__builtin_popcount(bits));
  return hn::IfThenElse(low, hn::Or(hn::ShiftLeft<16>(next), taken), next);
}

// Puts symbols of `frequency` and `start` into the states, whose words are
// given away first. `reciprocal` is floor(2^32 / frequency), and 2^32 - 1 for
// a frequency of 1.
template <int kProbabilityBits>
HWY_INLINE V32 PutSymbol(V32 x, V32 frequency, V32 start, V32 reciprocal) {
  const D32 d;
  const V32 q = MulHigh(x, reciprocal);
  const V32 rest = hn::Sub(x, hn::Mul(q, frequency));
  const V32 gap = hn::Sub(hn::Set(d, 1u << kProbabilityBits), frequency);
  // (q << bits) + rest + start; q is one short where rest is not below f.
  const V32 sum =
      hn::Add(hn::Add(hn::ShiftLeft<kProbabilityBits>(q), rest), start);
  return hn::Add(sum, hn::IfThenElseZero(AtLeast(rest, frequency), gap));
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace rans
}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
