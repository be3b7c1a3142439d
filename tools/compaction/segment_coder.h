// A segment's frames into the rows of its planes and back, one layer group at a
// time.
#ifndef REPRISE_TOOLS_COMPACTION_SEGMENT_CODER_H_
#define REPRISE_TOOLS_COMPACTION_SEGMENT_CODER_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/codec.h"
#include "store/records.h"
#include "tools/compaction/codec_shelf.h"

namespace reprise {

// The rows of one layer group: slice after slice, each [tokens, channels],
// without gaps.
uint64_t GroupRowBytes(const SegmentModel::Group& group, uint32_t tokens);

// A rendition's frames as they are stored, in the order of rendition.frames.
struct StoredFrames {
  const Rendition* rendition = nullptr;
  std::span<const ByteView> bytes;
  const Codec* codec = nullptr;
  const CodecProfile* profile = nullptr;
};

// For one thread: it keeps scratch memory.
class SegmentCoder {
 public:
  // `rows` becomes those of model.groups[group], decoded from all stages, of
  // all heads. Every byte of the frames is checked, and that they belong there.
  // kFailedPrecondition where a frame lacks tokens.
  Status Decode(const SegmentModel& model, const SegmentRecord& segment,
                const StoredFrames& frames, size_t group, Bytes* rows);

  // Whether they are frames and belong there, without decoding them.
  Status CheckFrames(const SegmentModel& model, const SegmentRecord& segment,
                     const StoredFrames& frames);

  // The frames of these rows, one a stage, of all heads. Errors of the codec.
  // REQUIRES: rows.size() is GroupRowBytes.
  Result<std::vector<Bytes>> Encode(const SegmentModel& model,
                                    const SegmentRecord& segment,
                                    const TierCodec& codec, size_t group,
                                    ByteView rows);

 private:
  // views_[stage] becomes that of one of `frames`.
  Status Parse(const SegmentModel& model, const SegmentRecord& segment,
               const SegmentId& id, const StoredFrames& frames, size_t index,
               size_t stage);
  // Frames of one range of heads, a stage each.
  Status DecodeHeads(const SegmentModel& model, const SegmentRecord& segment,
                     const StoredFrames& frames,
                     const SegmentModel::Group& group,
                     std::span<const size_t> stages, Bytes* rows);

  CodecScratch scratch_;
  FrameView views_[kMaxStages];
  FrameBuilder builders_[kMaxStages];
};

// Of the planes of a group, whatever the limit of one is: what is mostly zeros,
// or next to nothing, is off by 1. The worst of klt's lowest tier is 0.65 on
// SmolLM2-135M (3,072 tokens, 2026-11-27).
inline constexpr double kMaxMeanError = 0.9;

// Why `decoded` can't be taken for `source`, with both numbers: "layer 3 plane
// k: relative error is 0.31, limit is 0.2", or the mean of all planes is over
// kMaxMeanError, or a plane decodes to one value where there were several; of
// the first that is wrong. Empty: it can. *worst is raised to the largest error
// of a plane.
std::string FindErrorOver(const SegmentModel::Group& group, uint32_t tokens,
                          ByteView source, ByteView decoded, double limit,
                          double* worst);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SEGMENT_CODER_H_
