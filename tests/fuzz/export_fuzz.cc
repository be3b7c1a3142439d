// Export files: the bytes as they are, then with the checksum of each record
// made right, so that the order of records, counts and segments are reached.
// What is read is written again as the very bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "client/export_format.h"

namespace reprise {
namespace {

constexpr size_t kHeader = 8;
constexpr size_t kRecordHead = 8;
constexpr size_t kChecksum = 8;

void Require(bool condition) {
  if (!condition) std::abort();
}

void Read(ByteView file) {
  ByteView left = file;
  ExportReader reader([&](MutableByteView out) -> Result<size_t> {
    const size_t count = std::min(out.size(), left.size());
    std::copy_n(left.begin(), count, out.begin());
    left = left.subspan(count);
    return count;
  });
  Bytes again;
  ExportWriter writer([&](ByteView bytes) {
    again.insert(again.end(), bytes.begin(), bytes.end());
    return Status();
  });
  ExportRecord record;
  while (reader.Next(&record).ok()) {
    if (record.kind == ExportKind::kEnd) {
      Require(writer.Finish().ok());
      Require(BytesEqual(again, file));
      return;
    }
    if (record.kind == ExportKind::kSegment) {
      const auto segment = DecodeExportSegment(record.content);
      Require(segment.ok());
      Require(BytesEqual(EncodeExportSegment(*segment), record.content));
    }
    Require(writer.Add(record.kind, record.content).ok());
  }
}

void MendChecksums(Bytes* file) {
  size_t at = kHeader;
  while (file->size() > at && file->size() - at >= kRecordHead + kChecksum) {
    const size_t bytes = LoadLe<uint32_t>(file->data() + at + 4);
    const size_t room = file->size() - at - kRecordHead - kChecksum;
    if (bytes > room) return;
    const ByteView record = ByteView(*file).subspan(at, kRecordHead + bytes);
    StoreLe(file->data() + at + record.size(), Checksum(record));
    at += record.size() + kChecksum;
  }
}

}  // namespace
}  // namespace reprise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  reprise::Bytes file(data, data + size);
  reprise::Read(file);
  reprise::MendChecksums(&file);
  reprise::Read(file);
  return 0;
}
