// The loops of exact_kernel.h in the vectors of the machine at hand, chosen
// when the program runs (AVX-512, AVX2, NEON; scalar elsewhere). Bit for bit
// the same as the scalar ones.
#ifndef REPRISE_CODEC_EXACT_SIMD_H_
#define REPRISE_CODEC_EXACT_SIMD_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "codec/exact_kernel.h"

namespace reprise {

// See ExactDecodeScalar. Of a damaged stream the answer is the same; the rows
// that were written before it showed may differ.
bool ExactDecode(const ExactDecodeJob& job, uint32_t token_count);

// Both of them. Where there are registers enough, streams of one shape are
// decoded in step, so that one's look-ups run while the other's are awaited.
struct ExactPairResult {
  bool first = false;
  bool second = false;
};
ExactPairResult ExactDecodePair(const ExactDecodeJob& first,
                                const ExactDecodeJob& second,
                                uint32_t token_count);

// See ExactEncodeScalar: the same words, states and raw bits.
uint32_t ExactEncode(const ExactStream& stream, const ExactEncodeEntry* encode,
                     const uint8_t* rows, uint64_t stride, ExactEncodeOut* out);

// For tests and benchmarks: the instruction sets that this machine and this
// build have, best first, and a switch for the whole process (0: the best).
// Not thread-safe.
std::vector<int64_t> ExactTargets();
std::string_view ExactTargetName(int64_t target);
void ChooseExactTarget(int64_t target);

}  // namespace reprise

#endif  // REPRISE_CODEC_EXACT_SIMD_H_
