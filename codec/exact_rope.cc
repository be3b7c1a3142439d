#include "codec/exact_rope.h"

#include <array>
#include <bit>

#include "codec/rope_turns.h"

namespace reprise {
namespace {

constexpr uint32_t kTurns = 4096;

// A quarter of a turn by the sine's series, the rest by symmetry.
std::array<float, kTurns> MakeSines() {
  std::array<float, kTurns> sines{};
  for (uint32_t i = 0; i <= kTurns / 4; ++i) {
    const double x = kTwoPi * (i + 0.5) / kTurns;
    double term = x;
    double sum = x;
    for (int k = 1; k < 12; ++k) {
      term *= -x * x / ((2 * k) * (2 * k + 1));
      sum += term;
    }
    if (i < kTurns / 4) {
      sines[i] = static_cast<float>(sum);
      sines[kTurns / 2 - 1 - i] = static_cast<float>(sum);
      sines[kTurns / 2 + i] = static_cast<float>(-sum);
      sines[kTurns - 1 - i] = static_cast<float>(-sum);
    }
  }
  return sines;
}

float HalfToFloat(uint32_t bits) {
  const uint32_t sign = (bits & 0x8000) << 16;
  const uint32_t magnitude = bits & 0x7fff;
  // The exponent's bias is 112 higher in f32; denormals come right as well.
  const float value = std::bit_cast<float>(magnitude << 13) *
                      std::bit_cast<float>(uint32_t{127 + 112} << 23);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

uint32_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x47800000) return sign | 0x7bff;  // 2^16 and above
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000) >> 13);
  const uint32_t shift = 126 - (magnitude >> 23);  // below 2^-14
  if (shift > 24) return sign;
  return sign | ((magnitude & 0x7fffff) | 0x800000) >> shift;
}

}  // namespace

std::vector<uint32_t> ExactAngleSteps(const RopeSpec& rope) {
  std::vector<uint32_t> steps;
  for (const double frequency : RopeFrequencies(rope)) {
    const double units = frequency / kTwoPi * 4294967296.0 + 0.5;
    const bool usable = units >= 0 && units < 1e18;
    steps.push_back(usable ? static_cast<uint32_t>(static_cast<uint64_t>(units))
                           : 0);
  }
  return steps;
}

ExactTurn ExactTurnOf(uint32_t phase) {
  static const std::array<float, kTurns> sines = MakeSines();
  const uint32_t i = phase >> 20;
  return {sines[(i + kTurns / 4) % kTurns], sines[i]};
}

float ExactToFloat(DType dtype, uint32_t bits) {
  if (dtype == DType::kF16) return HalfToFloat(bits);
  return std::bit_cast<float>(dtype == DType::kBf16 ? bits << 16 : bits);
}

uint32_t ExactFromFloat(DType dtype, float value) {
  if (dtype == DType::kF16) return FloatToHalf(value);
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return dtype == DType::kBf16 ? bits >> 16 : bits;
}

}  // namespace reprise
