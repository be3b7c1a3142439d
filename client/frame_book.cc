#include "client/frame_book.h"

#include <algorithm>
#include <bit>
#include <string>

namespace reprise {

void FrameBook::AddSegment(const std::vector<Place>& places) {
  std::vector<Frame>& frames = segments_.emplace_back();
  frames.reserve(places.size());
  for (const Place& place : places) {
    frames.push_back({.place = place});
    stage_count_ = std::max(stage_count_, place.stage + 1);
  }
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
  if (frames[frame].stream == 0) ++came_count_;
  frames[frame].stream = stream_;
  if (frames[frame].taken) return false;
  SetTaken(&frames[frame]);
  return true;
}

std::optional<FrameBook::Part> FrameBook::NextMissing(
    const Missing& wanted) const {
  const bool token_major = wanted.token_major;
  const uint32_t end_segment = std::min(wanted.end_segment, segment_count());
  // Rows in the order of the stream: layer groups, or segments. A cell holds
  // a bit for each stage that is missing.
  const uint32_t row_count = token_major ? end_segment : group_count_;
  const uint32_t column_count = token_major ? group_count_ : end_segment;
  std::vector<std::vector<uint32_t>> missing(
      row_count, std::vector<uint32_t>(column_count));
  for (uint32_t s = 0; s < end_segment; ++s) {
    for (const Frame& frame : segments_[s]) {
      const auto [group, stage] = frame.place;
      if (frame.taken || stage >= wanted.end_stage) continue;
      if (wanted.never_came && frame.stream != 0) continue;
      (token_major ? missing[s][group] : missing[group][s]) |= 1u << stage;
    }
  }
  for (auto& columns : missing) {
    for (uint32_t& stages : columns) {
      if (wanted.with_base_only && (stages & 1) != 0) stages = 0;
    }
  }
  for (uint32_t row = 0; row < row_count; ++row) {
    const std::vector<uint32_t>& columns = missing[row];
    const auto first =
        std::find_if(columns.begin(), columns.end(),
                     [](uint32_t stages) { return stages != 0; });
    if (first == columns.end()) continue;
    const auto end = std::find_if(first, columns.end(), [&](uint32_t stages) {
      return stages != *first;
    });
    // Rows that miss the same go along.
    uint32_t end_row = row + 1;
    while (end_row < row_count && missing[end_row] == columns) ++end_row;
    const auto first_column = static_cast<uint32_t>(first - columns.begin());
    const auto end_column = static_cast<uint32_t>(end - columns.begin());
    Part part{first_column, end_column, row, end_row};
    if (token_major) part = {row, end_row, first_column, end_column};
    part.first_stage = static_cast<uint32_t>(std::countr_zero(*first));
    part.end_stage = static_cast<uint32_t>(std::bit_width(*first));
    return part;
  }
  return std::nullopt;
}

}  // namespace reprise
