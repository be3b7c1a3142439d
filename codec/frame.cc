#include "codec/frame.h"

#include "base/limits.h"
#include "codec/frame_layout.h"
#include "codec/message.h"

namespace reprise {
namespace {

// What the header says beside FrameInfo.
struct FrameSizes {
  uint32_t section_count = 0;
  uint64_t frame_bytes = 0;
  uint64_t directory_checksum = 0;

  uint64_t directory_end() const {
    return kFrameHeaderBytes + kFrameEntryBytes * section_count;
  }
};

Status Damaged(std::string message) {
  return DataLossError("frame: " + std::move(message));
}

// Magic, header size, header checksum, version: the four that keep their
// places in all versions, so that damage is told from the future.
Status CheckHeaderBytes(ByteView bytes) {
  if (bytes.size() < kFrameHeaderBytes) {
    return Damaged(CatMessage("has ", bytes.size(), " bytes, the header has ",
                              kFrameHeaderBytes));
  }
  ByteReader reader(bytes);
  const uint32_t magic = reader.U32();
  const uint16_t version = reader.U16();
  const uint16_t header_bytes = reader.U16();
  if (magic != kFrameMagic) {
    return Damaged(
        CatMessage("magic is ", magic, ", ", kFrameMagic, " is wanted"));
  }
  if (header_bytes < kFrameHeaderBytes || header_bytes > bytes.size()) {
    return Damaged(CatMessage("header says it has ", header_bytes, " bytes, ",
                              kFrameHeaderBytes, " to ", bytes.size(),
                              " are wanted"));
  }
  const uint64_t checked_bytes = header_bytes - kFrameHeaderChecksumBytes;
  const uint64_t computed = Checksum(bytes.first(checked_bytes));
  const uint64_t stored = LoadLe<uint64_t>(bytes.data() + checked_bytes);
  if (computed != stored) {
    return Damaged(
        CatMessage("header checksum is ", computed, ", stored is ", stored));
  }
  if (version > kFrameVersion) {
    return UnimplementedError(CatMessage("frame: version is ", version,
                                         ", the newest built is ",
                                         kFrameVersion));
  }
  if (version < kFrameVersion) {
    return Damaged(
        CatMessage("version is ", version, ", the oldest is ", kFrameVersion));
  }
  if (header_bytes != kFrameHeaderBytes) {
    return Damaged(CatMessage("header says it has ", header_bytes,
                              " bytes, version 1 has ", kFrameHeaderBytes));
  }
  return Status();
}

Status ReadHeader(ByteView bytes, FrameInfo* info, FrameSizes* sizes) {
  REPRISE_RETURN_IF_ERROR(CheckHeaderBytes(bytes));
  ByteReader reader(bytes.subspan(8));
  info->codec = static_cast<CodecId>(reader.U16());
  info->stage = reader.U8();
  const uint8_t flags = reader.U8();
  info->is_tail = (flags & kFrameFlagTail) != 0;
  info->first_token = reader.U32();
  info->token_count = reader.U16();
  info->layers.first_layer = reader.U16();
  info->layers.layer_count = reader.U16();
  info->heads.first = reader.U16();
  info->heads.count = reader.U16();
  info->heads.total = reader.U16();
  sizes->section_count = reader.U32();
  sizes->frame_bytes = reader.U64();
  info->raw_bytes = reader.U64();
  info->model = ReadId<ModelId>(&reader);
  info->segment = ReadId<SegmentId>(&reader);
  info->profile = ReadId<ProfileId>(&reader);
  sizes->directory_checksum = reader.U64();
  const ByteView reserved = reader.View(kFrameReservedBytes);

  if ((flags & ~kFrameKnownFlags) != 0) {
    return Damaged(
        CatMessage("flags are ", flags, ", known are ", kFrameKnownFlags));
  }
  for (size_t i = 0; i < reserved.size(); ++i) {
    if (reserved[i] == 0) continue;
    return Damaged(
        CatMessage("reserved byte ", i, " is ", reserved[i], ", 0 is wanted"));
  }
  if (std::string problem = FrameInfoProblem(*info); !problem.empty()) {
    return Damaged(std::move(problem));
  }
  return Status();
}

Status CheckSizes(const FrameSizes& sizes, uint64_t bytes) {
  if (sizes.section_count > kMaxFrameSections) {
    return Damaged(CatMessage("has ", sizes.section_count,
                              " sections, at most ", kMaxFrameSections,
                              " are allowed"));
  }
  if (sizes.frame_bytes < sizes.directory_end() ||
      sizes.frame_bytes > kMaxFrameBytes) {
    return Damaged(CatMessage("header says ", sizes.frame_bytes, " bytes, ",
                              sizes.directory_end(), " to ", kMaxFrameBytes,
                              " are wanted"));
  }
  if (bytes < sizes.directory_end() || bytes > sizes.frame_bytes) {
    return Damaged(CatMessage("has ", bytes, " bytes, header says ",
                              sizes.frame_bytes, " and a directory up to ",
                              sizes.directory_end()));
  }
  return Status();
}

FrameSection ReadSection(ByteReader* reader) {
  FrameSection section;
  section.layer = reader->U16();
  section.plane = reader->U8();
  section.mode = reader->U8();
  section.channel_first = reader->U32();
  section.channel_count = reader->U32();
  section.words = reader->U32();
  section.bytes = reader->U32();
  section.offset = reader->U32();
  section.checksum = reader->U64();
  return section;
}

Status CheckSection(const FrameSection& section, const LayerGroup& layers) {
  if (section.layer < layers.first_layer ||
      section.layer - layers.first_layer >= layers.layer_count) {
    return Damaged(CatMessage("a section is of layer ", section.layer,
                              ", the frame has ", layers.layer_count, " from ",
                              layers.first_layer, " on"));
  }
  if (section.plane >= kMaxPlanesPerLayer) {
    return Damaged(CatMessage("a section is of plane ", section.plane,
                              ", a layer has at most ", kMaxPlanesPerLayer));
  }
  if (section.channel_count > UINT32_MAX - section.channel_first) {
    return Damaged(CatMessage("a section has ", section.channel_count,
                              " channels from ", section.channel_first,
                              " on, past 32 bits"));
  }
  return Status();
}

// Reads the entries and checks that their sections follow one another, each
// at the first aligned offset after the one before, up to the frame's end.
Status ReadDirectory(ByteView bytes, const FrameSizes& sizes, FrameView* out) {
  const ByteView directory =
      bytes.subspan(kFrameHeaderBytes, kFrameEntryBytes * sizes.section_count);
  const uint64_t computed = Checksum(directory);
  if (computed != sizes.directory_checksum) {
    return Damaged(CatMessage("directory checksum is ", computed,
                              ", stored is ", sizes.directory_checksum));
  }
  out->sections.resize(sizes.section_count);
  ByteReader reader(directory);
  uint64_t offset = sizes.directory_end();
  for (FrameSection& section : out->sections) {
    section = ReadSection(&reader);
    REPRISE_RETURN_IF_ERROR(CheckSection(section, out->info.layers));
    if (section.offset != offset) {
      return Damaged(CatMessage("a section is at byte ", section.offset, ", ",
                                offset, " is wanted"));
    }
    offset = AlignFrameOffset(offset + section.bytes);
    if (offset > sizes.frame_bytes) {
      return Damaged(CatMessage("a section ends at byte ",
                                uint64_t{section.offset} + section.bytes,
                                ", the frame at ", sizes.frame_bytes));
    }
  }
  if (offset != sizes.frame_bytes) {
    return Damaged(CatMessage("its sections end at byte ", offset,
                              ", the frame at ", sizes.frame_bytes));
  }
  return Status();
}

Status CheckSectionBytes(const FrameView& frame, size_t index) {
  const FrameSection& section = frame.sections[index];
  const uint64_t computed = Checksum(frame.Section(section));
  if (computed != section.checksum) {
    return Damaged(CatMessage("section ", index, ": checksum is ", computed,
                              ", stored is ", section.checksum));
  }
  const uint64_t end = uint64_t{section.offset} + section.bytes;
  for (uint64_t i = end; i < AlignFrameOffset(end); ++i) {
    if (frame.bytes[i] == 0) continue;
    return Damaged(CatMessage("padding byte ", i, " is ", frame.bytes[i],
                              ", 0 is wanted"));
  }
  return Status();
}

}  // namespace

std::string_view CodecIdName(CodecId id) {
  switch (id) {
    case CodecId::kRaw:
      return "raw";
    case CodecId::kExact:
      return "exact";
    case CodecId::kTsc:
      return "tsc";
    case CodecId::kVq:
      return "vq";
    case CodecId::kPq:
      return "pq";
    case CodecId::kKlt:
      return "klt";
    case CodecId::kPredict:
      return "predict";
  }
  return "?";
}

Status ValidateHeadRange(const HeadRange& range) {
  if (range.total == 0 || range.total > kMaxHeads) {
    return InvalidArgumentError(CatMessage(
        "heads: total is ", range.total, ", 1 to ", kMaxHeads, " are wanted"));
  }
  if (range.count == 0 || range.first + range.count > range.total) {
    return InvalidArgumentError(CatMessage("heads: ", range.count, " from ",
                                           range.first, " on, of ",
                                           range.total));
  }
  return Status();
}

std::string FrameInfoProblem(const FrameInfo& info) {
  const LayerGroup& layers = info.layers;
  if (static_cast<uint16_t>(info.codec) == 0) return "codec is 0, no codec's";
  if (info.is_tail ? info.token_count == 0 || info.token_count >= kSegmentTokens
                   : info.token_count != kSegmentTokens) {
    return CatMessage(
        "token count is ", info.token_count,
        info.is_tail ? " in a tail, 1 to 63 are wanted" : ", 64 are wanted");
  }
  if (info.first_token % kSegmentTokens != 0 ||
      info.first_token > kMaxSessionTokens - kSegmentTokens) {
    return CatMessage("first token is ", info.first_token, ", a multiple of ",
                      kSegmentTokens, " up to ",
                      kMaxSessionTokens - kSegmentTokens, " is wanted");
  }
  if (layers.layer_count == 0 || layers.layer_count > kMaxLayers ||
      layers.first_layer > kMaxLayers - layers.layer_count) {
    return CatMessage("has ", layers.layer_count, " layers from ",
                      layers.first_layer, " on, of at most ", kMaxLayers);
  }
  if (Status heads = ValidateHeadRange(info.heads); !heads.ok()) {
    return std::string(heads.message());
  }
  constexpr uint64_t kMaxRawBytes = kMaxLayerSegmentBytes + kLayerGroupBytes;
  if (info.raw_bytes > kMaxRawBytes) {
    return CatMessage("decodes to ", info.raw_bytes, " bytes, at most ",
                      kMaxRawBytes, " are allowed");
  }
  return "";
}

Status ParseFrameDirectory(ByteView bytes, FrameView* out) {
  FrameSizes sizes;
  REPRISE_RETURN_IF_ERROR(ReadHeader(bytes, &out->info, &sizes));
  REPRISE_RETURN_IF_ERROR(CheckSizes(sizes, bytes.size()));
  out->bytes = bytes;
  return ReadDirectory(bytes, sizes, out);
}

Status ParseFrame(ByteView bytes, FrameView* out) {
  FrameSizes sizes;
  REPRISE_RETURN_IF_ERROR(ReadHeader(bytes, &out->info, &sizes));
  REPRISE_RETURN_IF_ERROR(CheckSizes(sizes, bytes.size()));
  if (bytes.size() != sizes.frame_bytes) {
    return Damaged(CatMessage("has ", bytes.size(), " bytes, header says ",
                              sizes.frame_bytes));
  }
  out->bytes = bytes;
  REPRISE_RETURN_IF_ERROR(ReadDirectory(bytes, sizes, out));
  for (size_t i = 0; i < out->sections.size(); ++i) {
    REPRISE_RETURN_IF_ERROR(CheckSectionBytes(*out, i));
  }
  return Status();
}

}  // namespace reprise
