#include "codec/vector_section.h"

#include <cstring>

#include "codec/message.h"

namespace reprise {

Result<const VectorProfile*> CheckVectorProfile(
    CodecId codec, const FrameView& frame, std::span<const PlaneSlice> slices,
    const CodecProfile* profile) {
  REPRISE_ASSIGN_OR_RETURN(const VectorProfile* own,
                           VectorProfile::Of(codec, profile));
  if (own->id() != frame.info.profile) {
    return FailedPreconditionError(CatMessage(
        CodecIdName(codec), ": the frame was made with profile ",
        frame.info.profile.ShortHex(), ", given is ", own->id().ShortHex()));
  }
  REPRISE_RETURN_IF_ERROR(own->CheckSlices(slices));
  return own;
}

Status VectorFrame::Check() {
  if (frame_.info.stage != 0) {
    return DataLossError(
        CatMessage(name_, ": stage is ", frame_.info.stage, ", 0 is wanted"));
  }
  const PlaneSlice* first = nullptr;
  size_t wanted = 0;
  for (const PlaneSlice& slice : slices_) {
    if (PlaneOf(slice) == nullptr) {
      ++wanted;
    } else if (first == nullptr) {
      first = &slice;
      ++wanted;
    }
  }
  if (frame_.sections.size() != wanted) {
    return DataLossError(CatMessage(name_, ": has ", frame_.sections.size(),
                                    " sections, ", wanted, " are wanted"));
  }
  size_t index = 0;
  if (first != nullptr) {
    REPRISE_RETURN_IF_ERROR(CheckSection(index, *first, true));
    REPRISE_RETURN_IF_ERROR(CheckCodes(frame_.sections[index++]));
  }
  for (const PlaneSlice& slice : slices_) {
    if (PlaneOf(slice) != nullptr) continue;
    REPRISE_RETURN_IF_ERROR(CheckSection(index, slice, false));
    REPRISE_RETURN_IF_ERROR(CheckPlane(frame_.sections[index++], slice));
  }
  return Status();
}

Status VectorFrame::CheckSection(size_t index, const PlaneSlice& slice,
                                 bool is_coded) const {
  const FrameSection& section = frame_.sections[index];
  const FrameSection wanted = VectorSectionOf(slice);
  if (section.layer != wanted.layer || section.plane != wanted.plane ||
      section.channel_first != wanted.channel_first ||
      section.channel_count != wanted.channel_count) {
    return DataLossError(CatMessage(
        name_, ": section ", index, " is of layer ", section.layer, " plane ",
        section.plane, ", ", section.channel_count, " channels from ",
        section.channel_first, " on; wanted are layer ", wanted.layer,
        " plane ", wanted.plane, ", ", wanted.channel_count, " from ",
        wanted.channel_first, " on"));
  }
  const auto mode = static_cast<VectorMode>(section.mode);
  const bool fits =
      is_coded ? mode == VectorMode::kCodes || mode == VectorMode::kCodesAndRaw
               : mode == VectorMode::kPlane;
  if (fits) return Status();
  return DataLossError(CatMessage(name_, ": section ", index, ": mode is ",
                                  section.mode, ", wanted is ",
                                  is_coded ? "0 or 1" : "2"));
}

Status VectorFrame::CheckPlane(const FrameSection& section,
                               const PlaneSlice& slice) const {
  const uint64_t bytes = slice.token_bytes() * token_count_;
  if (section.bytes == bytes && section.words == 0) return Status();
  return DataLossError(CatMessage(name_, ": layer ", section.layer, " plane ",
                                  section.plane, " has ", section.bytes,
                                  " bytes and ", section.words, " words, ",
                                  bytes, " and 0 are wanted"));
}

TokenMask VectorFrame::MaskOf(uint64_t head_index) const {
  if (parts_.mask_bytes == 0) return 0;
  const uint32_t bytes = VectorMaskBytes(token_count_);
  TokenMask mask = 0;
  std::memcpy(&mask, coded_.data() + head_index * bytes, bytes);
  return mask;
}

Status VectorFrame::CheckCodes(const FrameSection& section) {
  coded_ = frame_.Section(section);
  uint64_t head_count = 0;
  for (const PlaneSlice& slice : slices_) {
    if (PlaneOf(slice) != nullptr) head_count += slice.head_count;
  }
  if (static_cast<VectorMode>(section.mode) == VectorMode::kCodesAndRaw) {
    parts_.mask_bytes = head_count * VectorMaskBytes(token_count_);
  }
  if (coded_.size() < parts_.mask_bytes) {
    return DataLossError(CatMessage(name_, ": the section has ", coded_.size(),
                                    " bytes, its masks have ",
                                    parts_.mask_bytes));
  }
  uint64_t index = 0;
  for (const PlaneSlice& slice : slices_) {
    const VectorPlane* plane = PlaneOf(slice);
    if (plane == nullptr) continue;
    for (uint32_t h = 0; h < slice.head_count; ++h) {
      const TokenMask raw = MaskOf(index++);
      if ((raw & ~FirstTokens(token_count_)) != 0) {
        return DataLossError(CatMessage(name_, ": the mask of head ", index - 1,
                                        " reaches past token ", token_count_));
      }
      parts_.Add(profile_, *plane, token_count_, raw);
    }
  }
  if (coded_.size() != parts_.bytes() ||
      section.words != parts_.raw_token_heads) {
    return DataLossError(
        CatMessage(name_, ": the section has ", coded_.size(), " bytes and ",
                   section.words, " raw token-heads, its masks say ",
                   parts_.bytes(), " and ", parts_.raw_token_heads));
  }
  return Status();
}

}  // namespace reprise
