#include "store/rocks_heads.h"

#include <algorithm>
#include <numeric>

#include "store/rocks_scan.h"
#include "store/rocks_status.h"

namespace reprise {
namespace {

constexpr size_t kVersionBytes = 8;
// The records that are looked up by the thousand.
constexpr HeadSpace kCachedSpace = HeadSpace::kRendition;

// Splits a stored value into the version and the record's own bytes, which
// stay where they are.
Status SplitRecord(const rocksdb::Slice& stored, HeadVersion* version,
                   ByteView* value) {
  if (stored.size() < kVersionBytes) {
    return DataLossError("store: head record is " +
                         std::to_string(stored.size()) + " bytes, at least " +
                         std::to_string(kVersionBytes) + " are wanted");
  }
  *version = LoadLe<uint64_t>(ToView(stored).data());
  *value = ToView(stored).subspan(kVersionBytes);
  return Status::Ok();
}

void PutRecord(rocksdb::WriteBatch* batch, const RocksStore& store,
               const HeadStore::Swap& swap, HeadVersion version) {
  uint8_t prefix[kVersionBytes];
  StoreLe<uint64_t>(prefix, version);
  const rocksdb::Slice key = ToSlice(swap.key);
  const rocksdb::Slice value[] = {ToSlice(ByteView(prefix)),
                                  ToSlice(swap.value)};
  batch
      ->Put(store.family(swap.space), rocksdb::SliceParts(&key, 1),
            rocksdb::SliceParts(value, 2))
      .PermitUncheckedError();
}

uint32_t SlotOf(HeadSpace space, std::string_view key) {
  return KeyGate::SlotOf(static_cast<uint8_t>(space), key);
}

std::string What(HeadSpace space) {
  return std::string(HeadSpaceName(space)) + ": get";
}

// Which swaps name a record that one before them names.
std::vector<bool> FindRepeated(std::span<const HeadStore::Swap> swaps) {
  std::vector<uint32_t> order(swaps.size());
  std::iota(order.begin(), order.end(), 0);
  const auto name = [&](uint32_t i) {
    return std::pair(swaps[i].space, swaps[i].key);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return name(a) < name(b); });
  std::vector<bool> repeated(swaps.size(), false);
  for (size_t i = 1; i < order.size(); ++i) {
    repeated[order[i]] = name(order[i - 1]) == name(order[i]);
  }
  return repeated;
}

}  // namespace

Result<HeadRecord> RocksHeads::GetHead(HeadSpace space, std::string_view key) {
  REPRISE_RETURN_IF_ERROR(CheckKey(key));
  auto stored = std::make_shared<rocksdb::PinnableSlice>();
  const rocksdb::Status status = store_->db()->Get(
      rocksdb::ReadOptions(), store_->family(space), ToSlice(key), &*stored);
  if (!status.ok()) return ReadStatus(status, What(space));
  HeadRecord record;
  ByteView value;
  REPRISE_RETURN_IF_ERROR(SplitRecord(*stored, &record.version, &value));
  record.value = PinnedBytes(value, std::move(stored));
  return record;
}

Status RocksHeads::GetHeads(HeadSpace space,
                            std::span<const std::string_view> keys,
                            std::vector<HeadRecord>* out) {
  out->assign(keys.size(), HeadRecord());
  for (const std::string_view key : keys) {
    REPRISE_RETURN_IF_ERROR(CheckKey(key));
  }
  if (space != kCachedSpace) return ReadHeads(space, keys, out);
  RecordCache& cache = store_->record_cache();
  std::vector<std::string_view> absent;
  std::vector<size_t> places;
  std::vector<RecordCache::Stamp> stamps;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (cache.Find(keys[i], &(*out)[i])) continue;
    absent.push_back(keys[i]);
    places.push_back(i);
    stamps.push_back(cache.StampOf(keys[i]));
  }
  std::vector<HeadRecord> read(absent.size());
  REPRISE_RETURN_IF_ERROR(ReadHeads(space, absent, &read));
  for (size_t i = 0; i < absent.size(); ++i) {
    if (read[i].version == 0) continue;
    cache.Put(absent[i], stamps[i], read[i]);
    (*out)[places[i]] = std::move(read[i]);
  }
  return Status::Ok();
}

Status RocksHeads::ReadHeads(HeadSpace space,
                             std::span<const std::string_view> keys,
                             std::vector<HeadRecord>* out) {
  if (keys.empty()) return Status::Ok();
  std::vector<rocksdb::Slice> slices;
  slices.reserve(keys.size());
  for (const std::string_view key : keys) slices.push_back(ToSlice(key));
  // The records share one owner: they are read, and dropped, together.
  const auto values =
      std::make_shared<std::vector<rocksdb::PinnableSlice>>(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  store_->db()->MultiGet(rocksdb::ReadOptions(), store_->family(space),
                         keys.size(), slices.data(), values->data(),
                         statuses.data());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    if (!statuses[i].ok()) return ReadStatus(statuses[i], What(space));
    HeadRecord& record = (*out)[i];
    ByteView value;
    REPRISE_RETURN_IF_ERROR(SplitRecord((*values)[i], &record.version, &value));
    record.value = PinnedBytes(value, values);
  }
  return Status::Ok();
}

Result<HeadVersion> RocksHeads::CurrentVersion(HeadSpace space,
                                               std::string_view key) {
  rocksdb::PinnableSlice stored;
  const rocksdb::Status status = store_->db()->Get(
      rocksdb::ReadOptions(), store_->family(space), ToSlice(key), &stored);
  if (status.IsNotFound()) return HeadVersion{0};
  if (!status.ok()) return ReadStatus(status, What(space));
  HeadVersion version = 0;
  ByteView value;
  REPRISE_RETURN_IF_ERROR(SplitRecord(stored, &version, &value));
  return version;
}

Result<HeadVersion> RocksHeads::CompareAndSwap(HeadSpace space,
                                               std::string_view key,
                                               HeadVersion expected,
                                               ByteView value,
                                               Durability durability) {
  const Swap swap{space, key, expected, value};
  std::vector<Result<HeadVersion>> out;
  CompareAndSwapMany(std::span(&swap, 1), durability, &out);
  return std::move(out[0]);
}

std::vector<Status> RocksHeads::CheckVersions(std::span<const Swap> swaps) {
  const std::vector<bool> repeated = FindRepeated(swaps);
  std::vector<Status> checks(swaps.size());
  for (size_t i = 0; i < swaps.size(); ++i) {
    const Swap& swap = swaps[i];
    checks[i] = CheckSwap(swap);
    if (!checks[i].ok()) continue;
    if (repeated[i]) {
      checks[i] = InvalidArgumentError("store: record named twice in a batch");
      continue;
    }
    const Result<HeadVersion> found = CurrentVersion(swap.space, swap.key);
    if (!found.ok()) {
      checks[i] = found.status();
    } else if (*found != swap.expected) {
      checks[i] = VersionMismatchError(swap.space, *found, swap.expected);
    }
  }
  return checks;
}

void RocksHeads::CompareAndSwapMany(std::span<const Swap> swaps,
                                    Durability durability,
                                    std::vector<Result<HeadVersion>>* out) {
  out->clear();
  out->reserve(swaps.size());
  uint64_t new_bytes = 0;
  std::vector<uint32_t> slots;
  for (const Swap& swap : swaps) {
    new_bytes += swap.value.size();
    slots.push_back(SlotOf(swap.space, swap.key));
  }
  Status whole = store_->CheckWritable(new_bytes, RocksStore::Room::kRecords);
  const KeyGate::Hold hold = store_->head_gate().Enter(std::move(slots));
  std::vector<Status> checks(swaps.size());
  if (whole.ok()) checks = CheckVersions(swaps);
  const auto good = std::count_if(checks.begin(), checks.end(),
                                  [](const Status& s) { return s.ok(); });
  HeadVersion first = 0;
  if (whole.ok() && good > 0) {
    Result<HeadVersion> taken = store_->TakeVersions(good);
    if (taken.ok()) first = *taken;
    whole = std::move(taken).status();
  }
  if (whole.ok() && good > 0) {
    rocksdb::WriteBatch batch;
    HeadVersion version = first;
    for (size_t i = 0; i < swaps.size(); ++i) {
      if (checks[i].ok()) PutRecord(&batch, *store_, swaps[i], version++);
    }
    whole = store_->Write(&batch, durability);
    for (const Swap& swap : swaps) DropCached(swap.space, swap.key);
  }
  for (size_t i = 0; i < swaps.size(); ++i) {
    if (!checks[i].ok()) {
      out->push_back(std::move(checks[i]));
    } else if (!whole.ok()) {
      out->push_back(whole);
    } else {
      out->push_back(first++);
    }
  }
}

Status RocksHeads::RemoveHead(HeadSpace space, std::string_view key,
                              HeadVersion expected, Durability durability) {
  REPRISE_RETURN_IF_ERROR(CheckKey(key));
  REPRISE_RETURN_IF_ERROR(store_->CheckWritable(0));
  const KeyGate::Hold hold = store_->head_gate().Enter({SlotOf(space, key)});
  REPRISE_ASSIGN_OR_RETURN(const HeadVersion found, CurrentVersion(space, key));
  if (found != expected) return VersionMismatchError(space, found, expected);
  rocksdb::WriteBatch batch;
  if (found != 0) {
    batch.Delete(store_->family(space), ToSlice(key)).PermitUncheckedError();
  }
  const Status status = store_->Write(&batch, durability);
  DropCached(space, key);
  return status;
}

void RocksHeads::DropCached(HeadSpace space, std::string_view key) {
  // Also after a failed write, whose outcome is not known.
  if (space == kCachedSpace) store_->record_cache().Drop(key);
}

Status RocksHeads::ListHeads(HeadSpace space, std::string_view prefix,
                             std::string_view cursor, uint32_t limit,
                             std::vector<ListedHead>* out) {
  REPRISE_RETURN_IF_ERROR(CheckList(prefix, cursor, limit));
  out->clear();
  RocksScan scan(store_->db(), store_->family(space), std::string(prefix),
                 cursor);
  for (; scan.Valid() && out->size() < limit; scan.Next()) {
    ListedHead head;
    head.key = scan.key();
    ByteView value;
    REPRISE_RETURN_IF_ERROR(
        SplitRecord(scan.value(), &head.record.version, &value));
    head.record.value = PinnedBytes(Bytes(value.begin(), value.end()));
    out->push_back(std::move(head));
  }
  return scan.Finish("store: list heads");
}

}  // namespace reprise
