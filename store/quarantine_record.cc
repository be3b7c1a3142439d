#include "store/quarantine_record.h"

#include "codec/tier.h"
#include "store/record_envelope.h"

namespace reprise {
namespace {

constexpr std::string_view kName = "quarantine record";
constexpr uint64_t kLastObjectSpace =
    static_cast<uint64_t>(ObjectSpace::kFrameArchive);
constexpr uint64_t kLastHeadSpace = static_cast<uint64_t>(HeadSpace::kMeta);

uint64_t LastSpace(bool is_head) {
  return is_head ? kLastHeadSpace : kLastObjectSpace;
}

}  // namespace

std::string_view StoredPlace::SpaceName() const {
  return is_head ? HeadSpaceName(static_cast<HeadSpace>(space))
                 : ObjectSpaceName(static_cast<ObjectSpace>(space));
}

Bytes EncodeQuarantine(const QuarantineRecord& record) {
  const std::string_view reason =
      std::string_view(record.reason).substr(0, kMaxQuarantineReasonBytes);
  const ByteView copy =
      ByteView(record.copy)
          .first(std::min(record.copy.size(), kMaxQuarantineCopyBytes));
  RecordWriter out(kQuarantineKind,
                   64 + record.was.key.size() + reason.size() + copy.size());
  out.U8(static_cast<uint8_t>(record.holds));
  out.U8(record.lost_tier);
  out.U8(record.was.is_head ? 1 : 0);
  out.U8(record.was.space);
  out.U64(static_cast<uint64_t>(record.time_ms));
  out.Text16(record.was.key);
  out.Text16(reason);
  out.U32(static_cast<uint32_t>(copy.size()));
  out.Raw(copy);
  return out.Finish();
}

Result<QuarantineRecord> DecodeQuarantine(ByteView bytes) {
  REPRISE_ASSIGN_OR_RETURN(ByteReader in,
                           OpenRecord(bytes, kQuarantineKind, kName));
  QuarantineRecord record;
  const uint8_t holds = in.U8();
  record.lost_tier = in.U8();
  const uint8_t is_head = in.U8();
  record.was.space = in.U8();
  record.time_ms = static_cast<int64_t>(in.U64());
  record.was.key = std::string(in.Text16());
  record.reason = std::string(in.Text16());
  const uint32_t copy_bytes = in.U32();
  REPRISE_RETURN_IF_ERROR(in.Check(kName));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "held", holds, 0, 2));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "lost tier", record.lost_tier, 0,
                                  static_cast<uint64_t>(Tier::kArchive)));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "store", is_head, 0, 1));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "space", record.was.space, 1, LastSpace(is_head == 1)));
  REPRISE_RETURN_IF_ERROR(
      InRange(kName, "key bytes", record.was.key.size(), 1, kMaxKeyBytes));
  REPRISE_RETURN_IF_ERROR(InRange(kName, "reason's bytes", record.reason.size(),
                                  0, kMaxQuarantineReasonBytes));
  const uint64_t most = holds == 2 ? kMaxQuarantineCopyBytes : 0;
  REPRISE_RETURN_IF_ERROR(InRange(kName, "copy's bytes", copy_bytes, 0, most));
  record.holds = static_cast<QuarantineHolds>(holds);
  record.was.is_head = is_head == 1;
  const ByteView copy = in.View(copy_bytes);
  REPRISE_RETURN_IF_ERROR(in.Finish(kName));
  record.copy.assign(copy.begin(), copy.end());
  return record;
}

std::string QuarantineKey(const StoredPlace& now) {
  std::string key(kQuarantinePrefix);
  key.push_back(now.is_head ? 'h' : 'o');
  key.push_back(static_cast<char>(now.space));
  return key + now.key;
}

Result<StoredPlace> PlaceOfQuarantineKey(std::string_view key) {
  const size_t front = kQuarantinePrefix.size() + 2;
  const bool begins = key.starts_with(kQuarantinePrefix) && key.size() > front;
  if (!begins || (key[front - 2] != 'h' && key[front - 2] != 'o')) {
    return DataLossError("quarantine record: its key of " +
                         std::to_string(key.size()) + " bytes names no place");
  }
  StoredPlace place;
  place.is_head = key[front - 2] == 'h';
  place.space = static_cast<uint8_t>(key[front - 1]);
  REPRISE_RETURN_IF_ERROR(InRange(kName, "space of its key", place.space, 1,
                                  LastSpace(place.is_head)));
  place.key = std::string(key.substr(front));
  return place;
}

}  // namespace reprise
