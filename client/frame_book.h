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
  // The frames of segments [first, end) and layer groups [first, end).
  struct Part {
    uint32_t first_segment = 0;
    uint32_t end_segment = 0;
    uint32_t first_group = 0;
    uint32_t end_group = 0;
    bool operator==(const Part&) const = default;
  };

  explicit FrameBook(uint32_t group_count) : group_count_(group_count) {}

  // The next segment, by the layer group of each of its frames.
  // REQUIRES: groups are below `group_count`.
  void AddSegment(std::vector<uint32_t> groups);

  Part Whole() const { return {0, segment_count(), 0, group_count_}; }
  uint32_t segment_count() const {
    return static_cast<uint32_t>(segments_.size());
  }
  // REQUIRES: Take was OK for it.
  uint32_t group_of(uint32_t segment, uint32_t frame) const {
    return segments_[segment][frame].group;
  }
  // Frames that came or were given up.
  uint64_t taken_count() const { return taken_count_; }

  // A daemon sends a frame once a stream, but may send it again in the next.
  void BeginStream() { ++stream_; }
  // A frame is here. False when it was before, or was given up. kDataLoss when
  // there is no such frame or when it came twice in this stream.
  // REQUIRES: segment < segment_count().
  Result<bool> Take(uint32_t segment, uint32_t frame);

  // The frames of `part` that have not come never will. Calls
  // lost(segment, group) for each.
  template <typename Lost>
  void GiveUp(const Part& part, Lost lost) {
    for (uint32_t s = part.first_segment; s < part.end_segment; ++s) {
      for (Frame& frame : segments_[s]) {
        if (frame.taken || frame.group < part.first_group ||
            frame.group >= part.end_group) {
          continue;
        }
        SetTaken(&frame);
        lost(s, frame.group);
      }
    }
  }

  // What to fetch next of what is missing before `end_segment`: in the order
  // of the stream, and as much as one fetch can ask for without anything that
  // is here already. Nothing when nothing is missing.
  std::optional<Part> NextMissing(uint32_t end_segment, bool token_major) const;

 private:
  struct Frame {
    uint32_t group = 0;
    uint32_t stream = 0;  // the last that brought it
    bool taken = false;
  };

  void SetTaken(Frame* frame) {
    frame->taken = true;
    ++taken_count_;
  }

  const uint32_t group_count_;
  std::vector<std::vector<Frame>> segments_;
  uint64_t taken_count_ = 0;
  uint32_t stream_ = 1;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_FRAME_BOOK_H_
