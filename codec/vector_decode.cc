#include "codec/vector_decode.h"

#include <cstring>

#include "codec/vector_section.h"

namespace reprise {
namespace {

class FrameDecoder {
 public:
  FrameDecoder(const FrameView& frame, const DecodeRequest& request,
               const VectorProfile& profile, CodecScratch* scratch)
      : frame_(frame),
        request_(request),
        profile_(profile),
        scratch_(scratch) {}

  Status Run();

 private:
  void DecodeHead(const VectorHead& head, ByteView coded) const;
  void CopyPlane(size_t slice, const FrameSection& section) const;

  const FrameView& frame_;
  const DecodeRequest& request_;
  const VectorProfile& profile_;
  CodecScratch* scratch_;
};

void FrameDecoder::DecodeHead(const VectorHead& head, ByteView coded) const {
  const VectorPlane& plane = *head.plane;
  const PlaneRows& rows = request_.rows[head.slice];
  if (rows.data == nullptr) return;
  const PlaneSlice& slice = request_.slices[head.slice];
  const VectorTable table = profile_.table(plane, slice.head_first + head.head);
  const uint32_t bits = profile_.code_bits();
  const uint32_t code_bytes = profile_.code_bytes(plane);
  const uint64_t row_bytes = uint64_t{plane.dim} * DTypeBytes(plane.dtype);
  uint8_t* const unpacked = bits == 8 ? nullptr : scratch_->Get(0, plane.dim);
  const uint8_t* codes = coded.data() + head.codes_at;
  const uint8_t* raw_row = coded.data() + head.raw_at;
  uint8_t* out = rows.data + head.head * row_bytes;
  for (uint32_t t = 0; t < request_.token_count; ++t) {
    if (head.raw >> t & 1) {
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

void FrameDecoder::CopyPlane(size_t slice, const FrameSection& section) const {
  const PlaneRows& rows = request_.rows[slice];
  if (rows.data == nullptr) return;
  const ByteView from = frame_.Section(section);
  const uint64_t row_bytes = request_.slices[slice].token_bytes();
  for (uint32_t t = 0; t < request_.token_count; ++t) {
    std::memcpy(rows.data + t * rows.token_stride_bytes,
                from.data() + t * row_bytes, row_bytes);
  }
}

Status FrameDecoder::Run() {
  VectorFrame whole(frame_, request_.slices, profile_);
  REPRISE_RETURN_IF_ERROR(whole.Check());
  REPRISE_RETURN_IF_ERROR(whole.ForEachHead([&](const VectorHead& head) {
    DecodeHead(head, frame_.Section(whole.CodeSection()));
    return Status();
  }));
  return whole.ForEachPlane([&](size_t slice, const FrameSection& section) {
    CopyPlane(slice, section);
    return Status();
  });
}

}  // namespace

Status DecodeVectorFrame(const FrameView& frame, const DecodeRequest& request,
                         const VectorProfile& profile, CodecScratch* scratch) {
  return FrameDecoder(frame, request, profile, scratch).Run();
}

}  // namespace reprise
