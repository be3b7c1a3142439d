// One source for all instruction sets (Highway). Halves are converted by
// integer operations: not every machine has instructions for them, and Highway
// truncates where it has none.
#include <cstring>

#include "codec/float_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/float_rows_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Load(DType dtype, const uint8_t* elements, uint64_t count, float* values) {
  LoadFloatsScalar(dtype, elements, count, values);
}

void Store(DType dtype, const float* values, uint64_t count,
           uint8_t* elements) {
  StoreFloatsSaturatedScalar(dtype, values, count, elements);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using VF = hn::VFromD<DF>;
using VU = hn::VFromD<DU>;
constexpr uint32_t kLanes = hn::MaxLanes(DF());

// Elements lie at any address: they are loaded and stored as bytes.
template <class D>
HWY_INLINE hn::VFromD<D> LoadBytes(D d, const uint8_t* p) {
  return hn::BitCast(d, hn::LoadU(hn::Repartition<uint8_t, D>(), p));
}

template <class D>
HWY_INLINE void StoreBytes(hn::VFromD<D> v, D, uint8_t* p) {
  const hn::Repartition<uint8_t, D> d8;
  hn::StoreU(hn::BitCast(d8, v), d8, p);
}

struct Bf16 {
  static HWY_INLINE VF Widen(VU bits) {
    return hn::BitCast(DF(), hn::ShiftLeft<16>(bits));
  }
  // The magnitude's 16 bits; infinities as they are.
  static HWY_INLINE VU Narrow(VU magnitude) {
    const DU du;
    const VU odd = hn::And(hn::ShiftRight<16>(magnitude), hn::Set(du, 1u));
    return hn::ShiftRight<16>(
        hn::Add(magnitude, hn::Add(odd, hn::Set(du, 0x7fffu))));
  }
  static constexpr uint32_t kLargest = 0x7f7f;
};

// See float_element.h for both ways.
struct F16 {
  static HWY_INLINE VF Widen(VU bits) {
    const DF d;
    const DU du;
    const VU infinity = hn::Set(du, 0x7c00u);
    const VU magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fffu)));
    const VF scaled = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f));
    const VU special = hn::IfThenElseZero(
        hn::Eq(hn::And(bits, infinity), infinity), hn::Set(du, 0x7f800000u));
    const VU sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
    return hn::BitCast(d,
                       hn::Or(hn::Or(hn::BitCast(du, scaled), special), sign));
  }
  static HWY_INLINE VU Narrow(VU magnitude) {
    const DF d;
    const DU du;
    const VU odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1u));
    // 0xfff less the rebiasing of the exponent.
    const VU normal = hn::ShiftRight<13>(
        hn::Add(magnitude, hn::Add(odd, hn::Set(du, 0xfffu - 0x38000000u))));
    const VF shifted = hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f));
    const VU denormal =
        hn::Sub(hn::BitCast(du, shifted), hn::Set(du, 0x3f000000u));
    const VU half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x38800000u)),
                                   denormal, normal);
    return hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x47800000u)), half,
                          hn::Set(du, 0x7c00u));
  }
  static constexpr uint32_t kLargest = 0x7bff;
};

template <class T>
void Load16(DType dtype, const uint8_t* elements, uint64_t count,
            float* values) {
  const hn::Rebind<uint16_t, DU> d16;
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const VU bits = hn::PromoteTo(DU(), LoadBytes(d16, elements + i * 2));
    hn::StoreU(T::Widen(bits), DF(), values + i);
  }
  LoadFloatsScalar(dtype, elements + i * 2, count - i, values + i);
}

void Load(DType dtype, const uint8_t* elements, uint64_t count, float* values) {
  if (dtype == DType::kF16) return Load16<F16>(dtype, elements, count, values);
  if (dtype == DType::kBf16) {
    return Load16<Bf16>(dtype, elements, count, values);
  }
  if (count > 0) std::memcpy(values, elements, count * sizeof(float));
}

template <class T>
void Store16(DType dtype, const float* values, uint64_t count,
             uint8_t* elements) {
  const DU du;
  const hn::Rebind<uint16_t, DU> d16;
  const VU sign_bit = hn::Set(du, 0x80000000u);
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const VU bits = hn::BitCast(du, hn::LoadU(DF(), values + i));
    const VU half = hn::Min(T::Narrow(hn::AndNot(sign_bit, bits)),
                            hn::Set(du, T::kLargest));
    const VU sign = hn::ShiftRight<16>(hn::And(bits, sign_bit));
    StoreBytes(hn::TruncateTo(d16, hn::Or(half, sign)), d16, elements + i * 2);
  }
  StoreFloatsSaturatedScalar(dtype, values + i, count - i, elements + i * 2);
}

void StoreF32(const float* values, uint64_t count, uint8_t* elements) {
  const DF d;
  const VF most = hn::Set(d, 0x1.fffffep127f);
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const VF x = hn::LoadU(d, values + i);
    StoreBytes(hn::CopySign(hn::Min(hn::Abs(x), most), x), d, elements + i * 4);
  }
  StoreFloatsSaturatedScalar(DType::kF32, values + i, count - i,
                             elements + i * 4);
}

void Store(DType dtype, const float* values, uint64_t count,
           uint8_t* elements) {
  if (dtype == DType::kF16) {
    return Store16<F16>(dtype, values, count, elements);
  }
  if (dtype == DType::kBf16) {
    return Store16<Bf16>(dtype, values, count, elements);
  }
  StoreF32(values, count, elements);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Load);
HWY_EXPORT(Store);

void LoadFloats(DType dtype, const uint8_t* elements, uint64_t count,
                float* values) {
  HWY_DYNAMIC_DISPATCH(Load)(dtype, elements, count, values);
}

void StoreFloatsSaturated(DType dtype, const float* values, uint64_t count,
                          uint8_t* elements) {
  HWY_DYNAMIC_DISPATCH(Store)(dtype, values, count, elements);
}

}  // namespace reprise
#endif  // HWY_ONCE
