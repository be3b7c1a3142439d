#include "codec/rope_turns.h"

#include "base/limits.h"

namespace reprise {
namespace {

double Power(double base, uint32_t exponent) {
  double result = 1;
  for (uint32_t i = 0; i < exponent; ++i) result *= base;
  return result;
}

// theta^(-1 / pairs), by Newton's method from above.
double PairRatio(double theta, uint32_t pairs) {
  double ratio = 1;
  for (int i = 0; i < 200; ++i) {
    const double below = Power(ratio, pairs - 1);
    ratio -= (below * ratio - 1 / theta) / (pairs * below);
  }
  return ratio;
}

// YaRN (Peng et al., 2023): pairs that turn often are left alone, pairs that
// hardly turn are slowed, and a ramp lies between.
void ApplyYarn(const RopeSpec& rope, std::vector<double>* frequencies) {
  const double extrapolation = rope.factors[0];
  const auto turns = [&](size_t j) {
    return (*frequencies)[j] * rope.original_context / kTwoPi;
  };
  const size_t pairs = frequencies->size();
  size_t low = 0;
  while (low + 1 < pairs && turns(low + 1) >= rope.factors[2]) ++low;
  size_t high = low;
  while (high + 1 < pairs && turns(high) > rope.factors[3]) ++high;
  const double width = high > low ? static_cast<double>(high - low) : 0.001;
  for (size_t j = 0; j < pairs; ++j) {
    const double above = j > low ? static_cast<double>(j - low) / width : 0;
    const double kept = (above < 1 ? 1 - above : 0) * extrapolation;
    (*frequencies)[j] *= rope.scale * (1 - kept) + kept;
  }
}

void ApplyScaling(const RopeSpec& rope, std::vector<double>* frequencies) {
  if (rope.scaling == RopeScaling::kYarn && rope.factors.size() >= 4) {
    ApplyYarn(rope, frequencies);
    return;
  }
  for (size_t j = 0; j < frequencies->size(); ++j) {
    (*frequencies)[j] *= rope.scale;
    if (rope.scaling == RopeScaling::kFactors && j < rope.factors.size() &&
        rope.factors[j] > 0) {
      (*frequencies)[j] /= rope.factors[j];
    }
  }
}

}  // namespace

std::vector<double> RopeFrequencies(const RopeSpec& rope) {
  const uint32_t pairs = rope.rotary_dims / 2;
  std::vector<double> frequencies;
  if (rope.pairing == RopePairing::kNone || pairs == 0 ||
      rope.rotary_dims % 2 != 0 || rope.rotary_dims > kMaxHeadDim ||
      !(rope.theta > 1 && rope.theta < 1e15)) {
    return frequencies;
  }
  const double ratio = PairRatio(rope.theta, pairs);
  frequencies.push_back(1.0);
  while (frequencies.size() < pairs) {
    frequencies.push_back(frequencies.back() * ratio);
  }
  ApplyScaling(rope, &frequencies);
  return frequencies;
}

std::vector<uint64_t> RopeTurns(const RopeSpec& rope) {
  std::vector<uint64_t> turns;
  for (const double frequency : RopeFrequencies(rope)) {
    double turn = frequency / kTwoPi;
    // Of a spec that makes no sense.
    if (!(turn >= 0 && turn < 1e15)) turn = 0;
    turn -= static_cast<double>(static_cast<uint64_t>(turn));
    turns.push_back(static_cast<uint64_t>(turn * 18446744073709551616.0));
  }
  return turns;
}

}  // namespace reprise
