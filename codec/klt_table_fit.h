// The tables of a profile of `klt`, counted from coefficients of tokens that
// its transform was not fitted to.
#ifndef REPRISE_CODEC_KLT_TABLE_FIT_H_
#define REPRISE_CODEC_KLT_TABLE_FIT_H_

#include <array>
#include <cstdint>
#include <vector>

#include "codec/klt_profile_format.h"

namespace reprise {

// The level of a row: 128 + round(3 log2(sigma / step)), from 0 to 255.
uint8_t KltLevelOf(double variance, double step);

// Counts what an encoder would send of coefficients: at the profile's step,
// and, with a sixteenth of the weight, at finer and coarser ones, so that rows
// of a level that this text does not have find a table too.
class KltTableFit {
 public:
  // Takes step, lo0 and lo1 of the parts.
  explicit KltTableFit(const KltProfileParts& parts);

  // Coefficients [tokens, stride] of a group with these levels.
  void Count(const std::vector<uint8_t>& levels, uint32_t n, const float* z,
             uint64_t stride, uint64_t tokens);

  // Fills in exponents, magnitudes and refining.
  void Fill(KltProfileParts* parts) const;

 private:
  static constexpr uint32_t kIndices = 320;
  using Magnitudes = std::array<uint64_t, kKltMagnitudes>;
  using Refinings = std::array<std::array<uint64_t, 3>, kKltContexts>;

  void CountRow(int level, int exponent, const float* z, uint32_t lanes);
  void CountOne(int index, uint32_t first_stage, uint64_t weight,
                uint32_t magnitude);

  double step_;
  int lo0_, lo1_;
  std::vector<Magnitudes> magnitudes_;  // [index]
  std::vector<Refinings> refinings_;    // [index]
};

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_TABLE_FIT_H_
