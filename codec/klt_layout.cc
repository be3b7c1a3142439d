#include "codec/klt_layout.h"

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

}  // namespace reprise
