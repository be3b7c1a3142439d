#include "store/meta.h"

#include <string>

#include "store/records.h"

namespace reprise {
namespace {

// Writes the record unless there is one already.
Status MakeIfAbsent(HeadStore* heads, std::string_view key, ByteView value) {
  const Result<HeadVersion> made = heads->CompareAndSwap(
      HeadSpace::kMeta, key, 0, value, Durability::kSynced);
  if (made.ok() || made.status().Is(StatusCode::kFailedPrecondition)) {
    return Status();
  }
  return made.status();
}

struct VersionedEpoch {
  Epoch epoch = 0;
  HeadVersion version = 0;
};

Result<VersionedEpoch> ReadVersionedEpoch(HeadStore* heads) {
  REPRISE_ASSIGN_OR_RETURN(const HeadRecord record,
                           heads->GetHead(HeadSpace::kMeta, kEpochKey));
  REPRISE_ASSIGN_OR_RETURN(const Epoch epoch, DecodeEpoch(record.value.view()));
  return VersionedEpoch{epoch, record.version};
}

}  // namespace

Status OpenStoreMeta(HeadStore* heads, const Clock& clock) {
  Result<HeadRecord> record = heads->GetHead(HeadSpace::kMeta, kStoreKey);
  if (record.status().Is(StatusCode::kNotFound)) {
    REPRISE_RETURN_IF_ERROR(MakeIfAbsent(heads, kEpochKey, EncodeEpoch(1)));
    REPRISE_RETURN_IF_ERROR(MakeIfAbsent(
        heads, kStoreKey, EncodeStore({kStoreFormatVersion, clock.WallMs()})));
    record = heads->GetHead(HeadSpace::kMeta, kStoreKey);
  }
  if (!record.ok()) return record.status().WithContext("open store");
  REPRISE_ASSIGN_OR_RETURN(const StoreRecord store,
                           DecodeStore(record->value.view()));
  if (store.format_version != kStoreFormatVersion) {
    return FailedPreconditionError("open store: its format version is " +
                                   std::to_string(store.format_version) +
                                   ", this program reads " +
                                   std::to_string(kStoreFormatVersion));
  }
  return Status();
}

Result<Epoch> ReadEpoch(HeadStore* heads) {
  REPRISE_ASSIGN_OR_RETURN(const VersionedEpoch read,
                           ReadVersionedEpoch(heads));
  return read.epoch;
}

Result<Epoch> RaiseEpoch(HeadStore* heads) {
  while (true) {
    REPRISE_ASSIGN_OR_RETURN(const VersionedEpoch read,
                             ReadVersionedEpoch(heads));
    const Epoch raised = read.epoch + 1;
    const Result<HeadVersion> swapped =
        heads->CompareAndSwap(HeadSpace::kMeta, kEpochKey, read.version,
                              EncodeEpoch(raised), Durability::kSynced);
    if (swapped.ok()) return raised;
    // Another collector was faster: raise above its epoch.
    if (!swapped.status().Is(StatusCode::kFailedPrecondition)) {
      return swapped.status().WithContext("raise epoch");
    }
  }
}

}  // namespace reprise
