// One source for all instruction sets (Highway). Lanes are vectors to be
// coded; a centroid's components are broadcast to them. No fused operations:
// targets without them must find the same centroids.
#include "codec/vector_simd.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, kVectorLanes>;
using DU = hn::RebindToUnsigned<DF>;
using VF = hn::VFromD<DF>;
using VU = hn::VFromD<DU>;

constexpr uint32_t kLanes = hn::MaxLanes(DF());
// Vectors in flight: as many as the registers hold.
constexpr uint32_t kManyRegisters = kLanes == 16 ? 1 : 0;

HWY_INLINE void StoreCodes(VU codes, uint8_t* out) {
  alignas(64) uint32_t wide[kLanes];
  hn::Store(codes, DU(), wide);
  for (uint32_t l = 0; l < kLanes; ++l) out[l] = static_cast<uint8_t>(wide[l]);
}

// Of kCount vectors of lanes from `first` on, with the width known.
template <uint32_t kWidth, uint32_t kCount>
HWY_INLINE void NearestOf(const VectorSearch& search, uint32_t first,
                          uint8_t* codes) {
  const DF d;
  const DU du;
  VF values[kCount][kWidth];
  VF best[kCount];
  VU code[kCount];
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kCount; ++i) {
#pragma GCC unroll 8
    for (uint32_t j = 0; j < kWidth; ++j) {
      values[i][j] = hn::LoadU(
          d, search.values + j * search.value_stride + first + i * kLanes);
    }
    best[i] = hn::Set(d, std::numeric_limits<float>::infinity());
    code[i] = hn::Zero(du);
  }
  const float* centroid = search.centroids;
  VU index = hn::Zero(du);
  for (uint32_t c = 0; c < search.centroid_count; ++c, centroid += kWidth) {
    VF score[kCount];
#pragma GCC unroll 4
    for (uint32_t i = 0; i < kCount; ++i) {
      score[i] = hn::Set(d, search.half_norms[c]);
    }
#pragma GCC unroll 8
    for (uint32_t j = 0; j < kWidth; ++j) {
      const VF component = hn::Set(d, centroid[j]);
#pragma GCC unroll 4
      for (uint32_t i = 0; i < kCount; ++i) {
        score[i] = hn::Sub(score[i], hn::Mul(values[i][j], component));
      }
    }
#pragma GCC unroll 4
    for (uint32_t i = 0; i < kCount; ++i) {
      const auto nearer = hn::Lt(score[i], best[i]);
      best[i] = hn::IfThenElse(nearer, score[i], best[i]);
      code[i] = hn::IfThenElse(hn::RebindMask(du, nearer), index, code[i]);
    }
    index = hn::Add(index, hn::Set(du, 1u));
  }
#pragma GCC unroll 4
  for (uint32_t i = 0; i < kCount; ++i) {
    StoreCodes(code[i], codes + first + i * kLanes);
  }
}

template <uint32_t kWidth, uint32_t kCount>
void NearestOfWidth(const VectorSearch& search, uint8_t* codes) {
  const uint32_t end = RoundUpToLanes(search.count);
  uint32_t first = 0;
  for (; first + kCount * kLanes <= end; first += kCount * kLanes) {
    NearestOf<kWidth, kCount>(search, first, codes);
  }
  for (; first < end; first += kLanes) {
    NearestOf<kWidth, 1>(search, first, codes);
  }
}

// Any width: components are loaded again for each centroid.
void NearestOfAnyWidth(const VectorSearch& search, uint8_t* codes) {
  const DF d;
  const DU du;
  const uint32_t end = RoundUpToLanes(search.count);
  for (uint32_t first = 0; first < end; first += kLanes) {
    VF best = hn::Set(d, std::numeric_limits<float>::infinity());
    VU code = hn::Zero(du);
    for (uint32_t c = 0; c < search.centroid_count; ++c) {
      VF score = hn::Set(d, search.half_norms[c]);
      for (uint32_t j = 0; j < search.width; ++j) {
        const VF value =
            hn::LoadU(d, search.values + j * search.value_stride + first);
        const VF component =
            hn::Set(d, search.centroids[uint64_t{c} * search.width + j]);
        score = hn::Sub(score, hn::Mul(value, component));
      }
      const auto nearer = hn::Lt(score, best);
      best = hn::IfThenElse(nearer, score, best);
      code = hn::IfThenElse(hn::RebindMask(du, nearer), hn::Set(du, c), code);
    }
    StoreCodes(code, codes + first);
  }
}

void Nearest(const VectorSearch& search, uint8_t* codes) {
  switch (search.width) {
    case 1:
      return NearestOfWidth<1, 4>(search, codes);
    case 2:
      return NearestOfWidth < 2, kManyRegisters ? 4 : 3 > (search, codes);
    case 4:
      return NearestOfWidth < 4, kManyRegisters ? 4 : 2 > (search, codes);
    case 8:
      return NearestOfWidth < 8, kManyRegisters ? 2 : 1 > (search, codes);
    default:
      return NearestOfAnyWidth(search, codes);
  }
}

void Nearer(const VectorSearch& search, float* distances) {
  const DF d;
  const uint32_t end = RoundUpToLanes(search.count);
  for (uint32_t first = 0; first < end; first += kLanes) {
    VF sum = hn::Zero(d);
    for (uint32_t j = 0; j < search.width; ++j) {
      const VF value =
          hn::LoadU(d, search.values + j * search.value_stride + first);
      const VF off = hn::Sub(value, hn::Set(d, search.centroids[j]));
      sum = hn::Add(sum, hn::Mul(off, off));
    }
    const VF old = hn::LoadU(d, distances + first);
    hn::StoreU(hn::IfThenElse(hn::Lt(sum, old), sum, old), d,
               distances + first);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Nearest);
HWY_EXPORT(Nearer);

void VectorNearest(const VectorSearch& search, uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(Nearest)(search, codes);
}

void VectorNearer(const VectorSearch& search, float* distances) {
  HWY_DYNAMIC_DISPATCH(Nearer)(search, distances);
}

}  // namespace reprise
#endif  // HWY_ONCE
