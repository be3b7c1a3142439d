#include "codec/squared_sums.h"

#include <cmath>

namespace reprise {

void AddSquaresScalar(const float* source, const float* decoded,
                      SquaredSums* sums) {
  for (uint64_t i = 0; i < kSquaresBlock; ++i) {
    if (!std::isfinite(source[i])) continue;
    const bool is_number = std::isfinite(decoded[i]);
    sums->not_finite = sums->not_finite || !is_number;
    const double delta = (is_number ? decoded[i] : 0.0F) - source[i];
    sums->difference += delta * delta;
    sums->reference += double{source[i]} * double{source[i]};
  }
}

}  // namespace reprise
