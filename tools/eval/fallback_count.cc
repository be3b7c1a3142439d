#include "tools/eval/fallback_count.h"

#include "codec/tsc_codec.h"
#include "codec/vector_codec.h"

namespace reprise {

Status CountFallbacks(const FrameView& frame,
                      std::span<const PlaneSlice> slices,
                      FallbackCount* count) {
  switch (frame.info.codec) {
    case CodecId::kTsc: {
      REPRISE_ASSIGN_OR_RETURN(const TscStats stats, TscFrameStats(frame));
      count->units += stats.deltas + stats.fallbacks;
      count->fallbacks += stats.fallbacks;
      return Status();
    }
    case CodecId::kVq:
    case CodecId::kPq: {
      const VectorFrameStats stats = StatsOfVectorFrame(frame, slices);
      count->units += stats.token_heads;
      count->fallbacks += stats.raw_token_heads;
      return Status();
    }
    default:
      return Status();
  }
}

}  // namespace reprise
