// The loops of tsc_kernel.h in the vectors of the machine at hand, chosen when
// the program runs. Bit for bit the same as the scalar ones.
#ifndef REPRISE_CODEC_TSC_SIMD_H_
#define REPRISE_CODEC_TSC_SIMD_H_

#include "codec/tsc_kernel.h"

namespace reprise {

// See TscScalesScalar.
void TscScales(const float* largest, uint64_t count, int32_t max_code,
               uint8_t* scales);
// See TscLargestScalar.
void TscLargest(const TscShape& shape, const uint8_t* row,
                const uint8_t* reference, float* largest);
// See TscEncodeScalar.
void TscEncode(const TscShape& shape, const uint8_t* row,
               const uint8_t* reference, const float* scales, uint8_t* codes);
// See TscDecodeScalar.
void TscDecode(const TscShape& shape, const uint8_t* reference,
               const float* scales, const uint8_t* codes, uint8_t* row);

}  // namespace reprise

#endif  // REPRISE_CODEC_TSC_SIMD_H_
