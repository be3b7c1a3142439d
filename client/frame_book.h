// Which frames a restore waits for: what has come, and what to ask for when a
// connection broke off in mid-stream. Bookkeeping of one thread; no I/O.
#ifndef REPRISE_CLIENT_FRAME_BOOK_H_
#define REPRISE_CLIENT_FRAME_BOOK_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"

namespace reprise {

class FrameBook {
 public:
  // The frames of segments, layer groups and stages [first, end).
  struct Part {
    uint32_t first_segment = 0;
    uint32_t end_segment = 0;
    uint32_t first_group = 0;
    uint32_t end_group = 0;
    uint32_t first_stage = 0;
    uint32_t end_stage = 1;
    bool operator==(const Part&) const = default;
  };
  // What a frame is of.
  struct Place {
    uint32_t group = 0;
    uint32_t stage = 0;
  };

  explicit FrameBook(uint32_t group_count) : group_count_(group_count) {}

  // The next segment, by the place of each of its frames.
  // REQUIRES: groups are below `group_count`, stages below 32.
  void AddSegment(const std::vector<Place>& places);

  Part Whole() const {
    return {0, segment_count(), 0, group_count_, 0, stage_count_};
  }
  uint32_t segment_count() const {
    return static_cast<uint32_t>(segments_.size());
  }
  // REQUIRES: Take was OK for it.
  uint32_t group_of(uint32_t segment, uint32_t frame) const {
    return segments_[segment][frame].place.group;
  }
  // Frames that came or were given up, but for those forgotten.
  uint64_t taken_count() const { return taken_count_; }
  // Frames that ever came.
  uint64_t came_count() const { return came_count_; }
  // Grows with every stream that brought anything of use.
  uint64_t progress() const { return taken_count_ + came_count_; }
  bool is_taken(uint32_t segment, uint32_t frame) const {
    return segments_[segment][frame].taken;
  }

  // A daemon sends a frame once a stream, but may send it again in the next.
  void BeginStream() { ++stream_; }
  // A frame is here. False when it was before, or was given up. kDataLoss when
  // there is no such frame or when it came twice in this stream.
  // REQUIRES: segment < segment_count().
  Result<bool> Take(uint32_t segment, uint32_t frame);

  // A frame that came could not be kept until it was of use: it is missing
  // again, for the next stream. REQUIRES: Take was OK for it.
  void Forget(uint32_t segment, uint32_t frame) {
    if (!segments_[segment][frame].taken) return;
    segments_[segment][frame].taken = false;
    --taken_count_;
  }

  // The frames of `part` that have not come never will. Calls
  // lost(segment, frame) for each. Not those that came in this stream and were
  // forgotten.
  template <typename Lost>
  void GiveUp(const Part& part, Lost lost) {
    for (uint32_t s = part.first_segment; s < part.end_segment; ++s) {
      for (uint32_t f = 0; f < segments_[s].size(); ++f) {
        Frame& frame = segments_[s][f];
        if (frame.taken || frame.stream == stream_ ||
            !IsIn(part, frame.place)) {
          continue;
        }
        SetTaken(&frame);
        lost(s, f);
      }
    }
  }

  // Which of what is missing.
  struct Missing {
    uint32_t end_segment = UINT32_MAX;
    uint32_t end_stage = UINT32_MAX;
    bool with_base_only = false;  // nothing where stage 0 is missing too
    bool never_came = false;      // nothing that was forgotten
    bool token_major = false;     // the order of the stream
  };
  // What to fetch next: in the order of the stream, and as much as one fetch
  // can ask for without anything that is here already (but for stages between
  // others that are missing). Nothing when nothing is missing.
  std::optional<Part> NextMissing(const Missing& wanted) const;

 private:
  struct Frame {
    Place place;
    uint32_t stream = 0;  // the last that brought it
    bool taken = false;
  };

  static bool IsIn(const Part& part, const Place& place) {
    return place.group >= part.first_group && place.group < part.end_group &&
           place.stage >= part.first_stage && place.stage < part.end_stage;
  }
  void SetTaken(Frame* frame) {
    frame->taken = true;
    ++taken_count_;
  }

  const uint32_t group_count_;
  uint32_t stage_count_ = 1;
  std::vector<std::vector<Frame>> segments_;
  uint64_t taken_count_ = 0;
  uint64_t came_count_ = 0;  // frames, each once
  uint32_t stream_ = 1;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_FRAME_BOOK_H_
