#include "codec/tsc_section.h"

#include <algorithm>
#include <cmath>

#include "codec/message.h"
#include "codec/tsc_simd.h"

namespace reprise {
namespace {

constexpr uint16_t kInfinity = 0x7c00;

Status Damaged(const FrameSection& section, std::string_view what, uint64_t is,
               uint64_t wanted) {
  return DataLossError(CatMessage("tsc: layer ", section.layer, " plane ",
                                  section.plane, ": ", what, " is ", is,
                                  ", wanted is ", wanted));
}

Status CheckPlace(const FrameSection& section, const PlaneSlice& slice) {
  if (section.layer != slice.layer || section.plane != slice.plane) {
    return DataLossError(CatMessage(
        "tsc: a section is of layer ", section.layer, " plane ", section.plane,
        ", wanted are layer ", slice.layer, " plane ", slice.plane));
  }
  if (section.channel_first != slice.channel_first()) {
    return Damaged(section, "first channel", section.channel_first,
                   slice.channel_first());
  }
  if (section.channel_count != slice.channels()) {
    return Damaged(section, "channel count", section.channel_count,
                   slice.channels());
  }
  if (section.mode != 4 && section.mode != 8) {
    return Damaged(section, "number of bits", section.mode, 4);
  }
  return Status();
}

}  // namespace

Status LoadTscSection(const FrameView& frame, const FrameSection& section,
                      const PlaneSlice& slice, TscSection* out) {
  REPRISE_RETURN_IF_ERROR(CheckPlace(section, slice));
  if (section.bytes < kTscHeaderBytes) {
    return Damaged(section, "size", section.bytes, kTscHeaderBytes);
  }
  out->bytes = frame.Section(section).data();
  REPRISE_RETURN_IF_ERROR(LoadTscHeader(out->bytes, &out->header));
  const TscHeader& header = out->header;
  const TokenMask beyond = ~FirstTokens(frame.info.token_count);
  if ((header.kept & beyond) != 0) {
    return Damaged(section, "number of tokens past the frame's",
                   std::popcount(header.kept & beyond), 0);
  }
  if (TscIsRawOnly(slice.spec->dtype) && header.raw != header.kept) {
    return Damaged(section, "number of deltas of a plane without",
                   std::popcount(header.deltas()), 0);
  }
  if (TscIsRawOnly(slice.spec->dtype) && header.reference != 0) {
    return Damaged(section, "number of references of a plane without",
                   std::popcount(header.reference), 0);
  }
  if (section.words != header.fallbacks()) {
    return Damaged(section, "number of fallbacks", section.words,
                   header.fallbacks());
  }
  out->shape = TscShapeOf(slice, section.mode);
  out->layout = LayOutTsc(header, out->shape);
  if (section.bytes != out->layout.end) {
    return Damaged(section, "size", section.bytes, out->layout.end);
  }
  return Status();
}

Result<TokenMask> CheckTscFrame(const FrameView& frame,
                                std::span<const PlaneSlice> slices) {
  if (frame.info.stage != 0) {
    return DataLossError(
        CatMessage("tsc: stage is ", frame.info.stage, ", 0 is wanted"));
  }
  const size_t count = slices.size();
  if (frame.sections.size() != count) {
    return DataLossError(CatMessage("tsc: has ", frame.sections.size(),
                                    " sections, ", count, " are wanted"));
  }
  TokenMask kept = 0;
  TscSection section;
  for (size_t i = 0; i < count; ++i) {
    REPRISE_RETURN_IF_ERROR(
        LoadTscSection(frame, frame.sections[i], slices[i], &section));
    if (i == 0) kept = section.header.kept;
    if (section.header.kept != kept) {
      return Damaged(frame.sections[i], "number of tokens kept otherwise",
                     std::popcount(section.header.kept ^ kept), 0);
    }
  }
  return kept;
}

Status CheckTscKept(const FrameView& frame, TokenMask kept,
                    uint32_t token_count, bool takes_kept) {
  const TokenMask missing = FirstTokens(token_count) & ~kept;
  if (missing == 0 || takes_kept) return Status();
  return FailedPreconditionError(CatMessage(
      "tsc: the frame lacks ", std::popcount(missing), " of the ", token_count,
      " tokens that are wanted, of ", frame.info.token_count));
}

namespace {

Status CheckScales(const FrameSection& entry, const TscSection& section) {
  uint16_t most = 0;
  for (uint64_t i = 0; i < section.layout.scale_count; ++i) {
    const auto scale =
        LoadLe<uint16_t>(section.bytes + section.layout.scales + 2 * i);
    most = scale > most ? scale : most;
  }
  if (most < kInfinity) return Status();
  return Damaged(entry, "largest scale", most, kInfinity - 1u);
}

// REQUIRES: a plane of floats.
bool IsFinite(const TscShape& shape, const uint8_t* row) {
  constexpr uint32_t kHeads = 32;  // at a time
  float largest[kHeads];
  TscShape some = shape;
  for (uint32_t h = 0; h < shape.heads; h += some.heads) {
    some.heads = std::min(shape.heads - h, kHeads);
    TscLargest(some, row, nullptr, largest);
    for (uint32_t i = 0; i < some.heads; ++i) {
      if (!std::isfinite(largest[i])) return false;
    }
    row += some.row_bytes();
  }
  return true;
}

}  // namespace

Status CheckTscValues(const FrameSection& entry, const TscSection& section,
                      uint32_t token_count) {
  REPRISE_RETURN_IF_ERROR(CheckScales(entry, section));
  // LoadTscSection let no plane of other elements have references.
  const TscHeader& header = section.header;
  TokenMask left = header.reference & FirstTokens(token_count);
  for (; left != 0; left &= left - 1) {
    const TokenMask below = (left & ~(left - 1)) - 1;
    const auto index = static_cast<uint64_t>(std::popcount(header.raw & below));
    const uint8_t* const row =
        section.bytes + section.layout.raw + index * section.shape.row_bytes();
    if (IsFinite(section.shape, row)) continue;
    return DataLossError(CatMessage("tsc: layer ", entry.layer, " plane ",
                                    entry.plane,
                                    ": a reference is not finite"));
  }
  return Status();
}

}  // namespace reprise
