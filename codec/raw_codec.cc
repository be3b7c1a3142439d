#include "codec/raw_codec.h"

#include <cstring>

#include "codec/message.h"

namespace reprise {
namespace {

struct RowCopy {
  uint64_t row_bytes = 0;
  uint32_t row_count = 0;
};

// Copies rows between memory with any two strides, which are no shorter than
// a row.
void CopyRows(const RowCopy& rows, const uint8_t* from, uint64_t from_stride,
              uint8_t* to, uint64_t to_stride) {
  if (from_stride == rows.row_bytes && to_stride == rows.row_bytes) {
    std::memcpy(to, from, rows.row_bytes * rows.row_count);
    return;
  }
  for (uint32_t t = 0; t < rows.row_count; ++t) {
    std::memcpy(to + t * to_stride, from + t * from_stride, rows.row_bytes);
  }
}

FrameSection SectionOf(const PlaneSlice& slice) {
  return {.layer = slice.layer,
          .plane = slice.plane,
          .channel_first = slice.channel_first(),
          .channel_count = slice.channels()};
}

Status CheckSection(const FrameSection& section, const PlaneSlice& slice,
                    size_t index, uint32_t token_count) {
  const FrameSection wanted = SectionOf(slice);
  if (section.layer != wanted.layer || section.plane != wanted.plane ||
      section.channel_first != wanted.channel_first ||
      section.channel_count != wanted.channel_count) {
    return DataLossError(CatMessage(
        "raw: section ", index, " is of layer ", section.layer, " plane ",
        section.plane, ", ", section.channel_count, " channels from ",
        section.channel_first, " on; wanted are layer ", wanted.layer,
        " plane ", wanted.plane, ", ", wanted.channel_count, " from ",
        wanted.channel_first, " on"));
  }
  if (section.mode != 0 || section.words != 0) {
    return DataLossError(CatMessage("raw: section ", index, ": mode is ",
                                    section.mode, " and words are ",
                                    section.words, ", 0 is wanted"));
  }
  const uint64_t bytes = slice.token_bytes() * token_count;
  if (section.bytes != bytes) {
    return DataLossError(CatMessage("raw: section ", index, " has ",
                                    section.bytes, " bytes, ", bytes,
                                    " are wanted"));
  }
  return Status();
}

}  // namespace

Status CheckRawEncode(const EncodeRequest& request) {
  REPRISE_RETURN_IF_ERROR(CheckNoChoices(request, "raw"));
  if (request.profile != nullptr) {
    return InvalidArgumentError("raw: a profile was given, there are none");
  }
  if (request.info.stage != 0) {
    return InvalidArgumentError(
        CatMessage("raw: stage is ", request.info.stage, ", 0 is wanted"));
  }
  return Status();
}

Status CheckRawFrame(const FrameView& frame,
                     std::span<const PlaneSlice> slices) {
  if (frame.info.stage != 0) {
    return DataLossError(
        CatMessage("raw: stage is ", frame.info.stage, ", 0 is wanted"));
  }
  if (!frame.info.profile.IsZero()) {
    return DataLossError("raw: the frame names a profile, there are none");
  }
  if (frame.sections.size() != slices.size()) {
    return DataLossError(CatMessage("raw: has ", frame.sections.size(),
                                    " sections, ", slices.size(),
                                    " are wanted"));
  }
  for (size_t i = 0; i < frame.sections.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(
        CheckSection(frame.sections[i], slices[i], i, frame.info.token_count));
  }
  return Status();
}

Result<std::shared_ptr<const CodecProfile>> RawCodec::ParseProfile(
    ByteView bytes) const {
  return InvalidArgumentError(
      CatMessage("raw: has no profiles, ", bytes.size(), " bytes were given"));
}

Status RawCodec::Encode(const EncodeRequest& request, CodecScratch*,
                        FrameBuilder* builder) const {
  REPRISE_RETURN_IF_ERROR(CheckEncodeRequest(request));
  REPRISE_RETURN_IF_ERROR(CheckRawEncode(request));
  const uint32_t token_count = request.info.token_count;
  FrameInfo info = request.info;
  info.codec = id();
  info.profile = ProfileId();
  info.raw_bytes = RawBytesOf(request.slices, token_count);
  builder->Start(info, static_cast<uint32_t>(request.slices.size()));
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const PlaneSlice& slice = request.slices[i];
    const ConstPlaneRows& rows = request.rows[i];
    const RowCopy copy{.row_bytes = slice.token_bytes(),
                       .row_count = token_count};
    const uint64_t bytes = copy.row_bytes * token_count;
    const MutableByteView room = builder->BeginSection(bytes);
    CopyRows(copy, rows.data, rows.token_stride_bytes, room.data(),
             copy.row_bytes);
    builder->EndSection(SectionOf(slice), bytes);
  }
  return Status();
}

Status RawCodec::Decode(const FrameView& frame, const DecodeRequest& request,
                        CodecScratch*) const {
  REPRISE_RETURN_IF_ERROR(CheckDecodeRequest(frame, request));
  REPRISE_RETURN_IF_ERROR(CheckRawFrame(frame, request.slices));
  for (size_t i = 0; i < request.slices.size(); ++i) {
    const PlaneRows& rows = request.rows[i];
    if (rows.data == nullptr) continue;
    const RowCopy copy{.row_bytes = request.slices[i].token_bytes(),
                       .row_count = request.token_count};
    CopyRows(copy, frame.Section(frame.sections[i]).data(), copy.row_bytes,
             rows.data, rows.token_stride_bytes);
  }
  return Status();
}

}  // namespace reprise
