// One source for all instruction sets (Highway). A block of 32 channels is two
// vectors of AVX-512, four of AVX2, eight of NEON; what is left of a head after
// its whole blocks is done by the scalar loops.
#include "codec/tsc_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/tsc_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

// Elsewhere Highway converts f16 in software, and truncates.
#if HWY_TARGET == HWY_SCALAR || \
    (HWY_ARCH_X86 && HWY_TARGET != HWY_AVX2 && HWY_TARGET > HWY_AVX3)

void Scales(const float* largest, uint64_t count, int32_t max_code,
            uint8_t* scales) {
  TscScalesScalar(largest, count, max_code, scales);
}

void Largest(const TscShape& shape, const uint8_t* row,
             const uint8_t* reference, float* largest) {
  TscLargestScalar(shape, row, reference, largest);
}

void Encode(const TscShape& shape, const uint8_t* row, const uint8_t* reference,
            const float* scales, uint8_t* codes) {
  TscEncodeScalar(shape, row, reference, scales, codes);
}

void Decode(const TscShape& shape, const uint8_t* reference,
            const float* scales, const uint8_t* codes, uint8_t* row) {
  TscDecodeScalar(shape, reference, scales, codes, row);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, kTscBlock / 2>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using VF = hn::VFromD<DF>;
using VI = hn::VFromD<DI>;

constexpr uint32_t kLanes = hn::MaxLanes(DF());

// Rows and codes lie at any address: they are loaded and stored as bytes.
template <class D>
HWY_INLINE hn::VFromD<D> LoadBytes(D d, const uint8_t* p) {
  return hn::BitCast(d, hn::LoadU(hn::Repartition<uint8_t, D>(), p));
}

template <class D>
HWY_INLINE void StoreBytes(hn::VFromD<D> v, D, uint8_t* p) {
  const hn::Repartition<uint8_t, D> d8;
  hn::StoreU(hn::BitCast(d8, v), d8, p);
}

// How kLanes elements of each dtype are read and written.
struct F32 {
  static constexpr uint32_t kBytes = 4;
  static HWY_INLINE VF Load(const uint8_t* p) { return LoadBytes(DF(), p); }
  static HWY_INLINE void Store(VF v, uint8_t* p) { StoreBytes(v, DF(), p); }
};

struct Bf16 {
  static constexpr uint32_t kBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* p) {
    const auto bits = LoadBytes(hn::Rebind<uint16_t, DF>(), p);
    return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(DU(), bits)));
  }
  static HWY_INLINE void Store(VF v, uint8_t* p) {
    const DU du;
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded =
        hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff))));
    const hn::Rebind<uint16_t, DF> d16;
    StoreBytes(hn::DemoteTo(d16, hn::BitCast(DI(), rounded)), d16, p);
  }
};

struct F16 {
  static constexpr uint32_t kBytes = 2;
  static HWY_INLINE VF Load(const uint8_t* p) {
    return hn::PromoteTo(DF(), LoadBytes(hn::Rebind<hwy::float16_t, DF>(), p));
  }
  static HWY_INLINE void Store(VF v, uint8_t* p) {
    const hn::Rebind<hwy::float16_t, DF> d16;
    StoreBytes(hn::DemoteTo(d16, v), d16, p);
  }
};

void Scales(const float* largest, uint64_t count, int32_t max_code,
            uint8_t* scales) {
  const DF df;
  const DI di;
  const hn::Rebind<hwy::float16_t, DF> df16;
  const hn::Rebind<uint16_t, DF> du16;
  const VF most = hn::Set(df, static_cast<float>(max_code));
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const VF wanted = hn::LoadU(df, largest + i);
    const auto scale = hn::DemoteTo(df16, hn::Div(wanted, most));
    const auto is_less =
        hn::Lt(hn::Mul(hn::PromoteTo(df, scale), most), wanted);
    const VI bits = hn::PromoteTo(di, hn::BitCast(du16, scale));
    // A mask is -1 where it is set.
    const VI next =
        hn::Sub(bits, hn::VecFromMask(di, hn::RebindMask(di, is_less)));
    StoreBytes(hn::DemoteTo(du16, next), du16, scales + 2 * i);
  }
  TscScalesScalar(largest + i, count - i, max_code, scales + 2 * i);
}

template <class T>
HWY_INLINE VI Magnitudes(const uint8_t* row, const uint8_t* reference) {
  VF delta = T::Load(row);
  if (reference != nullptr) delta = hn::Sub(delta, T::Load(reference));
  return hn::BitCast(DI(), hn::Abs(delta));
}

template <class T>
void LargestOf(const TscShape& shape, const uint8_t* row,
               const uint8_t* reference, float* largest) {
  const DI di;
  const uint32_t whole = shape.dim / kTscBlock * kTscBlock;
  for (uint32_t h = 0; h < shape.heads; ++h) {
    VI most0 = hn::Zero(di);
    VI most1 = hn::Zero(di);
    for (uint32_t c = 0; c < whole; c += 2 * kLanes) {
      const uint8_t* const x = row + c * T::kBytes;
      const uint8_t* const r =
          reference == nullptr ? nullptr : reference + c * T::kBytes;
      const uint8_t* const r1 = r == nullptr ? r : r + kLanes * T::kBytes;
      most0 = hn::Max(most0, Magnitudes<T>(x, r));
      most1 = hn::Max(most1, Magnitudes<T>(x + kLanes * T::kBytes, r1));
    }
    int32_t most = hn::GetLane(hn::MaxOfLanes(di, hn::Max(most0, most1)));
    if (whole < shape.dim) {
      const float rest = TscHeadLargest(shape, whole, row, reference);
      most = HWY_MAX(most, std::bit_cast<int32_t>(rest));
    }
    largest[h] = std::bit_cast<float>(most);
    row += shape.dim * T::kBytes;
    if (reference != nullptr) reference += shape.dim * T::kBytes;
  }
}

template <class T>
HWY_INLINE VI Codes(const uint8_t* row, const uint8_t* reference, VF inverse) {
  const VF delta = hn::Sub(T::Load(row), T::Load(reference));
  return hn::NearestInt(hn::Mul(delta, inverse));
}

template <class T, int kBits>
HWY_INLINE void EncodeBlock(const uint8_t* row, const uint8_t* reference,
                            VF inverse, uint8_t* codes) {
  constexpr uint32_t kHalf = kTscBlock / 2;
  for (uint32_t c = 0; c < kHalf; c += kLanes) {
    const uint32_t low_at = c * T::kBytes;
    const uint32_t high_at = (kHalf + c) * T::kBytes;
    const VI low = Codes<T>(row + low_at, reference + low_at, inverse);
    const VI high = Codes<T>(row + high_at, reference + high_at, inverse);
    if constexpr (kBits == 8) {
      const hn::Rebind<int8_t, DI> d8;
      StoreBytes(hn::DemoteTo(d8, low), d8, codes + c);
      StoreBytes(hn::DemoteTo(d8, high), d8, codes + kHalf + c);
    } else {
      const VI mask = hn::Set(DI(), 15);
      const VI both =
          hn::Or(hn::And(low, mask), hn::ShiftLeft<4>(hn::And(high, mask)));
      const hn::Rebind<uint8_t, DI> d8;
      StoreBytes(hn::DemoteTo(d8, both), d8, codes + c);
    }
  }
}

template <class T, int kBits>
void EncodeOf(const TscShape& shape, const uint8_t* row,
              const uint8_t* reference, const float* scales, uint8_t* codes) {
  const uint32_t whole = shape.dim / kTscBlock * kTscBlock;
  for (uint32_t h = 0; h < shape.heads; ++h) {
    const VF inverse = hn::Set(DF(), scales[h] == 0 ? 0 : 1 / scales[h]);
    for (uint32_t c = 0; c < whole; c += kTscBlock) {
      EncodeBlock<T, kBits>(row + c * T::kBytes, reference + c * T::kBytes,
                            inverse, codes + c * kBits / 8);
    }
    if (whole < shape.dim) {
      TscHeadEncode(shape, whole, row, reference, scales[h], codes);
    }
    row += shape.dim * T::kBytes;
    reference += shape.dim * T::kBytes;
    codes += shape.head_code_bytes();
  }
}

template <class T>
HWY_INLINE void Put(VI code, const uint8_t* reference, VF scale, uint8_t* row) {
  const VF step = hn::Mul(hn::ConvertTo(DF(), code), scale);
  T::Store(hn::Add(T::Load(reference), step), row);
}

template <class T, int kBits>
HWY_INLINE void DecodeBlock(const uint8_t* reference, VF scale,
                            const uint8_t* codes, uint8_t* row) {
  constexpr uint32_t kHalf = kTscBlock / 2;
  const DI di;
  for (uint32_t c = 0; c < kHalf; c += kLanes) {
    const uint32_t low_at = c * T::kBytes;
    const uint32_t high_at = (kHalf + c) * T::kBytes;
    VI low, high;
    if constexpr (kBits == 8) {
      const hn::Rebind<int8_t, DI> d8;
      low = hn::PromoteTo(di, LoadBytes(d8, codes + c));
      high = hn::PromoteTo(di, LoadBytes(d8, codes + kHalf + c));
    } else {
      const hn::Rebind<uint8_t, DI> d8;
      const VI both = hn::PromoteTo(di, LoadBytes(d8, codes + c));
      low = hn::ShiftRight<28>(hn::ShiftLeft<28>(both));
      high = hn::ShiftRight<28>(hn::ShiftLeft<24>(both));
    }
    Put<T>(low, reference + low_at, scale, row + low_at);
    Put<T>(high, reference + high_at, scale, row + high_at);
  }
}

template <class T, int kBits>
void DecodeOf(const TscShape& shape, const uint8_t* reference,
              const float* scales, const uint8_t* codes, uint8_t* row) {
  const uint32_t whole = shape.dim / kTscBlock * kTscBlock;
  for (uint32_t h = 0; h < shape.heads; ++h) {
    const VF scale = hn::Set(DF(), scales[h]);
    for (uint32_t c = 0; c < whole; c += kTscBlock) {
      DecodeBlock<T, kBits>(reference + c * T::kBytes, scale,
                            codes + c * kBits / 8, row + c * T::kBytes);
    }
    if (whole < shape.dim) {
      TscHeadDecode(shape, whole, reference, scales[h], codes, row);
    }
    reference += shape.dim * T::kBytes;
    codes += shape.head_code_bytes();
    row += shape.dim * T::kBytes;
  }
}

void Largest(const TscShape& shape, const uint8_t* row,
             const uint8_t* reference, float* largest) {
  if (shape.dtype == DType::kF32) {
    LargestOf<F32>(shape, row, reference, largest);
  } else if (shape.dtype == DType::kBf16) {
    LargestOf<Bf16>(shape, row, reference, largest);
  } else {
    LargestOf<F16>(shape, row, reference, largest);
  }
}

template <int kBits>
void EncodeBits(const TscShape& shape, const uint8_t* row,
                const uint8_t* reference, const float* scales, uint8_t* codes) {
  if (shape.dtype == DType::kF32) {
    EncodeOf<F32, kBits>(shape, row, reference, scales, codes);
  } else if (shape.dtype == DType::kBf16) {
    EncodeOf<Bf16, kBits>(shape, row, reference, scales, codes);
  } else {
    EncodeOf<F16, kBits>(shape, row, reference, scales, codes);
  }
}

void Encode(const TscShape& shape, const uint8_t* row, const uint8_t* reference,
            const float* scales, uint8_t* codes) {
  if (shape.bits == 8) {
    EncodeBits<8>(shape, row, reference, scales, codes);
  } else {
    EncodeBits<4>(shape, row, reference, scales, codes);
  }
}

template <int kBits>
void DecodeBits(const TscShape& shape, const uint8_t* reference,
                const float* scales, const uint8_t* codes, uint8_t* row) {
  if (shape.dtype == DType::kF32) {
    DecodeOf<F32, kBits>(shape, reference, scales, codes, row);
  } else if (shape.dtype == DType::kBf16) {
    DecodeOf<Bf16, kBits>(shape, reference, scales, codes, row);
  } else {
    DecodeOf<F16, kBits>(shape, reference, scales, codes, row);
  }
}

void Decode(const TscShape& shape, const uint8_t* reference,
            const float* scales, const uint8_t* codes, uint8_t* row) {
  if (shape.bits == 8) {
    DecodeBits<8>(shape, reference, scales, codes, row);
  } else {
    DecodeBits<4>(shape, reference, scales, codes, row);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Scales);
HWY_EXPORT(Largest);
HWY_EXPORT(Encode);
HWY_EXPORT(Decode);

void TscScales(const float* largest, uint64_t count, int32_t max_code,
               uint8_t* scales) {
  HWY_DYNAMIC_DISPATCH(Scales)(largest, count, max_code, scales);
}

void TscLargest(const TscShape& shape, const uint8_t* row,
                const uint8_t* reference, float* largest) {
  HWY_DYNAMIC_DISPATCH(Largest)(shape, row, reference, largest);
}

void TscEncode(const TscShape& shape, const uint8_t* row,
               const uint8_t* reference, const float* scales, uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(Encode)(shape, row, reference, scales, codes);
}

void TscDecode(const TscShape& shape, const uint8_t* reference,
               const float* scales, const uint8_t* codes, uint8_t* row) {
  HWY_DYNAMIC_DISPATCH(Decode)(shape, reference, scales, codes, row);
}

}  // namespace reprise
#endif  // HWY_ONCE
