// What all records share: four bytes in front, a checksum at the end. Inside
// of the record sources only.
#ifndef REPRISE_STORE_RECORD_ENVELOPE_H_
#define REPRISE_STORE_RECORD_ENVELOPE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

namespace reprise {

inline constexpr uint8_t kSegmentKind = 'S';
inline constexpr uint8_t kRenditionKind = 'R';
inline constexpr uint8_t kSessionKind = 'H';
inline constexpr uint8_t kLeaseKind = 'L';
inline constexpr uint8_t kStoreKind = 'M';
inline constexpr uint8_t kEpochKind = 'E';
inline constexpr uint8_t kProfileKind = 'P';
inline constexpr uint8_t kLastUseKind = 'U';
inline constexpr uint8_t kClockKind = 'C';
inline constexpr uint8_t kJobKind = 'J';
inline constexpr uint8_t kQuarantineKind = 'Q';

inline constexpr size_t kRecordHeaderBytes = 4;
inline constexpr size_t kRecordChecksumBytes = 8;

// A ByteWriter that begins with a record's header and ends with its checksum.
class RecordWriter : public ByteWriter {
 public:
  RecordWriter(uint8_t kind, uint64_t body_bytes, uint8_t version = 1);
  Bytes Finish();
};

// A reader of the record's body, its checksum, kind and version checked.
// kDataLoss; kUnimplemented for an intact record of a version after `latest`.
Result<ByteReader> OpenRecord(ByteView bytes, uint8_t kind,
                              std::string_view name, uint8_t latest = 1);
// REQUIRES: OpenRecord(bytes, ...).ok().
inline uint8_t RecordVersion(ByteView bytes) { return bytes[2]; }

// kDataLoss unless least <= value <= most.
Status InRange(std::string_view name, std::string_view field, uint64_t value,
               uint64_t least, uint64_t most);

}  // namespace reprise

#endif  // REPRISE_STORE_RECORD_ENVELOPE_H_
