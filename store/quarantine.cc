#include "store/quarantine.h"

#include <algorithm>

#include "store/clock_guard.h"

namespace reprise {

Status WriteQuarantine(Engine* engine, const StoredPlace& now,
                       const QuarantineRecord& record) {
  const std::string key = QuarantineKey(now);
  const Bytes bytes = EncodeQuarantine(record);
  while (true) {
    const Result<HeadRecord> old = engine->GetHead(HeadSpace::kMeta, key);
    if (!old.ok() && !old.status().Is(StatusCode::kNotFound)) {
      return old.status().WithContext("quarantine");
    }
    const Result<HeadVersion> written = engine->CompareAndSwap(
        HeadSpace::kMeta, key, old.ok() ? old->version : 0, bytes,
        Durability::kWritten);
    if (written.ok()) return Status();
    // Somebody else found it at the same time.
    if (!written.status().Is(StatusCode::kFailedPrecondition)) {
      return written.status().WithContext("quarantine");
    }
  }
}

Result<std::optional<QuarantineRecord>> FindQuarantine(Engine* engine,
                                                       const StoredPlace& now) {
  const std::string key = QuarantineKey(now);
  const Result<HeadRecord> head = engine->GetHead(HeadSpace::kMeta, key);
  if (head.status().Is(StatusCode::kNotFound)) {
    return std::optional<QuarantineRecord>();
  }
  if (!head.ok()) return head.status().WithContext("quarantine");
  Result<QuarantineRecord> record = DecodeQuarantine(head->value.view());
  if (!record.ok()) return std::optional<QuarantineRecord>();
  return std::optional(*std::move(record));
}

Status ListQuarantine(Engine* engine, uint32_t limit, std::string* cursor,
                      std::vector<Quarantined>* out, bool* end) {
  std::vector<HeadStore::ListedHead> listed;
  REPRISE_RETURN_IF_ERROR(engine->ListHeads(HeadSpace::kMeta, kQuarantinePrefix,
                                            *cursor, limit, &listed));
  *end = listed.empty();
  out->clear();
  for (const HeadStore::ListedHead& head : listed) {
    *cursor = head.key;
    Result<StoredPlace> now = PlaceOfQuarantineKey(head.key);
    Result<QuarantineRecord> record =
        DecodeQuarantine(head.record.value.view());
    if (!now.ok() || !record.ok()) continue;
    out->push_back({*std::move(now), *std::move(record), head.record.version});
  }
  return Status();
}

Status EraseQuarantined(Engine* engine, ObjectSpace space,
                        std::vector<ObjectStore::Listed>* listed) {
  if (listed->empty()) return Status();
  std::vector<std::string> keys;
  keys.reserve(listed->size());
  for (const ObjectStore::Listed& object : *listed) {
    keys.push_back(QuarantineKey(StoredPlace::Of(space, object.key)));
  }
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<HeadRecord> records;
  REPRISE_RETURN_IF_ERROR(engine->GetHeads(HeadSpace::kMeta, views, &records));
  size_t next = 0;
  std::erase_if(*listed, [&](const ObjectStore::Listed&) {
    const HeadRecord& record = records[next++];
    if (record.version == 0) return false;
    const auto found = DecodeQuarantine(record.value.view());
    return found.ok() && found->holds == QuarantineHolds::kObject;
  });
  return Status();
}

Status ExpireQuarantine(Engine* engine, int64_t now_ms, uint32_t limit,
                        std::string* cursor, bool* end) {
  *end = true;
  REPRISE_ASSIGN_OR_RETURN(const ClockReading clock, ReadClock(engine, now_ms));
  if (!CheckClock(clock).ok()) return Status();
  std::vector<Quarantined> listed;
  REPRISE_RETURN_IF_ERROR(ListQuarantine(engine, limit, cursor, &listed, end));
  for (const Quarantined& each : listed) {
    if (now_ms - each.record.time_ms <= kQuarantineKeptMs) continue;
    const bool is_moved = each.record.holds == QuarantineHolds::kObject &&
                          each.now.key != each.record.was.key;
    if (is_moved) {
      const ObjectRef ref{static_cast<ObjectSpace>(each.now.space),
                          each.now.key};
      REPRISE_RETURN_IF_ERROR(
          engine->RemoveIfUntouched({&ref, 1}, UINT64_MAX).status());
    }
    const Status removed =
        engine->RemoveHead(HeadSpace::kMeta, QuarantineKey(each.now),
                           each.version, Durability::kWritten);
    // Found damaged again just now.
    if (removed.Is(StatusCode::kFailedPrecondition)) continue;
    REPRISE_RETURN_IF_ERROR(removed);
  }
  return Status();
}

}  // namespace reprise
