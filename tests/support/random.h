// Deterministic random numbers for tests: the same seed gives the same numbers
// on every machine and with every standard library.
#ifndef REPRISE_TESTS_SUPPORT_RANDOM_H_
#define REPRISE_TESTS_SUPPORT_RANDOM_H_

#include <cstdint>

#include "base/bytes.h"

namespace reprise {

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
// generators", 2014). Not thread-safe.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t U64() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound), up to a bias of bound / 2^64. REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return U64() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  // Uniform in [0, 1).
  double Unit() { return static_cast<double>(U64() >> 11) * 0x1p-53; }
  // About normal, mean 0, deviation 1: the sum of twelve uniform numbers.
  double Normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += Unit();
    return sum;
  }
  void Fill(MutableByteView out) {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(U64());
  }

 private:
  uint64_t state_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_RANDOM_H_
