#include "tools/eval/importance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace reprise {

std::vector<uint8_t> ChooseKept(std::span<const double> scores, double share) {
  const size_t count = scores.size();
  const auto is_protected = [count](size_t token) {
    return token < kProtectedFirst || token + kProtectedLast >= count;
  };
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (is_protected(a) != is_protected(b)) return is_protected(a);
    return !is_protected(a) && scores[a] > scores[b];
  });
  const auto wanted =
      static_cast<size_t>(std::ceil(share * static_cast<double>(count)));
  std::vector<uint8_t> kept(count, 0);
  for (size_t i = 0; i < count; ++i) {
    if (i < wanted || is_protected(order[i])) kept[order[i]] = 1;
  }
  return kept;
}

uint64_t MaskOf(std::span<const uint8_t> flags) {
  uint64_t mask = 0;
  for (size_t i = 0; i < flags.size(); ++i) {
    if (flags[i] != 0) mask |= uint64_t{1} << i;
  }
  return mask;
}

}  // namespace reprise
