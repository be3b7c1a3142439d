#include "codec/commit.h"

#include <string>

#include "base/limits.h"

namespace reprise {
namespace {

constexpr uint32_t kMagic = 0x314d4352;  // "RCM1"
constexpr uint16_t kVersion = 1;
constexpr uint64_t kMaxSegments = kMaxSessionTokens / kSegmentTokens;

Status Disagree(const char* what, uint64_t tokens, uint64_t segments) {
  return InvalidArgumentError(std::string("commit: ") + what + ": " +
                              std::to_string(tokens) + " tokens with " +
                              std::to_string(segments) + " whole segments");
}

// The tokens that the end may account for, beyond whole segments.
Status ValidateEnd(const CommitRecord& record) {
  const uint64_t whole = record.segments.size() * kSegmentTokens;
  const uint64_t tokens = record.token_count;
  const bool has_tail = !record.tail.IsZero();
  switch (record.end) {
    case CommitEnd::kNothing:
      if (!has_tail && tokens == whole) return Status();
      return Disagree("ends with nothing", tokens, record.segments.size());
    case CommitEnd::kTail:
      if (has_tail && tokens > whole && tokens - whole < kSegmentTokens) {
        return Status();
      }
      return Disagree("ends with a tail", tokens, record.segments.size());
    case CommitEnd::kCut: {
      if (!has_tail && record.segments.empty()) {
        return Disagree("cuts nothing", tokens, 0);
      }
      const uint64_t before = has_tail ? whole : whole - kSegmentTokens;
      if (tokens > before && tokens - before < kSegmentTokens) return Status();
      return Disagree("ends with a cut", tokens, record.segments.size());
    }
  }
  return InvalidArgumentError("commit: end is " +
                              std::to_string(static_cast<int>(record.end)) +
                              ", 0 to 2 are known");
}

}  // namespace

Status ValidateCommit(const CommitRecord& record) {
  if (record.segments.size() > kMaxSegments) {
    return InvalidArgumentError(
        "commit: " + std::to_string(record.segments.size()) +
        " segments, at most " + std::to_string(kMaxSegments));
  }
  if (record.token_count > kMaxSessionTokens) {
    return InvalidArgumentError(
        "commit: " + std::to_string(record.token_count) + " tokens, at most " +
        std::to_string(kMaxSessionTokens));
  }
  if (record.pending.size() > kMaxPendingTokens) {
    return InvalidArgumentError(
        "commit: " + std::to_string(record.pending.size()) +
        " pending tokens, at most " + std::to_string(kMaxPendingTokens));
  }
  return ValidateEnd(record);
}

Bytes EncodeCommit(const CommitRecord& record) {
  REPRISE_DCHECK(ValidateCommit(record).ok());
  ByteWriter out;
  out.Reserve(160 + record.segments.size() * 32 + record.pending.size() * 4);
  out.U32(kMagic);
  out.U16(kVersion);
  out.U8(static_cast<uint8_t>(record.end));
  out.U8(static_cast<uint8_t>(record.pending.size()));
  out.Raw(record.parent.view());
  out.Raw(record.model.view());
  out.U64(record.token_count);
  out.U64(static_cast<uint64_t>(record.time_ms));
  out.Raw(record.tail.view());
  out.U32(static_cast<uint32_t>(record.segments.size()));
  for (const SegmentId& id : record.segments) out.Raw(id.view());
  for (TokenId token : record.pending) out.U32(static_cast<uint32_t>(token));
  out.U64(Checksum(out.bytes()));
  return out.Take();
}

Result<CommitRecord> DecodeCommit(ByteView bytes) {
  if (bytes.size() < 8) {
    return DataLossError("commit: " + std::to_string(bytes.size()) +
                         " bytes, at least 8 are wanted");
  }
  const ByteView content = bytes.first(bytes.size() - 8);
  if (Checksum(content) != LoadLe<uint64_t>(bytes.data() + content.size())) {
    return DataLossError("commit: checksum of " +
                         std::to_string(content.size()) + " bytes differs");
  }
  ByteReader in(content);
  const uint32_t magic = in.U32();
  const uint16_t version = in.U16();
  CommitRecord record;
  record.end = static_cast<CommitEnd>(in.U8());
  const uint8_t pending_count = in.U8();
  record.parent = ReadId<CommitId>(&in);
  record.model = ReadId<ModelId>(&in);
  record.token_count = in.U64();
  record.time_ms = static_cast<int64_t>(in.U64());
  record.tail = ReadId<SegmentId>(&in);
  const uint32_t segment_count = in.U32();
  REPRISE_RETURN_IF_ERROR(in.Check("commit"));
  if (magic != kMagic || version != kVersion) {
    return DataLossError("commit: magic " + std::to_string(magic) +
                         " version " + std::to_string(version) + ", " +
                         std::to_string(kMagic) + " version 1 is wanted");
  }
  const uint64_t wanted = uint64_t{segment_count} * 32 + pending_count * 4u;
  if (in.left() != wanted) {
    return DataLossError("commit: " + std::to_string(in.left()) +
                         " bytes of lists, its counts say " +
                         std::to_string(wanted));
  }
  record.segments.resize(segment_count);
  for (SegmentId& id : record.segments) in.Copy(id.bytes);
  record.pending.resize(pending_count);
  for (TokenId& token : record.pending) token = static_cast<TokenId>(in.U32());
  REPRISE_RETURN_IF_ERROR(in.Finish("commit"));
  if (Status s = ValidateCommit(record); !s.ok()) {
    return DataLossError(std::string(s.message()));
  }
  return record;
}

CommitId CommitIdOf(ByteView bytes) {
  CommitId id;
  id.bytes = Sha256(bytes).bytes;
  return id;
}

}  // namespace reprise
