// One source for all instruction sets (Highway).
#include "codec/squared_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/squared_sums_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Add(const float* source, const float* decoded, SquaredSums* sums) {
  AddSquaresScalar(source, decoded, sums);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using DD = hn::CappedTag<double, 8>;
using DF = hn::Rebind<float, DD>;
using VD = hn::VFromD<DD>;
using VF = hn::VFromD<DF>;
constexpr uint64_t kLanes = hn::MaxLanes(DD());
// Sums side by side: one alone would wait for itself at every element.
constexpr uint64_t kSums = 4;
static_assert(kSquaresBlock % (kSums * kLanes) == 0);

void Add(const float* source, const float* decoded, SquaredSums* sums) {
  const DD dd;
  const DF df;
  VD difference[kSums];
  VD reference[kSums];
  for (uint64_t s = 0; s < kSums; ++s) {
    difference[s] = reference[s] = hn::Zero(dd);
  }
  VF bad = hn::Zero(df);
  for (uint64_t i = 0; i < kSquaresBlock; i += kSums * kLanes) {
    for (uint64_t s = 0; s < kSums; ++s) {
      const VF from = hn::LoadU(df, source + i + s * kLanes);
      const VF to = hn::LoadU(df, decoded + i + s * kLanes);
      const auto counts = hn::IsFinite(from);
      const auto is_number = hn::IsFinite(to);
      bad = hn::Or(bad, hn::VecFromMask(df, hn::AndNot(is_number, counts)));
      const VF a = hn::IfThenElseZero(counts, from);
      const VF b = hn::IfThenElseZero(hn::And(counts, is_number), to);
      const VD delta = hn::PromoteTo(dd, hn::Sub(b, a));
      const VD wide = hn::PromoteTo(dd, a);
      difference[s] = hn::MulAdd(delta, delta, difference[s]);
      reference[s] = hn::MulAdd(wide, wide, reference[s]);
    }
  }
  const hn::RebindToUnsigned<DF> du;
  if (!hn::AllTrue(du, hn::Eq(hn::BitCast(du, bad), hn::Zero(du)))) {
    sums->not_finite = true;
  }
  for (uint64_t s = 0; s < kSums; ++s) {
    sums->difference += hn::GetLane(hn::SumOfLanes(dd, difference[s]));
    sums->reference += hn::GetLane(hn::SumOfLanes(dd, reference[s]));
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Add);

void AddSquares(const float* source, const float* decoded, SquaredSums* sums) {
  HWY_DYNAMIC_DISPATCH(Add)(source, decoded, sums);
}

}  // namespace reprise
#endif  // HWY_ONCE
