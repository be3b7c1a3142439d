// The table and the offset of each channel of a stream of `exact`, on a
// device.
#ifndef REPRISE_GPU_EXACT_CHANNELS_H_
#define REPRISE_GPU_EXACT_CHANNELS_H_

#include <cstdint>

#include "codec/exact_split.h"
#include "gpu/executor.h"

namespace reprise {

// Where channels have them: in a profile, or in the head of the stream.
struct ExactGpuChannels {
  // Of a profile; null: the stream has a head.
  //
  //   words  [channels, angles]  from the stream's first channel on
  //   steps  [rotary_pairs]
  const uint16_t* words = nullptr;
  const uint32_t* steps = nullptr;
  uint32_t first_token = 0;
  uint32_t dim = 0;            // of the plane's heads
  uint32_t first_channel = 0;  // of the stream, in its plane
  uint32_t rotary_pairs = 0;
  uint16_t angles = 1;
  bool is_adjacent = false;
  // Of a head: 4 bits a channel, in the frame.
  uint32_t base = 0;
  const uint8_t* steps4 = nullptr;
  uint8_t table = 0;
  uint8_t unit_bits = 0;

  // offset << 3 | table of a channel. REQUIRES: c is one of the stream's.
  REPRISE_GPU uint32_t WordOf(uint32_t c, uint32_t key_mask) const {
    if (words == nullptr) {
      const uint32_t step = steps4[c / 2] >> (c % 2 * 4) & 15;
      return ((base + (step << unit_bits)) & key_mask) << 3 | table;
    }
    uint32_t index = c * angles;
    if (angles > 1) {
      const uint32_t pair =
          ExactPair(is_adjacent, rotary_pairs, (first_channel + c) % dim);
      if (pair < rotary_pairs) index += ExactAngle(steps[pair], first_token);
    }
    return words[index];
  }
};

}  // namespace reprise

#endif  // REPRISE_GPU_EXACT_CHANNELS_H_
