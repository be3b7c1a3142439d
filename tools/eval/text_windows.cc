#include "tools/eval/text_windows.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace reprise {

Result<std::vector<uint64_t>> ChooseWindows(uint64_t text_tokens,
                                            uint64_t window_tokens,
                                            uint32_t windows, uint64_t seed) {
  if (windows == 0 || window_tokens == 0) {
    return InvalidArgumentError("eval: " + std::to_string(windows) +
                                " windows of " + std::to_string(window_tokens) +
                                " tokens, at least 1 of each is wanted");
  }
  const uint64_t wanted = window_tokens * windows;
  if (text_tokens < wanted) {
    return InvalidArgumentError(
        "eval: the text has " + std::to_string(text_tokens) + " tokens, " +
        std::to_string(windows) + " windows of " +
        std::to_string(window_tokens) + " need " + std::to_string(wanted));
  }
  std::vector<uint64_t> gaps(windows, 0);  // before each, from the start on
  if (seed != 0) {
    SplitMix random(seed);
    for (uint64_t& gap : gaps) gap = random.Below(text_tokens - wanted + 1);
    std::sort(gaps.begin(), gaps.end());
  }
  for (uint32_t i = 0; i < windows; ++i) gaps[i] += i * window_tokens;
  return gaps;
}

std::vector<uint32_t> ShuffledOrder(uint32_t count, uint64_t seed) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  SplitMix random(seed);
  for (uint32_t i = count; i > 1; --i) {
    std::swap(order[i - 1], order[random.Below(i)]);
  }
  return order;
}

}  // namespace reprise
