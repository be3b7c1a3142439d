// Products of matrices for the trainer of `klt`, in the vectors of the machine
// at hand. Each element is one sum in one order, and no product is fused with
// a sum: every machine gets the same bits.
#ifndef REPRISE_CODEC_KLT_PRODUCTS_SIMD_H_
#define REPRISE_CODEC_KLT_PRODUCTS_SIMD_H_

#include <cstdint>

namespace reprise {

//   c[i][j] = sum over k, ascending, of a[k][i] * b[k][j]
//
//   a  [depth, rows]     a_stride floats apart
//   b  [depth, columns]  b_stride floats apart
//   c  [rows, columns]   c_stride floats apart; written over
//
// REQUIRES: rows % 4 == 0; columns % 32 == 0. A stride that is a multiple of
// a large power of two is slow. Allocates nothing and cannot fail.
struct KltProductsJob {
  const float* a = nullptr;
  uint64_t a_stride = 0;
  const float* b = nullptr;
  uint64_t b_stride = 0;
  float* c = nullptr;
  uint64_t c_stride = 0;
  uint32_t depth = 0;
  uint32_t rows = 0;
  uint32_t columns = 0;
};
void KltProducts(const KltProductsJob& job);
void KltProductsScalar(const KltProductsJob& job);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_PRODUCTS_SIMD_H_
