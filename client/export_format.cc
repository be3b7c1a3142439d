#include "client/export_format.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/hash.h"
#include "base/limits.h"

namespace reprise {
namespace {

constexpr uint32_t kMagic = 0x31585052;  // "RPX1"
constexpr uint16_t kVersion = 1;
constexpr size_t kRecordHead = 8;
constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kMaxExportStages = 4;
constexpr uint64_t kMaxContent = kMaxProfileBytes + 2;

Status OutOfOrder(ExportKind last, ExportKind kind) {
  return DataLossError(
      "export: record of kind " + std::to_string(static_cast<int>(kind)) +
      " after one of kind " + std::to_string(static_cast<int>(last)));
}

}  // namespace

Bytes EncodeExportSegment(const ExportSegment& segment) {
  ByteWriter out;
  out.Raw(segment.parent.view());
  out.U32(segment.first_token);
  out.U16(static_cast<uint16_t>(segment.tokens.size()));
  out.U8(static_cast<uint8_t>(segment.tier));
  out.U8(static_cast<uint8_t>(segment.basis));
  out.U16(static_cast<uint16_t>(segment.codec));
  out.U16(segment.frame_count);
  out.Raw(segment.profile.view());
  for (TokenId token : segment.tokens) out.U32(static_cast<uint32_t>(token));
  for (Tier tier : segment.stage_tiers) out.U8(static_cast<uint8_t>(tier));
  return out.Take();
}

namespace {

// What follows a segment's tokens: nothing, or a tier for each stage.
Status ReadStageTiers(ByteReader* in, ExportSegment* segment) {
  const size_t count = in->left();
  if (count == 1 || count > kMaxExportStages) {
    return DataLossError("export: segment with tiers of " +
                         std::to_string(count) + " stages, 0 or 2 to " +
                         std::to_string(kMaxExportStages) + " are possible");
  }
  for (size_t i = 0; i < count; ++i) {
    REPRISE_ASSIGN_OR_RETURN(const Tier tier, TierFromValue(in->U8()));
    const bool is_better_first = i > 0 && segment->stage_tiers.back() < tier;
    if (is_better_first || (i + 1 == count && tier != segment->tier)) {
      return DataLossError("export: stage " + std::to_string(i) +
                           " of a segment of tier " +
                           std::string(TierName(segment->tier)) + " is " +
                           std::string(TierName(tier)));
    }
    segment->stage_tiers.push_back(tier);
  }
  return Status();
}

}  // namespace

Result<ExportSegment> DecodeExportSegment(ByteView content) {
  ByteReader in(content);
  ExportSegment segment;
  segment.parent = ReadId<SegmentId>(&in);
  segment.first_token = in.U32();
  const uint16_t token_count = in.U16();
  const uint8_t tier = in.U8();
  const uint8_t basis = in.U8();
  segment.codec = static_cast<CodecId>(in.U16());
  segment.frame_count = in.U16();
  segment.profile = ReadId<ProfileId>(&in);
  REPRISE_RETURN_IF_ERROR(in.Check("export: segment"));
  if (token_count == 0 || token_count > kSegmentTokens) {
    return DataLossError("export: segment of " + std::to_string(token_count) +
                         " tokens, 1 to 64 are possible");
  }
  segment.tokens.resize(token_count);
  for (TokenId& token : segment.tokens) token = static_cast<TokenId>(in.U32());
  REPRISE_RETURN_IF_ERROR(in.Check("export: segment"));
  REPRISE_ASSIGN_OR_RETURN(segment.tier, TierFromValue(tier));
  REPRISE_ASSIGN_OR_RETURN(segment.basis, TierFromValue(basis));
  REPRISE_RETURN_IF_ERROR(ReadStageTiers(&in, &segment));
  REPRISE_RETURN_IF_ERROR(in.Finish("export: segment"));
  if ((segment.tier == Tier::kTokens) != (segment.frame_count == 0)) {
    return DataLossError("export: segment of tier " +
                         std::string(TierName(segment.tier)) + " with " +
                         std::to_string(segment.frame_count) + " frames");
  }
  return segment;
}

Status ExportWriter::Add(ExportKind kind, ByteView content) {
  REPRISE_DCHECK(content.size() <= kMaxContent);
  ByteWriter head;
  if (records_ == 0) {
    head.U32(kMagic);
    head.U16(kVersion);
    head.U16(0);
    REPRISE_RETURN_IF_ERROR(write_(head.Take()));
  }
  head.U8(static_cast<uint8_t>(kind));
  head.U8(0);
  head.U16(0);
  head.U32(static_cast<uint32_t>(content.size()));
  uint8_t checksum[8];
  StoreLe<uint64_t>(checksum, Checksum(head.bytes(), content));
  ++records_;
  REPRISE_RETURN_IF_ERROR(write_(head.bytes()));
  REPRISE_RETURN_IF_ERROR(write_(content));
  return write_(checksum);
}

Status ExportWriter::Finish() {
  ByteWriter count;
  count.U32(records_);
  return Add(ExportKind::kEnd, count.bytes());
}

Status ExportReader::ReadExactly(MutableByteView out, const char* what) {
  REPRISE_ASSIGN_OR_RETURN(const size_t got, read_(out));
  position_ += got;
  if (got == out.size()) return Status();
  return DataLossError(std::string("export: file ends at byte ") +
                       std::to_string(position_) + ", " +
                       std::to_string(out.size() - got) + " more for " + what);
}

Status ExportReader::ReadContent(size_t bytes, Bytes* content) {
  content->clear();
  while (content->size() < bytes) {
    const size_t done = content->size();
    content->resize(std::min(bytes, done + kReadBytes));
    REPRISE_RETURN_IF_ERROR(
        ReadExactly(MutableByteView(*content).subspan(done), "a record"));
  }
  return Status();
}

Status ExportReader::Next(ExportRecord* record) {
  if (position_ == 0) {
    uint8_t header[8];
    REPRISE_RETURN_IF_ERROR(ReadExactly(header, "the header"));
    ByteReader in(header);
    const uint32_t magic = in.U32();
    const uint16_t version = in.U16();
    if (magic != kMagic || version != kVersion || in.U16() != 0) {
      return DataLossError("export: no export file of version 1 (magic " +
                           std::to_string(magic) + ", version " +
                           std::to_string(version) + ")");
    }
  }
  uint8_t head[kRecordHead];
  REPRISE_RETURN_IF_ERROR(ReadExactly(head, "a record"));
  ByteReader in(head);
  record->kind = static_cast<ExportKind>(in.U8());
  const bool reserved = in.U8() != 0 || in.U16() != 0;
  const uint32_t bytes = in.U32();
  if (reserved || bytes > kMaxContent) {
    return DataLossError("export: record of " + std::to_string(bytes) +
                         " bytes, at most " + std::to_string(kMaxContent) +
                         ", or reserved bits set");
  }
  REPRISE_RETURN_IF_ERROR(ReadContent(bytes, &record->content));
  uint8_t checksum[8];
  REPRISE_RETURN_IF_ERROR(ReadExactly(checksum, "a checksum"));
  if (LoadLe<uint64_t>(checksum) != Checksum(head, record->content)) {
    return DataLossError("export: checksum of record " +
                         std::to_string(records_) + " differs");
  }
  return CheckOrder(*record);
}

Status ExportReader::CheckOrder(const ExportRecord& record) {
  const ExportKind kind = record.kind;
  const bool first = records_ == 0;
  const bool after_frames = frames_wanted_ == 0;
  bool fits = false;
  switch (kind) {
    case ExportKind::kModel:
      fits = first;
      break;
    case ExportKind::kProfile:
      fits = !first && last_ <= ExportKind::kProfile;
      break;
    case ExportKind::kSegment:
    case ExportKind::kCommit:
      fits = !first && last_ <= ExportKind::kFrame && after_frames;
      break;
    case ExportKind::kFrame:
      fits = !first && !after_frames;
      break;
    case ExportKind::kEnd:
      fits = !first && last_ == ExportKind::kCommit;
      break;
  }
  if (!fits) return OutOfOrder(last_, kind);
  if (kind == ExportKind::kEnd) return CheckEnd(record);
  if (kind == ExportKind::kFrame) --frames_wanted_;
  if (kind == ExportKind::kSegment) {
    REPRISE_ASSIGN_OR_RETURN(const ExportSegment segment,
                             DecodeExportSegment(record.content));
    frames_wanted_ = segment.frame_count;
  }
  last_ = kind;
  ++records_;
  return Status();
}

Status ExportReader::CheckEnd(const ExportRecord& record) {
  ByteReader in(record.content);
  const uint32_t count = in.U32();
  REPRISE_RETURN_IF_ERROR(in.Finish("export: end record"));
  if (count != records_) {
    return DataLossError("export: " + std::to_string(records_) +
                         " records, its end says " + std::to_string(count));
  }
  uint8_t byte[1];
  REPRISE_ASSIGN_OR_RETURN(const size_t more, read_(byte));
  if (more == 0) return Status();
  return DataLossError("export: bytes after the end at byte " +
                       std::to_string(position_));
}

}  // namespace reprise
