// The loops of vector_kernel.h in the vectors of the machine at hand, chosen
// when the program runs; ChooseExactTarget (exact_simd.h) switches these too.
// Bit for bit the same as the scalar ones.
#ifndef REPRISE_CODEC_VECTOR_SIMD_H_
#define REPRISE_CODEC_VECTOR_SIMD_H_

#include <cstdint>

#include "codec/vector_kernel.h"

namespace reprise {

void VectorNearest(const VectorSearch& search, uint8_t* codes);
void VectorNearer(const VectorSearch& search, float* distances);

}  // namespace reprise

#endif  // REPRISE_CODEC_VECTOR_SIMD_H_
