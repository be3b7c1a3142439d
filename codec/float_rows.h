// Rows of f32, bf16 or f16 elements as f32 and back, in the vectors of the
// machine at hand (ChooseExactTarget of exact_simd.h switches them too): what
// float_element.h does, bit for bit. REQUIRES everywhere: IsFloatDType(dtype).
#ifndef REPRISE_CODEC_FLOAT_ROWS_H_
#define REPRISE_CODEC_FLOAT_ROWS_H_

#include <cstdint>

#include "codec/float_element.h"

namespace reprise {

//   elements  [count]  dtype, at any address
//   values    [count]
void LoadFloats(DType dtype, const uint8_t* elements, uint64_t count,
                float* values);
void LoadFloatsScalar(DType dtype, const uint8_t* elements, uint64_t count,
                      float* values);

// To nearest, ties to even; what is too large becomes the largest finite
// number. REQUIRES: no NaN among the values.
void StoreFloatsSaturated(DType dtype, const float* values, uint64_t count,
                          uint8_t* elements);
void StoreFloatsSaturatedScalar(DType dtype, const float* values,
                                uint64_t count, uint8_t* elements);

}  // namespace reprise

#endif  // REPRISE_CODEC_FLOAT_ROWS_H_
