// Which pieces of a text are judged: windows of the same length that do not
// overlap.
#ifndef REPRISE_TOOLS_EVAL_TEXT_WINDOWS_H_
#define REPRISE_TOOLS_EVAL_TEXT_WINDOWS_H_

#include <cstdint>
#include <vector>

#include "base/status.h"

namespace reprise {

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
// generators", 2014): std's distributions differ between libraries.
class SplitMix {
 public:
  explicit SplitMix(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }

 private:
  uint64_t state_;
};

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
