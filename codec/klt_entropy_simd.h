// The loops of klt_entropy.h in the vectors of the machine at hand, chosen
// when the program runs; ChooseExactTarget (exact_simd.h) switches these too.
// Bit for bit the same as the scalar ones; of a damaged stream the answer is
// the same, and what was written before it showed may differ.
#ifndef REPRISE_CODEC_KLT_ENTROPY_SIMD_H_
#define REPRISE_CODEC_KLT_ENTROPY_SIMD_H_

#include "codec/klt_entropy.h"

namespace reprise {

bool KltDecodeMagnitudes(const KltTables& tables, const KltRows& rows,
                         KltDecoder* decoder, int16_t* q);
bool KltDecodeRefining(const KltTables& tables, const KltRows& rows,
                       KltDecoder* decoder, int16_t* q);
void KltEncodeMagnitudes(const KltTables& tables, const KltRows& rows,
                         const int16_t* q, KltEncoder* encoder);
void KltEncodeRefining(const KltTables& tables, const KltRows& rows,
                       const int16_t* coarse, const int16_t* q,
                       KltEncoder* encoder);
void KltWriteSigns(const KltRows& rows, const int16_t* coarse, const int16_t* q,
                   KltSignWriter* writer);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_ENTROPY_SIMD_H_
