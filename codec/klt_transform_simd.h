// The loops of klt_transform_kernel.h in the vectors of the machine at hand,
// chosen when the program runs; ChooseExactTarget (exact_simd.h) switches these
// too. Bit for bit the same as the scalar ones, but for KltForward: on machines
// that fuse a product and a sum, each of its sums is a chain of those, from the
// first channel to the last, starting from 0.
#ifndef REPRISE_CODEC_KLT_TRANSFORM_SIMD_H_
#define REPRISE_CODEC_KLT_TRANSFORM_SIMD_H_

#include "codec/klt_transform_kernel.h"

namespace reprise {

bool KltInverse(const KltInverseJob& job, KltScratch* scratch);
void KltForward(const KltForwardJob& job, KltScratch* scratch);
// Whether this machine fuses: then z has the bits that a device makes.
bool KltForwardIsFused();
uint64_t KltQuantise(const KltQuantiseJob& job);
void KltCoarser(const int16_t* q, uint64_t count, int16_t* coarser);

// For tests and benchmarks: whether AVX-512 may use its dot products of bytes
// (VNNI) where the machine has them, for the whole process. Not thread-safe.
void AllowKltDotProducts(bool allow);
// For benchmarks: what KltInverse and KltForward run instead of their own
// loops, for the whole process (null: their own). Not thread-safe.
void ReplaceKltInverse(bool (*inverse)(const KltInverseJob&, KltScratch*));
void ReplaceKltForward(void (*forward)(const KltForwardJob&, KltScratch*));

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_TRANSFORM_SIMD_H_
