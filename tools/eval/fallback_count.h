// How much of a frame its codec stored as it was, because coding would have
// cost too much: every codec with such a fallback counts it in its own frames.
#ifndef REPRISE_TOOLS_EVAL_FALLBACK_COUNT_H_
#define REPRISE_TOOLS_EVAL_FALLBACK_COUNT_H_

#include <cstdint>
#include <span>

#include "base/status.h"
#include "codec/frame.h"

namespace reprise {

// In the codec's own unit: rows of one token and plane for `tsc`, token-heads
// for `vq` and `pq`.
struct FallbackCount {
  uint64_t units = 0;  // that could have been coded; 0: codec has no fallback
  uint64_t fallbacks = 0;

  double share() const {
    return units == 0
               ? 0
               : static_cast<double>(fallbacks) / static_cast<double>(units);
  }
};

// Adds what a frame holds; nothing for codecs without a fallback. Errors of
// the codec for a frame that no encoder writes.
// REQUIRES: the frame was parsed; `slices` are its slices.
Status CountFallbacks(const FrameView& frame,
                      std::span<const PlaneSlice> slices, FallbackCount* count);

}  // namespace reprise

#endif  // REPRISE_TOOLS_EVAL_FALLBACK_COUNT_H_
