// Which pieces of a text are judged: windows of the same length that do not
// overlap.
#ifndef REPRISE_TOOLS_EVAL_TEXT_WINDOWS_H_
#define REPRISE_TOOLS_EVAL_TEXT_WINDOWS_H_

#include <cstdint>
#include <vector>

#include "base/status.h"

namespace reprise {

// Where each window starts, ascending. Seed 0: one after the other from the
// start of the text. Other seeds spread the tokens that are left over between
// the windows at random, the same on every machine.
// kInvalidArgument with both numbers when the text is too short, or when
// windows or tokens are 0.
Result<std::vector<uint64_t>> ChooseWindows(uint64_t text_tokens,
                                            uint64_t window_tokens,
                                            uint32_t windows, uint64_t seed);

// The seeded permutation of [0, count), the same on every machine.
std::vector<uint32_t> ShuffledOrder(uint32_t count, uint64_t seed);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_TEXT_WINDOWS_H_
