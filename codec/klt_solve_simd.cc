// The product of klt_solve.h, one source for all instruction sets (Highway).
// Tiles of c stay in registers while the depth passes; rows are the outer loop,
// so that c is read and written in one go and b stays in a near cache.
#include "codec/klt_solve.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/klt_solve_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Update(const KltUpdateJob& job) { KltUpdateScalar(job); }

#else

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using VF = hn::VFromD<DF>;

constexpr uint32_t kLanes = hn::MaxLanes(DF());
constexpr uint32_t kVectors = 2;
constexpr uint32_t kColumns = kVectors * kLanes;
// What the registers hold: x86 has 16 below AVX-512.
constexpr uint32_t kRows = HWY_ARCH_X86 && kLanes < 16 ? 4 : 8;

HWY_INLINE void Tile(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                     float* HWY_RESTRICT c, uint64_t c_stride) {
  const DF d;
  VF sums[kRows][kVectors];
#pragma GCC unroll 8
  for (uint32_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (uint32_t v = 0; v < kVectors; ++v) {
      sums[r][v] = hn::Load(d, c + r * c_stride + v * kLanes);
    }
  }
  for (uint32_t k = 0; k < kKltPanel; ++k, ++a, b += kKltPanel) {
    const VF b0 = hn::Load(d, b);
    const VF b1 = hn::Load(d, b + kLanes);
#pragma GCC unroll 8
    for (uint32_t r = 0; r < kRows; ++r) {
      const VF factor = hn::Set(d, a[r * kKltPanel]);
      sums[r][0] = hn::MulAdd(factor, b0, sums[r][0]);
      sums[r][1] = hn::MulAdd(factor, b1, sums[r][1]);
    }
  }
#pragma GCC unroll 8
  for (uint32_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (uint32_t v = 0; v < kVectors; ++v) {
      hn::Store(sums[r][v], d, c + r * c_stride + v * kLanes);
    }
  }
}

void Update(const KltUpdateJob& job) {
  for (uint32_t i = 0; i < job.rows; i += kRows) {
    const float* const a = job.a + uint64_t{i} * kKltPanel;
    float* const c = job.c + i * job.c_stride;
    for (uint32_t j = 0; j < job.columns; j += kKltPanel) {
      const float* const b = job.b + uint64_t{j} * kKltPanel;
      for (uint32_t v = 0; v < kKltPanel; v += kColumns) {
        Tile(a, b + v, c + j + v, job.c_stride);
      }
    }
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Update);

void KltUpdate(const KltUpdateJob& job) { HWY_DYNAMIC_DISPATCH(Update)(job); }

}  // namespace reprise
#endif  // HWY_ONCE
