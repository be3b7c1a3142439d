// One source for all instruction sets (Highway): tiles of four rows and two
// vectors of columns stay in registers while the depth passes.
#include "codec/klt_products_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/klt_products_simd.cc"
// clang-format off
#include "hwy/foreach_target.h"
// clang-format on
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace reprise {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;
using VF = hn::VFromD<DF>;

HWY_INLINE void Step(VF factor, VF b0, VF b1, VF* sum0, VF* sum1) {
  *sum0 = hn::Add(*sum0, hn::Mul(factor, b0));
  *sum1 = hn::Add(*sum1, hn::Mul(factor, b1));
}

HWY_INLINE void Tile(const KltProductsJob& job, uint32_t i, uint32_t j) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  VF s00 = hn::Zero(d), s01 = s00, s10 = s00, s11 = s00;
  VF s20 = s00, s21 = s00, s30 = s00, s31 = s00;
  const float* a = job.a + i;
  const float* b = job.b + j;
  for (uint32_t k = 0; k < job.depth; ++k) {
    const VF b0 = hn::LoadU(d, b);
    const VF b1 = hn::LoadU(d, b + lanes);
    Step(hn::Set(d, a[0]), b0, b1, &s00, &s01);
    Step(hn::Set(d, a[1]), b0, b1, &s10, &s11);
    Step(hn::Set(d, a[2]), b0, b1, &s20, &s21);
    Step(hn::Set(d, a[3]), b0, b1, &s30, &s31);
    a += job.a_stride;
    b += job.b_stride;
  }
  float* c = job.c + i * job.c_stride + j;
  const VF sums[4][2] = {{s00, s01}, {s10, s11}, {s20, s21}, {s30, s31}};
  for (const auto& row : sums) {
    hn::StoreU(row[0], d, c);
    hn::StoreU(row[1], d, c + lanes);
    c += job.c_stride;
  }
}

void Products(const KltProductsJob& job) {
#if HWY_TARGET == HWY_SCALAR
  KltProductsScalar(job);
#else
  const auto width = static_cast<uint32_t>(2 * hn::Lanes(DF()));
  for (uint32_t j = 0; j < job.columns; j += width) {
    for (uint32_t i = 0; i < job.rows; i += 4) Tile(job, i, j);
  }
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace reprise
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reprise {

HWY_EXPORT(Products);

void KltProducts(const KltProductsJob& job) {
  HWY_DYNAMIC_DISPATCH(Products)(job);
}

void KltProductsScalar(const KltProductsJob& job) {
  for (uint32_t i = 0; i < job.rows; ++i) {
    for (uint32_t j = 0; j < job.columns; ++j) {
      float sum = 0;
      for (uint32_t k = 0; k < job.depth; ++k) {
        sum += job.a[k * job.a_stride + i] * job.b[k * job.b_stride + j];
      }
      job.c[i * job.c_stride + j] = sum;
    }
  }
}

}  // namespace reprise
#endif  // HWY_ONCE
