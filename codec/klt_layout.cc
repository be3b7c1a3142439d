#include "codec/klt_layout.h"

#include <bit>
#include <cmath>

namespace reprise {

FrameSection KltSectionOf(const PlaneSlice& first_slice, KltMode mode,
                          uint32_t words) {
  FrameSection section;
  section.layer = first_slice.layer;
  section.plane = first_slice.plane;
  section.mode = static_cast<uint8_t>(mode);
  section.words = words;
  return section;
}

FrameSection KltPlaneSectionOf(const PlaneSlice& slice) {
  FrameSection section = KltSectionOf(slice, KltMode::kPlane, 0);
  section.channel_first = slice.channel_first();
  section.channel_count = slice.channels();
  return section;
}

float KltStep(double step, uint32_t stage, int e) {
  static constexpr double kOfStage[kMaxStages] = {
      9, 3, 1, std::bit_cast<double>(uint64_t{0x3FD5555555555555})};
  static constexpr double kThirds[3] = {
      1, std::bit_cast<double>(uint64_t{0x3FE965FEA53D6E3D}),
      std::bit_cast<double>(uint64_t{0x3FE428A2F98D728B})};
  const int octave = (e >= 0 ? e : e - 2) / 3;
  const double product = step * kOfStage[stage] * kThirds[e - 3 * octave];
  return static_cast<float>(std::ldexp(product, -octave));
}

}  // namespace reprise
