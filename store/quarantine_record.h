// What was found damaged or missing, and set aside. Format: docs/format/
// records.md, section 9; who writes it: store/quarantine.h.
#ifndef REPRISE_STORE_QUARANTINE_RECORD_H_
#define REPRISE_STORE_QUARANTINE_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/duration.h"
#include "base/status.h"
#include "store/engine.h"

namespace reprise {

// Then it goes, with a collection.
inline constexpr int64_t kQuarantineKeptMs = 30 * kDayMs;
inline constexpr size_t kMaxQuarantineReasonBytes = 1024;
inline constexpr size_t kMaxQuarantineCopyBytes = 65'536;

// An object or a head record.
struct StoredPlace {
  bool is_head = false;
  uint8_t space = 0;  // an ObjectSpace, or a HeadSpace
  std::string key;

  static StoredPlace Of(ObjectSpace space, std::string_view key) {
    return {false, static_cast<uint8_t>(space), std::string(key)};
  }
  static StoredPlace Of(HeadSpace space, std::string_view key) {
    return {true, static_cast<uint8_t>(space), std::string(key)};
  }
  bool Is(ObjectSpace other) const {
    return !is_head && space == static_cast<uint8_t>(other);
  }
  bool Is(HeadSpace other) const {
    return is_head && space == static_cast<uint8_t>(other);
  }
  // "frame-exact", "session", ...
  std::string_view SpaceName() const;
  bool operator==(const StoredPlace&) const = default;
};

// Stored; never reused.
enum class QuarantineHolds : uint8_t {
  kNothing = 0,
  kObject = 1,  // at the place that the record's key names
  kCopy = 2,    // in the record
};

struct QuarantineRecord {
  QuarantineHolds holds = QuarantineHolds::kNothing;
  uint8_t lost_tier = 0;  // 0: none
  StoredPlace was;
  int64_t time_ms = 0;
  std::string reason;
  Bytes copy;

  bool operator==(const QuarantineRecord&) const = default;
};
// Reason and copy are cut to what is allowed.
Bytes EncodeQuarantine(const QuarantineRecord& record);
Result<QuarantineRecord> DecodeQuarantine(ByteView bytes);

// Keys in HeadSpace::kMeta. All begin with this.
inline constexpr std::string_view kQuarantinePrefix = "quarantine/";
std::string QuarantineKey(const StoredPlace& now);
// The way back. kDataLoss when it is no such key.
Result<StoredPlace> PlaceOfQuarantineKey(std::string_view key);

}  // namespace reprise

#endif  // REPRISE_STORE_QUARANTINE_RECORD_H_
