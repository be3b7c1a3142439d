#include "store/record_envelope.h"

namespace reprise {
namespace {

constexpr uint8_t kMark = 'R';

Status Damaged(std::string_view name, const std::string& what) {
  return DataLossError(std::string(name) + ": " + what);
}

}  // namespace

RecordWriter::RecordWriter(uint8_t kind, uint64_t body_bytes, uint8_t version) {
  Reserve(kRecordHeaderBytes + body_bytes + kRecordChecksumBytes);
  U8(kMark);
  U8(kind);
  U8(version);
  U8(0);
}

Bytes RecordWriter::Finish() {
  U64(Checksum(bytes()));
  return Take();
}

Result<ByteReader> OpenRecord(ByteView bytes, uint8_t kind,
                              std::string_view name, uint8_t latest) {
  if (bytes.size() < kRecordHeaderBytes + kRecordChecksumBytes) {
    return Damaged(
        name, std::to_string(bytes.size()) + " bytes, at least 12 are wanted");
  }
  const ByteView content = bytes.first(bytes.size() - kRecordChecksumBytes);
  if (Checksum(content) != LoadLe<uint64_t>(content.data() + content.size())) {
    return Damaged(name, "checksum of " + std::to_string(content.size()) +
                             " bytes differs");
  }
  if (content[0] != kMark || content[1] != kind) {
    return Damaged(name, "begins with " + ToHex(content.first(2)) + ", " +
                             ToHex(Bytes{kMark, kind}) + " is wanted");
  }
  if (content[2] == 0 || content[2] > latest) {
    return UnimplementedError(std::string(name) + ": version is " +
                              std::to_string(content[2]) + ", " +
                              std::to_string(latest) + " is known");
  }
  if (content[3] != 0) {
    return Damaged(name, "reserved byte is " + std::to_string(content[3]));
  }
  return ByteReader(content.subspan(kRecordHeaderBytes));
}

Status InRange(std::string_view name, std::string_view field, uint64_t value,
               uint64_t least, uint64_t most) {
  if (value >= least && value <= most) return Status();
  return Damaged(name, std::string(field) + " is " + std::to_string(value) +
                           ", " + std::to_string(least) + " to " +
                           std::to_string(most) + " are valid");
}

}  // namespace reprise
