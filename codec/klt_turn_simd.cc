// One source for all instruction sets (Highway). Machines that cannot fuse a
// product and a sum run the scalar loops.
#include <cmath>

#include "codec/klt_turn.h"
#include "codec/klt_turn_series.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/klt_turn_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || !HWY_NATIVE_FMA

void Table(const KltTurnJob& job, float* cosines, float* sines) {
  KltTurnTableScalar(job, cosines, sines);
}
void Rotate(const KltHeads& shape, const float* cosines, const float* sines,
            float* row) {
  KltRotateScalar(shape, cosines, sines, row);
}
void Unrotate(const KltHeads& shape, const float* cosines, const float* sines,
              float* row) {
  KltUnrotateScalar(shape, cosines, sines, row);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using DD = hn::CappedTag<double, 8>;
using DI = hn::RebindToSigned<DD>;
using DU = hn::RebindToUnsigned<DD>;
using DH = hn::Rebind<float, DD>;  // as many f32
using VD = hn::VFromD<DD>;
using VU = hn::VFromD<DU>;
constexpr uint32_t kLanes64 = hn::MaxLanes(DD());

template <int kCount>
HWY_INLINE VD Series(VD b, const double (&terms)[kCount]) {
  const DD d;
  VD sum = hn::Set(d, terms[kCount - 1]);
#pragma GCC unroll 8
  for (int k = kCount - 2; k >= 0; --k) {
    sum = hn::Add(hn::Set(d, terms[k]), hn::Mul(b, sum));
  }
  return hn::Add(hn::Set(d, 1.0), hn::Mul(b, sum));
}

HWY_INLINE void Turn(VU phase, float* c, float* s) {
  const DD d;
  const DU du;
  const VU quarter =
      hn::ShiftRight<62>(hn::Add(phase, hn::Set(du, uint64_t{1} << 61)));
  const VU rest = hn::Sub(phase, hn::ShiftLeft<62>(quarter));
  const VD a = hn::Mul(hn::ConvertTo(d, hn::BitCast(DI(), rest)),
                       hn::Set(d, kKltRadians));
  const VD b = hn::Mul(a, a);
  const VD sine = hn::Mul(a, Series(b, kKltSineTerms));
  const VD cosine = Series(b, kKltCosineTerms);
  // Odd quarters swap the two. The cosine is negative in quarters 1 and 2, the
  // sine in 2 and 3: bit 1 of quarter + 1 and of quarter, moved to the sign.
  const auto swap = hn::MaskFromVec(hn::BitCast(
      d, hn::Sub(hn::Zero(du), hn::And(quarter, hn::Set(du, uint64_t{1})))));
  const VU top = hn::Set(du, uint64_t{1} << 63);
  const VU minus_sine = hn::And(hn::ShiftLeft<62>(quarter), top);
  const VU minus_cosine = hn::And(
      hn::ShiftLeft<62>(hn::Add(quarter, hn::Set(du, uint64_t{1}))), top);
  const VD x = hn::IfThenElse(swap, sine, cosine);
  const VD y = hn::IfThenElse(swap, cosine, sine);
  const DH dh;
  hn::StoreU(hn::DemoteTo(dh, hn::Xor(x, hn::BitCast(d, minus_cosine))), dh, c);
  hn::StoreU(hn::DemoteTo(dh, hn::Xor(y, hn::BitCast(d, minus_sine))), dh, s);
}

void Table(const KltTurnJob& job, float* cosines, float* sines) {
  const DU du;
  uint32_t j = 0;
  for (; j + kLanes64 <= job.pairs; j += kLanes64) {
    alignas(64) uint64_t first[kLanes64];
    for (uint32_t l = 0; l < kLanes64; ++l) {
      first[l] = job.first_position * job.turns[j + l];
    }
    VU phase = hn::Load(du, first);
    const VU turns = hn::LoadU(du, job.turns + j);
    for (uint32_t t = 0; t < job.tokens; ++t) {
      const uint64_t at = uint64_t{t} * job.pairs + j;
      Turn(phase, cosines + at, sines + at);
      phase = hn::Add(phase, turns);
    }
  }
  for (; j < job.pairs; ++j) {
    uint64_t phase = job.first_position * job.turns[j];
    for (uint32_t t = 0; t < job.tokens; ++t, phase += job.turns[j]) {
      const KltTurn turn = KltTurnOf(phase);
      cosines[uint64_t{t} * job.pairs + j] = turn.c;
      sines[uint64_t{t} * job.pairs + j] = turn.s;
    }
  }
}

using DF = hn::CappedTag<float, 16>;
using VF = hn::VFromD<DF>;
constexpr uint32_t kLanes = hn::MaxLanes(DF());

// kBack: the other way.
template <bool kBack>
HWY_INLINE void TurnPair(VF c, VF s, VF& x0, VF& x1) {
  const VF y0 = kBack ? hn::MulAdd(x0, c, hn::Mul(x1, s))
                      : hn::MulSub(x0, c, hn::Mul(x1, s));
  const VF product = hn::Mul(x0, s);
  x1 = kBack ? hn::MulSub(x1, c, product) : hn::MulAdd(x1, c, product);
  x0 = y0;
}

template <bool kBack>
HWY_INLINE void TurnHead(const KltHeads& shape, const float* cosines,
                         const float* sines, float* head) {
  const DF d;
  const bool adjacent = shape.pairing == KltPairing::kAdjacent;
  uint32_t j = 0;
  for (; j + kLanes <= shape.pairs; j += kLanes) {
    const VF c = hn::LoadU(d, cosines + j);
    const VF s = hn::LoadU(d, sines + j);
    VF x0, x1;
    if (adjacent) {
      hn::LoadInterleaved2(d, head + 2 * j, x0, x1);
      TurnPair<kBack>(c, s, x0, x1);
      hn::StoreInterleaved2(x0, x1, d, head + 2 * j);
    } else {
      x0 = hn::LoadU(d, head + j);
      x1 = hn::LoadU(d, head + shape.pairs + j);
      TurnPair<kBack>(c, s, x0, x1);
      hn::StoreU(x0, d, head + j);
      hn::StoreU(x1, d, head + shape.pairs + j);
    }
  }
  for (; j < shape.pairs; ++j) {
    float* const p0 = head + (adjacent ? 2 * j : j);
    float* const p1 = adjacent ? p0 + 1 : p0 + shape.pairs;
    const float c = cosines[j];
    const float s = kBack ? -sines[j] : sines[j];
    const float x0 = *p0;
    *p0 = std::fma(x0, c, -(*p1 * s));
    *p1 = std::fma(*p1, c, x0 * s);
  }
}

void Rotate(const KltHeads& shape, const float* cosines, const float* sines,
            float* row) {
  for (uint32_t h = 0; h < shape.heads; ++h, row += shape.dim) {
    TurnHead<false>(shape, cosines, sines, row);
  }
}

void Unrotate(const KltHeads& shape, const float* cosines, const float* sines,
              float* row) {
  for (uint32_t h = 0; h < shape.heads; ++h, row += shape.dim) {
    TurnHead<true>(shape, cosines, sines, row);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Table);
HWY_EXPORT(Rotate);
HWY_EXPORT(Unrotate);

void KltTurnTable(const KltTurnJob& job, float* cosines, float* sines) {
  HWY_DYNAMIC_DISPATCH(Table)(job, cosines, sines);
}

void KltRotate(const KltHeads& shape, const float* cosines, const float* sines,
               float* row) {
  HWY_DYNAMIC_DISPATCH(Rotate)(shape, cosines, sines, row);
}

void KltUnrotate(const KltHeads& shape, const float* cosines,
                 const float* sines, float* row) {
  HWY_DYNAMIC_DISPATCH(Unrotate)(shape, cosines, sines, row);
}

}  // namespace reprise
#endif  // HWY_ONCE
