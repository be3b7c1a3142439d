// The export file: one session as one file. Format: docs/format/export.md.
// Bytes only; what they mean to a store is client/export.h's business.
#ifndef REPRISE_CLIENT_EXPORT_FORMAT_H_
#define REPRISE_CLIENT_EXPORT_FORMAT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/frame.h"
#include "codec/segment.h"
#include "codec/tier.h"

namespace reprise {

enum class ExportKind : uint8_t {
  kModel = 1,
  kProfile = 2,
  kSegment = 3,
  kFrame = 4,
  kCommit = 5,
  kEnd = 6,
};

struct ExportSegment {
  SegmentId parent;
  uint32_t first_token = 0;
  Tier tier = Tier::kExact;  // kTokens: no rendition
  Tier basis = Tier::kExact;
  CodecId codec = CodecId::kRaw;
  uint16_t frame_count = 0;
  ProfileId profile;
  std::vector<TokenId> tokens;
  // By stage, where there are several: of what the stages up to it decode to.
  // None is better than the one after it, and the last is `tier`.
  std::vector<Tier> stage_tiers;

  bool operator==(const ExportSegment&) const = default;
};
Bytes EncodeExportSegment(const ExportSegment& segment);
Result<ExportSegment> DecodeExportSegment(ByteView content);

// Gives the file piece by piece. Not thread-safe.
class ExportWriter {
 public:
  using Write = std::function<Status(ByteView)>;
  // Writes the header with the first record.
  explicit ExportWriter(Write write) : write_(std::move(write)) {}

  // REQUIRES: kinds in the order of the format; content of at most
  // kMaxProfileBytes.
  Status Add(ExportKind kind, ByteView content);
  // The end record.
  Status Finish();

 private:
  Write write_;
  uint32_t records_ = 0;
};

struct ExportRecord {
  ExportKind kind = ExportKind::kEnd;
  Bytes content;
};

// Takes the file piece by piece and checks all that can be checked without a
// store: checksums, kinds in their order, counts, the end. Not thread-safe.
class ExportReader {
 public:
  // Fills as much of the view as it can; fewer bytes mean the end.
  using Read = std::function<Result<size_t>(MutableByteView)>;
  explicit ExportReader(Read read) : read_(std::move(read)) {}

  // The next record; kind kEnd once, as the last. `record` is reused.
  // kDataLoss for whatever is no such file.
  Status Next(ExportRecord* record);

 private:
  Status ReadExactly(MutableByteView out, const char* what);
  // Memory grows with what is there, not with what a length claims.
  Status ReadContent(size_t bytes, Bytes* content);
  Status CheckOrder(const ExportRecord& record);
  Status CheckEnd(const ExportRecord& record);

  Read read_;
  uint64_t position_ = 0;
  uint32_t records_ = 0;
  ExportKind last_ = ExportKind::kModel;
  uint32_t frames_wanted_ = 0;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_EXPORT_FORMAT_H_
