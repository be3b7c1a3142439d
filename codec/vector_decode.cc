#include "codec/vector_decode.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "codec/message.h"
#include "codec/vector_layout.h"

namespace reprise {
namespace {

class FrameDecoder {
 public:
  FrameDecoder(const FrameView& frame, const DecodeRequest& request,
               const VectorProfile& profile, CodecScratch* scratch)
      : frame_(frame),
        request_(request),
        profile_(profile),
        scratch_(scratch),
        name_(CodecIdName(profile.codec())),
        token_count_(frame.info.token_count) {}

  Status Run();

 private:
  const VectorPlane* PlaneOf(const PlaneSlice& slice) const {
    return profile_.FindPlane(slice.layer, slice.plane);
  }
  // The sections in order: that of codes, if a slice is coded, then the rest.
  Status CheckSections();
  Status CheckSection(size_t index, const PlaneSlice& slice, bool is_coded);
  Status CheckPlane(const FrameSection& section, const PlaneSlice& slice);
  Status CheckCodes(const FrameSection& section);
  TokenMask MaskOf(uint64_t head_index) const;

  void DecodeCodes();
  void DecodeHead(const VectorPlane& plane, uint32_t head, TokenMask raw,
                  const PlaneRows& rows, uint64_t row_offset);
  void CopyPlane(const FrameSection& section, const PlaneSlice& slice,
                 const PlaneRows& rows) const;

  const FrameView& frame_;
  const DecodeRequest& request_;
  const VectorProfile& profile_;
  CodecScratch* scratch_;
  std::string_view name_;
  uint32_t token_count_;

  ByteView coded_;  // the section of codes; empty without one
  VectorParts parts_;
  // Of the head that is next.
  const uint8_t* codes_ = nullptr;
  const uint8_t* raw_ = nullptr;
};

Status FrameDecoder::CheckSections() {
  const PlaneSlice* first = nullptr;
  size_t wanted = 0;
  for (const PlaneSlice& slice : request_.slices) {
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
  for (const PlaneSlice& slice : request_.slices) {
    if (PlaneOf(slice) != nullptr) continue;
    REPRISE_RETURN_IF_ERROR(CheckSection(index, slice, false));
    REPRISE_RETURN_IF_ERROR(CheckPlane(frame_.sections[index++], slice));
  }
  return Status();
}

Status FrameDecoder::CheckSection(size_t index, const PlaneSlice& slice,
                                  bool is_coded) {
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

Status FrameDecoder::CheckPlane(const FrameSection& section,
                                const PlaneSlice& slice) {
  const uint64_t bytes = slice.token_bytes() * token_count_;
  if (section.bytes == bytes && section.words == 0) return Status();
  return DataLossError(CatMessage(name_, ": layer ", section.layer, " plane ",
                                  section.plane, " has ", section.bytes,
                                  " bytes and ", section.words, " words, ",
                                  bytes, " and 0 are wanted"));
}

TokenMask FrameDecoder::MaskOf(uint64_t head_index) const {
  if (parts_.mask_bytes == 0) return 0;
  const uint32_t bytes = VectorMaskBytes(token_count_);
  TokenMask mask = 0;
  std::memcpy(&mask, coded_.data() + head_index * bytes, bytes);
  return mask;
}

Status FrameDecoder::CheckCodes(const FrameSection& section) {
  coded_ = frame_.Section(section);
  uint64_t head_count = 0;
  for (const PlaneSlice& slice : request_.slices) {
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
  for (const PlaneSlice& slice : request_.slices) {
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

void FrameDecoder::DecodeHead(const VectorPlane& plane, uint32_t head,
                              TokenMask raw, const PlaneRows& rows,
                              uint64_t row_offset) {
  const VectorTable table = profile_.table(plane, head);
  const uint32_t bits = profile_.code_bits();
  const uint32_t code_bytes = profile_.code_bytes(plane);
  const uint64_t row_bytes = uint64_t{plane.dim} * DTypeBytes(plane.dtype);
  uint8_t* const unpacked = bits == 8 ? nullptr : scratch_->Get(0, plane.dim);
  const uint8_t* codes = codes_;
  const uint8_t* raw_row = raw_;
  uint8_t* out = rows.data + row_offset;
  for (uint32_t t = 0; t < request_.token_count; ++t) {
    if (raw >> t & 1) {
      std::memcpy(out, raw_row, row_bytes);
      raw_row += row_bytes;
    } else if (bits == 8) {
      VectorDecodeRow(table, codes, out);
      codes += code_bytes;
    } else {
      UnpackCodes(codes, table.blocks(), bits, unpacked);
      VectorDecodeRow(table, unpacked, out);
      codes += code_bytes;
    }
    out += rows.token_stride_bytes;
  }
}

void FrameDecoder::DecodeCodes() {
  codes_ = coded_.data() + parts_.codes_at();
  raw_ = coded_.data() + parts_.raw_at();
  uint64_t index = 0;
  for (size_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    const VectorPlane* plane = PlaneOf(slice);
    if (plane == nullptr) continue;
    const uint64_t row_bytes = uint64_t{plane->dim} * DTypeBytes(plane->dtype);
    for (uint32_t h = 0; h < slice.head_count; ++h) {
      const TokenMask raw = MaskOf(index++);
      if (request_.rows[i].data != nullptr) {
        DecodeHead(*plane, slice.head_first + h, raw, request_.rows[i],
                   h * row_bytes);
      }
      const auto raw_count = static_cast<uint32_t>(std::popcount(raw));
      codes_ +=
          uint64_t{profile_.code_bytes(*plane)} * (token_count_ - raw_count);
      raw_ += row_bytes * raw_count;
    }
  }
}

void FrameDecoder::CopyPlane(const FrameSection& section,
                             const PlaneSlice& slice,
                             const PlaneRows& rows) const {
  const ByteView from = frame_.Section(section);
  const uint64_t row_bytes = slice.token_bytes();
  for (uint32_t t = 0; t < request_.token_count; ++t) {
    std::memcpy(rows.data + t * rows.token_stride_bytes,
                from.data() + t * row_bytes, row_bytes);
  }
}

Status FrameDecoder::Run() {
  REPRISE_RETURN_IF_ERROR(CheckSections());
  size_t index = 0;
  if (parts_.token_heads > 0) {
    DecodeCodes();
    ++index;
  }
  for (size_t i = 0; i < request_.slices.size(); ++i) {
    const PlaneSlice& slice = request_.slices[i];
    if (PlaneOf(slice) != nullptr) continue;
    const FrameSection& section = frame_.sections[index++];
    if (request_.rows[i].data == nullptr) continue;
    CopyPlane(section, slice, request_.rows[i]);
  }
  return Status();
}

}  // namespace

Status DecodeVectorFrame(const FrameView& frame, const DecodeRequest& request,
                         const VectorProfile& profile, CodecScratch* scratch) {
  return FrameDecoder(frame, request, profile, scratch).Run();
}

}  // namespace reprise
