// The frames that a device is measured on: of one layer of an 8B-class model
// (8 KV heads of 128, bf16), of made-up values at which codecs reach about the
// sizes of real state (structured_kv.h).
#ifndef REPRISE_BENCH_GPU_FRAMES_H_
#define REPRISE_BENCH_GPU_FRAMES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/frame.h"

namespace reprise::bench {

inline constexpr uint16_t kMeasuredHeads = 8;  // of a layer
inline constexpr uint32_t kMeasuredTokens = kSegmentTokens;

// Names of ways to use codecs: "ExactProfile". Those of `exact` come last.
std::vector<std::string> MeasuredCodings();

struct MeasuredFrames {
  CodecId codec = CodecId::kRaw;
  std::shared_ptr<const CodecOptions> options;  // null: none
  std::shared_ptr<const CodecProfile> profile;  // likewise
  FrameInfo info;
  std::vector<PlaneSlice> slices;  // of a spec that is never freed
  // Plane after plane, each [tokens, heads, dim], as an engine without pages
  // has it: what is encoded, and what the host's decoder makes of the frames.
  Bytes rows, decoded;
  std::vector<Bytes> frames;  // stage 0 first
};

// One segment's, of the layer's first `heads`. kInvalidArgument when there is
// no such coding; errors of the codec.
Result<MeasuredFrames> MakeMeasuredFrames(const std::string& coding,
                                          uint16_t heads);

// MeasuredFrames::rows alone.
Result<Bytes> MeasuredRows(uint16_t heads);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_GPU_FRAMES_H_
