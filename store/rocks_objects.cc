#include "store/rocks_objects.h"

#include <algorithm>
#include <numeric>

#include "store/rocks_scan.h"
#include "store/rocks_status.h"

namespace reprise {
namespace {

// Of a put and its index entry in a batch, beside keys and value: at most.
constexpr size_t kPutOverheadBytes = 64;

// A value of the index.
struct IndexEntry {
  bool present = false;
  uint64_t bytes = 0;
  Epoch epoch = 0;
};

Result<IndexEntry> DecodeEntry(const rocksdb::Slice& value) {
  ByteReader reader(ToView(value));
  IndexEntry entry;
  entry.present = true;
  entry.bytes = reader.U64();
  entry.epoch = reader.U64();
  REPRISE_RETURN_IF_ERROR(reader.Finish("store: index entry"));
  return entry;
}

// The index keys of a call's objects: sorted, and each once.
class IndexKeys {
 public:
  template <typename Object>  // ObjectRef or ObjectPut
  explicit IndexKeys(std::span<const Object> objects)
      : position_(objects.size()) {
    std::vector<uint32_t> order(objects.size());
    std::iota(order.begin(), order.end(), 0);
    const auto name = [&](uint32_t i) {
      return std::pair(objects[i].space, objects[i].key);
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](uint32_t a, uint32_t b) { return name(a) < name(b); });
    size_t bytes = 0;
    for (const Object& object : objects) bytes += 1 + object.key.size();
    buffer_.reserve(bytes);  // keys_ points into it
    for (const uint32_t i : order) {
      if (first_.empty() || name(first_.back()) != name(i)) {
        Add(static_cast<uint8_t>(objects[i].space), objects[i].key);
        first_.push_back(i);
      }
      position_[i] = static_cast<uint32_t>(keys_.size() - 1);
    }
  }

  size_t size() const { return keys_.size(); }
  const std::vector<rocksdb::Slice>& keys() const { return keys_; }
  // The first object that has the i-th key.
  uint32_t ObjectOf(size_t i) const { return first_[i]; }
  // Which key an object has.
  uint32_t PositionOf(size_t object) const { return position_[object]; }

  std::vector<uint32_t> Slots() const {
    std::vector<uint32_t> slots;
    slots.reserve(keys_.size());
    for (const rocksdb::Slice& key : keys_) {
      slots.push_back(KeyGate::SlotOf(0, AsText(ToView(key))));
    }
    return slots;
  }

 private:
  void Add(uint8_t space, std::string_view key) {
    const size_t start = buffer_.size();
    buffer_.push_back(static_cast<char>(space));
    buffer_.append(key);
    keys_.emplace_back(buffer_.data() + start, buffer_.size() - start);
  }

  std::string buffer_;
  std::vector<rocksdb::Slice> keys_;
  std::vector<uint32_t> first_;
  std::vector<uint32_t> position_;
};

// (*out)[i] answers keys.keys()[i].
Status LookUp(const RocksStore& store, const IndexKeys& keys,
              std::vector<IndexEntry>* out) {
  out->assign(keys.size(), IndexEntry());
  if (keys.size() == 0) return Status::Ok();
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  store.db()->MultiGet(rocksdb::ReadOptions(), store.index(), keys.size(),
                       keys.keys().data(), values.data(), statuses.data(),
                       /*sorted_input=*/true);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    if (!statuses[i].ok()) return ReadStatus(statuses[i], "store: index");
    REPRISE_ASSIGN_OR_RETURN((*out)[i], DecodeEntry(values[i]));
  }
  return Status::Ok();
}

void PutEntry(rocksdb::WriteBatch* batch, const RocksStore& store,
              const rocksdb::Slice& key, uint64_t bytes, Epoch epoch) {
  uint8_t value[16];
  StoreLe<uint64_t>(value, bytes);
  StoreLe<uint64_t>(value + 8, epoch);
  batch->Put(store.index(), key, ToSlice(ByteView(value)))
      .PermitUncheckedError();
}

Result<PinnedBytes> ToPinned(rocksdb::PinnableSlice value) {
  auto owner = std::make_shared<const rocksdb::PinnableSlice>(std::move(value));
  return PinnedBytes(ToView(*owner), owner);
}

std::string What(ObjectSpace space) {
  return std::string(ObjectSpaceName(space)) + ": get";
}

}  // namespace

Status RocksObjects::Put(std::span<const ObjectPut> objects, Epoch epoch,
                         Durability durability) {
  REPRISE_RETURN_IF_ERROR(CheckPut(objects));
  uint64_t value_bytes = 0;
  for (const ObjectPut& object : objects) value_bytes += object.value.size();
  REPRISE_RETURN_IF_ERROR(store_->CheckWritable(value_bytes));
  const IndexKeys keys(objects);
  {
    const KeyGate::Hold hold = store_->object_gate().Enter(keys.Slots());
    std::vector<IndexEntry> entries;
    REPRISE_RETURN_IF_ERROR(LookUp(*store_, keys, &entries));
    // Room for all at once: growing would copy frames again.
    rocksdb::WriteBatch batch(
        value_bytes + objects.size() * (2 * kMaxKeyBytes + kPutOverheadBytes));
    for (size_t i = 0; i < keys.size(); ++i) {
      const ObjectPut& put = objects[keys.ObjectOf(i)];
      const IndexEntry& entry = entries[i];
      if (!entry.present) {
        batch
            .Put(store_->family(put.space), ToSlice(put.key),
                 ToSlice(put.value))
            .PermitUncheckedError();
        PutEntry(&batch, *store_, keys.keys()[i], put.value.size(), epoch);
      } else if (entry.epoch < epoch) {
        PutEntry(&batch, *store_, keys.keys()[i], entry.bytes, epoch);
      }
    }
    if (batch.Count() > 0) {
      REPRISE_RETURN_IF_ERROR(store_->Write(&batch, Durability::kWritten));
    }
  }
  // Outside of the gate: nobody waits for a disk because of a shared slot,
  // and what was present already is synced too.
  if (durability == Durability::kSynced) return store_->Sync();
  return Status::Ok();
}

Result<PinnedBytes> RocksObjects::Get(const ObjectRef& object) {
  REPRISE_RETURN_IF_ERROR(CheckKey(object.key));
  rocksdb::PinnableSlice value;
  const rocksdb::Status status =
      store_->db()->Get(rocksdb::ReadOptions(), store_->family(object.space),
                        ToSlice(object.key), &value);
  if (!status.ok()) return ReadStatus(status, What(object.space));
  return ToPinned(std::move(value));
}

Result<PinnedBytes> RocksObjects::GetRange(const ObjectRef& object,
                                           uint64_t offset, uint64_t length) {
  REPRISE_ASSIGN_OR_RETURN(PinnedBytes whole, Get(object));
  const ByteView view = whole.view();
  const size_t first = std::min<uint64_t>(offset, view.size());
  const size_t count = std::min<uint64_t>(length, view.size() - first);
  return PinnedBytes(view.subspan(first, count),
                     std::make_shared<const PinnedBytes>(std::move(whole)));
}

void RocksObjects::GetMany(std::span<const ObjectRef> objects,
                           std::vector<Result<PinnedBytes>>* out) {
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  std::vector<rocksdb::Slice> keys;
  for (const ObjectRef& object : objects) {
    if (!CheckKey(object.key).ok()) continue;
    families.push_back(store_->family(object.space));
    keys.push_back(ToSlice(object.key));
  }
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  if (!keys.empty()) {
    store_->db()->MultiGet(rocksdb::ReadOptions(), keys.size(), families.data(),
                           keys.data(), values.data(), statuses.data());
  }
  out->clear();
  out->reserve(objects.size());
  size_t next = 0;
  for (const ObjectRef& object : objects) {
    if (Status check = CheckKey(object.key); !check.ok()) {
      out->push_back(std::move(check));
      continue;
    }
    const size_t i = next++;
    if (statuses[i].ok()) {
      out->push_back(ToPinned(std::move(values[i])));
    } else {
      out->push_back(ReadStatus(statuses[i], What(object.space)));
    }
  }
}

Status RocksObjects::Exists(std::span<const ObjectRef> objects,
                            std::vector<bool>* present) {
  REPRISE_RETURN_IF_ERROR(CheckObjects(objects));
  const IndexKeys keys(objects);
  std::vector<IndexEntry> entries;
  REPRISE_RETURN_IF_ERROR(LookUp(*store_, keys, &entries));
  present->assign(objects.size(), false);
  for (size_t i = 0; i < objects.size(); ++i) {
    (*present)[i] = entries[keys.PositionOf(i)].present;
  }
  return Status::Ok();
}

Status RocksObjects::Touch(std::span<const ObjectRef> objects, Epoch epoch,
                           std::vector<bool>* present) {
  REPRISE_RETURN_IF_ERROR(CheckObjects(objects));
  REPRISE_RETURN_IF_ERROR(store_->CheckWritable(0));
  const IndexKeys keys(objects);
  const KeyGate::Hold hold = store_->object_gate().Enter(keys.Slots());
  std::vector<IndexEntry> entries;
  REPRISE_RETURN_IF_ERROR(LookUp(*store_, keys, &entries));
  rocksdb::WriteBatch batch;
  for (size_t i = 0; i < keys.size(); ++i) {
    const IndexEntry& entry = entries[i];
    if (!entry.present || entry.epoch >= epoch) continue;
    PutEntry(&batch, *store_, keys.keys()[i], entry.bytes, epoch);
  }
  if (batch.Count() > 0) {
    REPRISE_RETURN_IF_ERROR(store_->Write(&batch, Durability::kWritten));
  }
  present->assign(objects.size(), false);
  for (size_t i = 0; i < objects.size(); ++i) {
    (*present)[i] = entries[keys.PositionOf(i)].present;
  }
  return Status::Ok();
}

Result<uint64_t> RocksObjects::RemoveIfUntouched(
    std::span<const ObjectRef> objects, Epoch epoch) {
  REPRISE_RETURN_IF_ERROR(CheckObjects(objects));
  REPRISE_RETURN_IF_ERROR(store_->CheckWritable(0));
  const IndexKeys keys(objects);
  const KeyGate::Hold hold = store_->object_gate().Enter(keys.Slots());
  std::vector<IndexEntry> entries;
  REPRISE_RETURN_IF_ERROR(LookUp(*store_, keys, &entries));
  rocksdb::WriteBatch batch;
  uint64_t removed = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!entries[i].present || entries[i].epoch >= epoch) continue;
    const ObjectRef& object = objects[keys.ObjectOf(i)];
    batch.Delete(store_->family(object.space), ToSlice(object.key))
        .PermitUncheckedError();
    batch.Delete(store_->index(), keys.keys()[i]).PermitUncheckedError();
    ++removed;
  }
  if (removed > 0) {
    REPRISE_RETURN_IF_ERROR(store_->Write(&batch, Durability::kWritten));
  }
  return removed;
}

Status RocksObjects::List(ObjectSpace space, std::string_view prefix,
                          std::string_view cursor, uint32_t limit,
                          std::vector<Listed>* out) {
  REPRISE_RETURN_IF_ERROR(CheckList(prefix, cursor, limit));
  out->clear();
  const std::string name(1, static_cast<char>(space));
  // An empty cursor means the start of the space.
  const std::string after = cursor.empty() ? "" : name + std::string(cursor);
  RocksScan scan(store_->db(), store_->index(), name + std::string(prefix),
                 after);
  for (; scan.Valid() && out->size() < limit; scan.Next()) {
    REPRISE_ASSIGN_OR_RETURN(const IndexEntry entry, DecodeEntry(scan.value()));
    out->push_back(
        {std::string(scan.key().substr(1)), entry.bytes, entry.epoch});
  }
  return scan.Finish("store: list");
}

Status RocksObjects::Sync() {
  REPRISE_RETURN_IF_ERROR(store_->CheckWritable(0));
  return store_->Sync();
}

}  // namespace reprise
