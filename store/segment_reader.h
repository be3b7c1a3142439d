// What is stored of many segments, read in few calls of the engine: the part
// that saving, fetching, leasing and checking have in common.
#ifndef REPRISE_STORE_SEGMENT_READER_H_
#define REPRISE_STORE_SEGMENT_READER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "store/engine.h"
#include "store/records.h"

namespace reprise {

// Where a segment or a tail lies.
struct SegmentRef {
  SegmentId id;
  ObjectSpace space = ObjectSpace::kSegment;  // or kTail
};
// All that a commit refers to, in order: its segments from `first` on, and its
// tail if it has one.
std::vector<SegmentRef> SegmentRefsOf(const CommitRecord& commit,
                                      size_t first = 0);

// One segment or tail as it is stored.
struct StoredSegment {
  // Of the segment object: OK, kNotFound, or kDataLoss when its bytes are
  // damaged or name another segment.
  Status status;
  SegmentRecord segment;

  // Of the rendition record: OK, kNotFound or kDataLoss.
  Status rendition_status;
  HeadVersion version = 0;  // 0: there is none
  uint64_t rendition_record_bytes = 0;
  RenditionSet set;
  // After a touch: complete[i] says whether every frame of set.renditions[i]
  // was present and touched.
  std::array<bool, kMaxRenditionsPerSet> complete{};
  // After a touch: how many frames of set.renditions[i] are there, from the
  // first on, before one is missing.
  std::array<size_t, kMaxRenditionsPerSet> present{};
};

// Reads segments of a domain.
// With an epoch, what is there is touched first: the segment object, then (as
// the record says) each frame of each rendition. The order matters to the
// collector, which removes a segment object before its rendition record.
// (*out)[i] belongs to refs[i]. Not OK only when the engine fails as a whole.
Status ReadSegments(Engine* engine, const DomainId& domain,
                    std::span<const SegmentRef> refs,
                    std::optional<Epoch> touch_epoch,
                    std::vector<StoredSegment>* out);

// Touches every frame; (*present)[i] answers frames[i].
Status TouchFrames(Engine* engine, const DomainId& domain,
                   const SegmentId& segment, std::span<const FrameRef> frames,
                   Epoch epoch, std::vector<bool>* present);

}  // namespace reprise

#endif  // REPRISE_STORE_SEGMENT_READER_H_
