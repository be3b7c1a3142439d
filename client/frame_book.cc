#include "client/frame_book.h"

#include <algorithm>
#include <string>

namespace reprise {

void FrameBook::AddSegment(std::vector<uint32_t> groups) {
  std::vector<Frame>& frames = segments_.emplace_back();
  frames.reserve(groups.size());
  for (const uint32_t group : groups) frames.push_back({.group = group});
}

Result<bool> FrameBook::Take(uint32_t segment, uint32_t frame) {
  std::vector<Frame>& frames = segments_[segment];
  if (frame >= frames.size()) {
    return DataLossError("restore: frame " + std::to_string(frame) +
                         " of segment " + std::to_string(segment) +
                         ", which has " + std::to_string(frames.size()));
  }
  if (frames[frame].stream == stream_) {
    return DataLossError("restore: frame " + std::to_string(frame) +
                         " of segment " + std::to_string(segment) +
                         " came twice");
  }
  frames[frame].stream = stream_;
  if (frames[frame].taken) return false;
  SetTaken(&frames[frame]);
  return true;
}

std::optional<FrameBook::Part> FrameBook::NextMissing(uint32_t end_segment,
                                                      bool token_major) const {
  end_segment = std::min(end_segment, segment_count());
  // Rows in the order of the stream: layer groups, or segments.
  const uint32_t row_count = token_major ? end_segment : group_count_;
  const uint32_t column_count = token_major ? group_count_ : end_segment;
  std::vector<std::vector<bool>> missing(row_count,
                                         std::vector<bool>(column_count));
  for (uint32_t s = 0; s < end_segment; ++s) {
    for (const Frame& frame : segments_[s]) {
      if (frame.taken) continue;
      (token_major ? missing[s][frame.group] : missing[frame.group][s]) = true;
    }
  }
  for (uint32_t row = 0; row < row_count; ++row) {
    const std::vector<bool>& columns = missing[row];
    const auto first = std::find(columns.begin(), columns.end(), true);
    if (first == columns.end()) continue;
    const auto end = std::find(first, columns.end(), false);
    // Rows that miss the same go along.
    uint32_t end_row = row + 1;
    while (end_row < row_count && missing[end_row] == columns) ++end_row;
    const auto first_column = static_cast<uint32_t>(first - columns.begin());
    const auto end_column = static_cast<uint32_t>(end - columns.begin());
    if (token_major) return Part{row, end_row, first_column, end_column};
    return Part{first_column, end_column, row, end_row};
  }
  return std::nullopt;
}

}  // namespace reprise
