#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "codec/frame.h"
#include "codec/frame_layout.h"
#include "codec/message.h"

namespace reprise {
namespace {

void WriteSection(const FrameSection& section, uint8_t* out) {
  StoreLe(out + 0, section.layer);
  StoreLe(out + 2, section.plane);
  StoreLe(out + 3, section.mode);
  StoreLe(out + 4, section.channel_first);
  StoreLe(out + 8, section.channel_count);
  StoreLe(out + 12, section.words);
  StoreLe(out + 16, section.bytes);
  StoreLe(out + 20, section.offset);
  StoreLe(out + 24, section.checksum);
}

template <typename Id>
void WriteId(const Id& id, uint8_t* out) {
  std::copy(id.bytes.begin(), id.bytes.end(), out);
}

// All of the header but its own checksum.
void WriteHeader(const FrameInfo& info, uint32_t section_count,
                 uint64_t frame_bytes, uint64_t directory_checksum,
                 uint8_t* out) {
  std::fill_n(out, kFrameHeaderBytes, uint8_t{0});
  StoreLe(out + 0, kFrameMagic);
  StoreLe(out + 4, kFrameVersion);
  StoreLe(out + 6, static_cast<uint16_t>(kFrameHeaderBytes));
  StoreLe(out + 8, static_cast<uint16_t>(info.codec));
  StoreLe(out + 10, info.stage);
  StoreLe(out + 11, info.is_tail ? kFrameFlagTail : uint8_t{0});
  StoreLe(out + 12, info.first_token);
  StoreLe(out + 16, info.token_count);
  StoreLe(out + 18, static_cast<uint16_t>(info.layers.first_layer));
  StoreLe(out + 20, static_cast<uint16_t>(info.layers.layer_count));
  StoreLe(out + 22, info.heads.first);
  StoreLe(out + 24, info.heads.count);
  StoreLe(out + 26, info.heads.total);
  StoreLe(out + 28, section_count);
  StoreLe(out + 32, frame_bytes);
  StoreLe(out + 40, info.raw_bytes);
  WriteId(info.model, out + 48);
  WriteId(info.segment, out + 80);
  WriteId(info.profile, out + 112);
  StoreLe(out + 144, directory_checksum);
}

}  // namespace

void FrameBuilder::Start(const FrameInfo& info, uint32_t section_count) {
  info_ = info;
  section_count_ = section_count;
  sections_done_ = 0;
  open_bytes_ = 0;
  overrun_ = false;
  size_ = kFrameHeaderBytes + kFrameEntryBytes * uint64_t{section_count};
  Grow(size_);
}

void FrameBuilder::Grow(uint64_t bytes) {
  if (buffer_.size() < bytes) buffer_.resize(bytes);
}

MutableByteView FrameBuilder::BeginSection(uint64_t max_bytes) {
  // The padding that follows the section is in the room as well.
  Grow(AlignFrameOffset(size_ + max_bytes));
  open_bytes_ = max_bytes;
  return {buffer_.data() + size_, max_bytes};
}

void FrameBuilder::EndSection(FrameSection section, uint64_t used_bytes) {
  REPRISE_DCHECK(used_bytes <= open_bytes_);
  if (used_bytes > open_bytes_ || sections_done_ == section_count_) {
    overrun_ = true;
    return;
  }
  section.offset = static_cast<uint32_t>(size_);
  section.bytes = static_cast<uint32_t>(used_bytes);
  section.checksum = Checksum({buffer_.data() + size_, used_bytes});
  WriteSection(section, buffer_.data() + kFrameHeaderBytes +
                            kFrameEntryBytes * uint64_t{sections_done_});
  const uint64_t end = size_ + used_bytes;
  size_ = AlignFrameOffset(end);
  std::fill(buffer_.data() + end, buffer_.data() + size_, uint8_t{0});
  open_bytes_ = 0;
  ++sections_done_;
}

Result<ByteView> FrameBuilder::Finish() {
  if (overrun_ || sections_done_ != section_count_) {
    return InternalError(
        CatMessage("frame: ", sections_done_, " sections were written",
                   overrun_ ? " before one too many or too large" : "", ", ",
                   section_count_, " were announced"));
  }
  if (section_count_ > kMaxFrameSections) {
    return ResourceExhaustedError(
        CatMessage("frame: has ", section_count_, " sections, at most ",
                   kMaxFrameSections, " are allowed"));
  }
  if (size_ > kMaxFrameBytes) {
    return ResourceExhaustedError(CatMessage("frame: has ", size_,
                                             " bytes, at most ", kMaxFrameBytes,
                                             " are allowed"));
  }
  if (std::string problem = FrameInfoProblem(info_); !problem.empty()) {
    return InvalidArgumentError("frame: " + std::move(problem));
  }
  uint8_t* const header = buffer_.data();
  const uint64_t directory_checksum =
      Checksum({header + kFrameHeaderBytes,
                kFrameEntryBytes * uint64_t{section_count_}});
  WriteHeader(info_, section_count_, size_, directory_checksum, header);
  const uint64_t checked = kFrameHeaderBytes - kFrameHeaderChecksumBytes;
  StoreLe(header + checked, Checksum({header, checked}));
  return ByteView(buffer_.data(), size_);
}

}  // namespace reprise
