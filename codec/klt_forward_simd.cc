// The encoder's half of klt_transform_simd.h. One source for all instruction
// sets (Highway); machines that cannot fuse a product and a sum run the scalar
// loops.
//
// It is a product of f32 matrices whose lanes are tokens. Four coefficients'
// weights are made f32 on the way: that is a sixteenth of the work or less, and
// the matrix stays as small as it is.
#include <algorithm>
#include <cstring>

#include "codec/klt_analysis.h"
#include "codec/klt_transform_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/klt_forward_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR || !HWY_NATIVE_FMA

void Forward(const KltForwardJob& job, KltScratch* scratch) {
  KltForwardScalar(job, scratch);
}
bool IsFused() { return false; }
uint64_t Quantise(const KltQuantiseJob& job) { return KltQuantiseScalar(job); }
void Coarser(const int16_t* q, uint64_t count, int16_t* coarser) {
  KltCoarserScalar(q, count, coarser);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using D16 = hn::Repartition<int16_t, DF>;
using DU16 = hn::RebindToUnsigned<D16>;
using VF = hn::VFromD<DF>;
using VI = hn::VFromD<DI>;
using V16 = hn::VFromD<D16>;

constexpr uint32_t kLanes = hn::MaxLanes(DF());
constexpr uint32_t kLanes16 = hn::MaxLanes(D16());
constexpr uint32_t kQuad = KltTransform::kQuad;

// Vectors of tokens that pass together: with four coefficients each, what the
// registers hold.
constexpr uint32_t kTile = HWY_TARGET == HWY_AVX2 ? 2 : 4;
constexpr uint32_t kTileTokens = kTile * kLanes;
// Channels at a time: four coefficients' weights of them are 16 KB.
constexpr uint32_t kPart = 1024;

// y = (x - mu) factor of some tokens and channels, one by one, into a tile.
void MakeYOf(const KltForwardJob& job, const float* factors,
             uint32_t first_token, uint32_t tokens, uint32_t first,
             uint32_t end, float* y) {
  const float* const x = job.x + first_token * job.x_stride;
  for (uint32_t i = first; i < end; ++i) {
    const float mu = job.transform->mu()[i];
    for (uint32_t t = 0; t < tokens; ++t) {
      y[i * kTileTokens + t] = (x[t * job.x_stride + i] - mu) * factors[i];
    }
  }
}

// The same of four tokens and kLanes channels.
HWY_INLINE void MakeYOfFour(const KltForwardJob& job, const float* factors,
                            uint32_t first_token, uint32_t first, float* y) {
  const DF d;
  const VF mu = hn::LoadU(d, job.transform->mu() + first);
  const VF factor = hn::LoadU(d, factors + first);
  const float* const x = job.x + first_token * job.x_stride + first;
  const auto y_of = [&](uint64_t t) HWY_ATTR {
    return hn::Mul(hn::Sub(hn::LoadU(d, x + t * job.x_stride), mu), factor);
  };
  alignas(64) float turned[kLanes][4];
  hn::StoreInterleaved4(y_of(0), y_of(1), y_of(2), y_of(3), d, turned[0]);
  for (uint32_t i = 0; i < kLanes; ++i) {
    std::memcpy(y + (first + i) * kTileTokens, turned[i], sizeof turned[i]);
  }
}

// y as [tile, channel, token of the tile], zeros where there is no channel or
// token.
void MakeY(const KltForwardJob& job, const float* factors, float* y) {
  const uint32_t n = job.transform->n();
  const uint64_t tile_size = uint64_t{job.transform->padded()} * kTileTokens;
  for (uint32_t first = 0; first < job.tokens; first += kTileTokens) {
    const uint32_t tokens = HWY_MIN(kTileTokens, job.tokens - first);
    if (tokens < kTileTokens) std::memset(y, 0, tile_size * sizeof(float));
    uint32_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      uint32_t t = 0;
      for (; t + 4 <= tokens; t += 4) {
        MakeYOfFour(job, factors, first + t, i, y + t);
      }
      MakeYOf(job, factors, first + t, tokens - t, i, i + kLanes, y + t);
    }
    MakeYOf(job, factors, first, tokens, i, n, y);
    std::memset(y + n * kTileTokens, 0,
                (tile_size - n * kTileTokens) * sizeof(float));
    y += tile_size;
  }
}

// The weights of a quad in f32, scaled, of `count` channels: [channel, 4].
void MakeWeights(const KltAnalysis& analysis, uint32_t quad, uint32_t first,
                 uint32_t count, float* weights) {
  const DF d;
  const DI di;
  const hn::Rebind<int16_t, DI> d16;
  const VF scales = hn::LoadDup128(d, analysis.scales() + quad * kQuad);
  const int16_t* const from = analysis.weights(quad) + first * kQuad;
  // Those of the next quad arrive while these are multiplied.
  const int16_t* const next =
      analysis.weights(HWY_MIN(quad + 1, analysis.quads() - 1)) + first * kQuad;
  for (uint32_t k = 0; k < count * kQuad; k += kLanes) {
    __builtin_prefetch(next + k);
    const VI whole = hn::PromoteTo(di, hn::LoadU(d16, from + k));
    hn::StoreU(hn::Mul(hn::ConvertTo(d, whole), scales), d, weights + k);
  }
}

// z [4, 64] of kCount vectors of tokens, over `count` channels.
template <uint32_t kCount>
void Product(const float* weights, const float* y, uint32_t count, bool add,
             float* z) {
  const DF d;
  VF sums[kQuad][kCount];
#pragma GCC unroll 4
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kCount; ++v) {
      sums[j][v] =
          add ? hn::LoadU(d, z + j * kKltTokens + v * kLanes) : hn::Zero(d);
    }
  }
  for (uint32_t i = 0; i < count; ++i, y += kTileTokens, weights += kQuad) {
    VF values[kCount];
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kCount; ++v) {
      values[v] = hn::LoadU(d, y + v * kLanes);
    }
#pragma GCC unroll 4
    for (uint32_t j = 0; j < kQuad; ++j) {
      const VF weight = hn::Set(d, weights[j]);
#pragma GCC unroll 4
      for (uint32_t v = 0; v < kCount; ++v) {
        sums[j][v] = hn::MulAdd(weight, values[v], sums[j][v]);
      }
    }
  }
#pragma GCC unroll 4
  for (uint32_t j = 0; j < kQuad; ++j) {
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kCount; ++v) {
      hn::StoreU(sums[j][v], d, z + j * kKltTokens + v * kLanes);
    }
  }
}

HWY_INLINE void ProductOf(uint32_t vectors, const float* weights,
                          const float* y, uint32_t count, bool add, float* z) {
  switch (vectors) {
    case 1:
      return Product<1>(weights, y, count, add, z);
    case 2:
      return Product<2>(weights, y, count, add, z);
    case 3:
      return Product<HWY_MIN(3, kTile)>(weights, y, count, add, z);
    default:
      return Product<kTile>(weights, y, count, add, z);
  }
}

bool IsFused() { return true; }

void Forward(const KltForwardJob& job, KltScratch* scratch) {
  const KltTransform& transform = *job.transform;
  const KltAnalysis& analysis = transform.analysis();
  const uint32_t padded = transform.padded();
  const uint64_t y_size = uint64_t{padded} * kKltTokens;
  constexpr uint64_t kAlign = 64;
  scratch->floats.resize(y_size + kPart * kQuad + kAlign / sizeof(float));
  float* const y = reinterpret_cast<float*>(
      (reinterpret_cast<uintptr_t>(scratch->floats.data()) + kAlign - 1) &
      ~(kAlign - 1));
  float* const weights = y + y_size;
  MakeY(job, analysis.factors(), y);
  for (uint32_t part = 0; part < padded; part += kPart) {
    const uint32_t count = HWY_MIN(kPart, padded - part);
    for (uint32_t quad = 0; quad < transform.quads(); ++quad) {
      MakeWeights(analysis, quad, part, count, weights);
      for (uint32_t first = 0; first < job.tokens; first += kTileTokens) {
        const uint32_t tokens = HWY_MIN(kTileTokens, job.tokens - first);
        ProductOf((tokens + kLanes - 1) / kLanes, weights,
                  y + uint64_t{first} * padded + part * kTileTokens, count,
                  part > 0, job.z + quad * kQuad * kKltTokens + first);
      }
    }
  }
}

// A row of 32 coefficients of up to kLanes tokens: [coefficient pair, token],
// the first of a pair in the low half.
struct RowOfTokens {
  alignas(64) uint32_t pairs[kKltRow / 2][kLanes];

  void Store(uint32_t tokens, uint64_t stride, int16_t* q) const {
    for (uint32_t t = 0; t < tokens; ++t, q += stride) {
      for (uint32_t k = 0; k < kKltRow / 2; ++k) {
        std::memcpy(q + 2 * k, &pairs[k][t], sizeof(uint32_t));
      }
    }
  }
};

// Of kLanes tokens; see KltQuantiseScalar.
uint64_t QuantiseTokens(const KltQuantiseJob& job, uint32_t first) {
  const DF d;
  const DI di;
  const DU du;
  const uint32_t tokens = HWY_MIN(kLanes, job.tokens - first);
  alignas(64) float some_steps[kLanes];
  std::fill_n(some_steps, kLanes, 1.0f);
  std::memcpy(some_steps, job.steps + first, tokens * sizeof(float));
  const VF step = hn::Load(d, some_steps);
  const VF limit = hn::Set(d, static_cast<float>(kKltMaxCoefficient));
  auto fits = hn::Eq(step, step);
  VI sum = hn::Zero(di);
  RowOfTokens row;
  for (uint32_t j = 0; j < KltPadded(job.n); j += kKltRow) {
    for (uint32_t k = 0; k < kKltRow; k += 2) {
      const float* const z = job.z + uint64_t{j + k} * kKltTokens + first;
      VI q[2];
      for (uint32_t half = 0; half < 2; ++half) {
        const VF value = hn::LoadU(d, z + half * kKltTokens);
        const VF magnitude =
            hn::Add(hn::Div(hn::Abs(value), step), hn::Set(d, 0.5f));
        fits = hn::And(fits, hn::Lt(magnitude, hn::Set(d, 0x1p15f)));
        const VI rounded = hn::ConvertTo(di, hn::Min(magnitude, limit));
        sum = hn::Add(sum, rounded);
        const VI minus = hn::ShiftRight<31>(hn::BitCast(di, value));
        q[half] = hn::Sub(hn::Xor(rounded, minus), minus);
      }
      const auto low = hn::And(hn::BitCast(du, q[0]), hn::Set(du, 0xffffu));
      const auto high = hn::ShiftLeft<16>(hn::BitCast(du, q[1]));
      hn::Store(hn::Or(low, high), du, row.pairs[k / 2]);
    }
    row.Store(tokens, job.q_stride, job.q + first * job.q_stride + j);
  }
  const auto small = hn::Lt(sum, hn::Set(di, kKltMaxSum + 1));
  const auto kept = hn::And(fits, hn::RebindMask(d, small));
  uint8_t bits[8] = {};
  hn::StoreMaskBits(d, kept, bits);
  uint64_t kept_bits;
  std::memcpy(&kept_bits, bits, sizeof kept_bits);
  return (~kept_bits & ((uint64_t{1} << tokens) - 1)) << first;
}

uint64_t Quantise(const KltQuantiseJob& job) {
  uint64_t raw = 0;
  for (uint32_t first = 0; first < job.tokens; first += kLanes) {
    raw |= QuantiseTokens(job, first);
  }
  return raw;
}

void Coarser(const int16_t* q, uint64_t count, int16_t* coarser) {
  const D16 d;
  const DU16 du;
  uint64_t j = 0;
  for (; j + kLanes16 <= count; j += kLanes16) {
    const V16 x = hn::LoadU(d, q + j);
    // x / 3 = x * 43691 / 2^17 for all of 16 bits.
    const auto above =
        hn::Add(hn::BitCast(du, hn::Abs(x)), hn::Set(du, uint16_t{1}));
    const V16 third = hn::BitCast(
        d, hn::ShiftRight<1>(hn::MulHigh(above, hn::Set(du, uint16_t{43691}))));
    const V16 minus = hn::ShiftRight<15>(x);
    hn::StoreU(hn::Sub(hn::Xor(third, minus), minus), d, coarser + j);
  }
  KltCoarserScalar(q + j, count - j, coarser + j);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Forward);
HWY_EXPORT(IsFused);
HWY_EXPORT(Quantise);
HWY_EXPORT(Coarser);

namespace {
void (*replacement)(const KltForwardJob&, KltScratch*) = nullptr;
}  // namespace

void ReplaceKltForward(void (*forward)(const KltForwardJob&, KltScratch*)) {
  replacement = forward;
}

void KltForward(const KltForwardJob& job, KltScratch* scratch) {
  if (replacement != nullptr) return replacement(job, scratch);
  HWY_DYNAMIC_DISPATCH(Forward)(job, scratch);
}

bool KltForwardIsFused() { return HWY_DYNAMIC_DISPATCH(IsFused)(); }

uint64_t KltQuantise(const KltQuantiseJob& job) {
  return HWY_DYNAMIC_DISPATCH(Quantise)(job);
}

void KltCoarser(const int16_t* q, uint64_t count, int16_t* coarser) {
  HWY_DYNAMIC_DISPATCH(Coarser)(q, count, coarser);
}

}  // namespace reprise
#endif  // HWY_ONCE
