// Which tokens an evicting cache keeps, whatever the next question will be.
#ifndef REPRISE_TOOLS_EVAL_IMPORTANCE_H_
#define REPRISE_TOOLS_EVAL_IMPORTANCE_H_

#include <cstdint>
#include <span>
#include <vector>

namespace reprise {

// Never dropped: attention sinks, and what was said last.
inline constexpr uint32_t kProtectedFirst = 4;
inline constexpr uint32_t kProtectedLast = 64;

// One flag a token: 1 for the `share` of all tokens (rounded up) that is kept,
// the protected ones first, then those of the highest scores; equal scores by
// position. All are kept when there are no more than the protected ones.
std::vector<uint8_t> ChooseKept(std::span<const double> scores, double share);

// The flags of up to 64 tokens as a mask, bit t for flags[t].
uint64_t MaskOf(std::span<const uint8_t> flags);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_IMPORTANCE_H_
