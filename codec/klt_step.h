// What the exponent of a token says (docs/format/codecs/klt.md, sections 2 and
// 3): its step, and which rows are coded. For decoders on any machine.
#ifndef REPRISE_CODEC_KLT_STEP_H_
#define REPRISE_CODEC_KLT_STEP_H_

#include <bit>
#include <cstdint>

namespace reprise {

// The exponent of a token that matters as much as the mean.
inline constexpr int kKltMeanExponent = 3;

// The step of a token whose exponent, less 3 and with the shift, is e: f64
// products of a stated order, the last one by a power of two. `step` is the
// profile's D. REQUIRES: stage < 4; |e| < 1000.
constexpr float KltStep(double step, uint32_t stage, int e) {
  const double of_stage =
      stage == 0
          ? 9
          : (stage == 1
                 ? 3
                 : (stage == 2
                        ? 1
                        : std::bit_cast<double>(uint64_t{0x3FD5555555555555})));
  const int octave = (e >= 0 ? e : e - 2) / 3;
  const int third = e - 3 * octave;
  const double of_third =
      third == 0
          ? 1
          : std::bit_cast<double>(third == 1 ? uint64_t{0x3FE965FEA53D6E3D}
                                             : uint64_t{0x3FE428A2F98D728B});
  const auto power =
      std::bit_cast<double>(static_cast<uint64_t>(1023 - octave) << 52);
  return static_cast<float>(step * of_stage * of_third * power);
}

// A row of level v is coded if v + KltBase >= 0, and that is the number of its
// table, if there are so many. `lo`: lo0 of the profile if stage = 0, else lo1.
// What a stage takes off a level is about 3 log2 of its step in units of D.
constexpr int KltBase(uint32_t stage, uint32_t lo, int e) {
  return e - (10 - 5 * static_cast<int>(stage)) - static_cast<int>(lo);
}

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_STEP_H_
