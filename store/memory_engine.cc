#include "store/memory_engine.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace reprise {

class MemoryStore {
 public:
  struct Object {
    std::shared_ptr<const Bytes> value;
    Epoch epoch = 0;
  };
  using ObjectKey = std::pair<ObjectSpace, std::string>;
  using HeadKey = std::pair<HeadSpace, std::string>;

  // All guarded by `mutex`.
  std::mutex mutex;
  std::map<ObjectKey, Object> objects;
  std::map<HeadKey, HeadRecord> heads;
  HeadVersion last_version = 0;
};

namespace {

// The first entry of `map` that a listing shows.
template <typename Map, typename Space>
auto ListStart(Map& map, Space space, std::string_view prefix,
               std::string_view cursor) {
  if (cursor.empty() || cursor < prefix) {
    return map.lower_bound({space, std::string(prefix)});
  }
  return map.upper_bound({space, std::string(cursor)});
}

PinnedBytes Pin(const std::shared_ptr<const Bytes>& value) {
  return PinnedBytes(*value, value);
}

class MemoryEngine final : public Engine {
 public:
  explicit MemoryEngine(std::shared_ptr<MemoryStore> store)
      : store_(std::move(store)) {}

  Status Put(std::span<const ObjectPut> objects, Epoch epoch,
             Durability durability) override {
    REPRISE_RETURN_IF_ERROR(CheckPut(objects));
    std::lock_guard lock(store_->mutex);
    for (const ObjectPut& put : objects) {
      MemoryStore::Object& object =
          store_->objects[{put.space, std::string(put.key)}];
      if (object.value == nullptr) {
        object.value =
            std::make_shared<const Bytes>(put.value.begin(), put.value.end());
      }
      object.epoch = std::max(object.epoch, epoch);
    }
    return Status::Ok();
  }

  Result<PinnedBytes> Get(const ObjectRef& ref) override {
    REPRISE_RETURN_IF_ERROR(CheckKey(ref.key));
    std::lock_guard lock(store_->mutex);
    const MemoryStore::Object* object = Find(ref);
    if (object == nullptr) {
      return NotFoundError(std::string(ObjectSpaceName(ref.space)) +
                           ": no such object");
    }
    return Pin(object->value);
  }

  Result<PinnedBytes> GetRange(const ObjectRef& ref, uint64_t offset,
                               uint64_t length) override {
    REPRISE_ASSIGN_OR_RETURN(PinnedBytes whole, Get(ref));
    const ByteView view = whole.view();
    const size_t first = std::min<uint64_t>(offset, view.size());
    const size_t count = std::min<uint64_t>(length, view.size() - first);
    return PinnedBytes(view.subspan(first, count),
                       std::make_shared<const PinnedBytes>(std::move(whole)));
  }

  void GetMany(std::span<const ObjectRef> objects,
               std::vector<Result<PinnedBytes>>* out) override {
    out->clear();
    out->reserve(objects.size());
    for (const ObjectRef& object : objects) out->push_back(Get(object));
  }

  Status Exists(std::span<const ObjectRef> objects,
                std::vector<bool>* present) override {
    REPRISE_RETURN_IF_ERROR(CheckObjects(objects));
    std::lock_guard lock(store_->mutex);
    present->assign(objects.size(), false);
    for (size_t i = 0; i < objects.size(); ++i) {
      (*present)[i] = Find(objects[i]) != nullptr;
    }
    return Status::Ok();
  }

  Status Touch(std::span<const ObjectRef> objects, Epoch epoch,
               std::vector<bool>* present) override {
    REPRISE_RETURN_IF_ERROR(CheckObjects(objects));
    std::lock_guard lock(store_->mutex);
    present->assign(objects.size(), false);
    for (size_t i = 0; i < objects.size(); ++i) {
      MemoryStore::Object* object = Find(objects[i]);
      if (object == nullptr) continue;
      object->epoch = std::max(object->epoch, epoch);
      (*present)[i] = true;
    }
    return Status::Ok();
  }

  Result<uint64_t> RemoveIfUntouched(std::span<const ObjectRef> objects,
                                     Epoch epoch) override {
    REPRISE_RETURN_IF_ERROR(CheckObjects(objects));
    std::lock_guard lock(store_->mutex);
    uint64_t removed = 0;
    for (const ObjectRef& ref : objects) {
      const auto it = store_->objects.find({ref.space, std::string(ref.key)});
      if (it == store_->objects.end() || it->second.epoch >= epoch) continue;
      store_->objects.erase(it);
      ++removed;
    }
    return removed;
  }

  Status List(ObjectSpace space, std::string_view prefix,
              std::string_view cursor, uint32_t limit,
              std::vector<Listed>* out) override {
    REPRISE_RETURN_IF_ERROR(CheckList(prefix, cursor, limit));
    out->clear();
    std::lock_guard lock(store_->mutex);
    auto it = ListStart(store_->objects, space, prefix, cursor);
    for (; it != store_->objects.end() && out->size() < limit; ++it) {
      const auto& [key_space, key] = it->first;
      if (key_space != space || !key.starts_with(prefix)) break;
      out->push_back({key, it->second.value->size(), it->second.epoch});
    }
    return Status::Ok();
  }

  Status Sync() override { return Status::Ok(); }

  Result<HeadRecord> GetHead(HeadSpace space, std::string_view key) override {
    REPRISE_RETURN_IF_ERROR(CheckKey(key));
    std::lock_guard lock(store_->mutex);
    const auto it = store_->heads.find({space, std::string(key)});
    if (it == store_->heads.end()) {
      return NotFoundError(std::string(HeadSpaceName(space)) +
                           ": no such record");
    }
    return it->second;
  }

  Status GetHeads(HeadSpace space, std::span<const std::string_view> keys,
                  std::vector<HeadRecord>* out) override {
    for (const std::string_view key : keys) {
      REPRISE_RETURN_IF_ERROR(CheckKey(key));
    }
    out->assign(keys.size(), HeadRecord());
    std::lock_guard lock(store_->mutex);
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto it = store_->heads.find({space, std::string(keys[i])});
      if (it != store_->heads.end()) (*out)[i] = it->second;
    }
    return Status::Ok();
  }

  Result<HeadVersion> CompareAndSwap(HeadSpace space, std::string_view key,
                                     HeadVersion expected, ByteView value,
                                     Durability durability) override {
    std::lock_guard lock(store_->mutex);
    return SwapLocked({space, key, expected, value});
  }

  void CompareAndSwapMany(std::span<const Swap> swaps, Durability durability,
                          std::vector<Result<HeadVersion>>* out) override {
    out->clear();
    out->reserve(swaps.size());
    std::set<std::pair<HeadSpace, std::string_view>> named;
    std::lock_guard lock(store_->mutex);
    for (const Swap& swap : swaps) {
      if (named.insert({swap.space, swap.key}).second) {
        out->push_back(SwapLocked(swap));
      } else {
        out->push_back(InvalidArgumentError("engine: record named twice"));
      }
    }
  }

  Status RemoveHead(HeadSpace space, std::string_view key, HeadVersion expected,
                    Durability durability) override {
    REPRISE_RETURN_IF_ERROR(CheckKey(key));
    std::lock_guard lock(store_->mutex);
    const auto it = store_->heads.find({space, std::string(key)});
    const HeadVersion found =
        it == store_->heads.end() ? 0 : it->second.version;
    if (found != expected) return VersionMismatchError(space, found, expected);
    if (found != 0) store_->heads.erase(it);
    return Status::Ok();
  }

  Status ListHeads(HeadSpace space, std::string_view prefix,
                   std::string_view cursor, uint32_t limit,
                   std::vector<ListedHead>* out) override {
    REPRISE_RETURN_IF_ERROR(CheckList(prefix, cursor, limit));
    out->clear();
    std::lock_guard lock(store_->mutex);
    auto it = ListStart(store_->heads, space, prefix, cursor);
    for (; it != store_->heads.end() && out->size() < limit; ++it) {
      const auto& [key_space, key] = it->first;
      if (key_space != space || !key.starts_with(prefix)) break;
      out->push_back({key, it->second});
    }
    return Status::Ok();
  }

  std::string_view name() const override { return "memory"; }

  Stats GetStats() override {
    std::lock_guard lock(store_->mutex);
    Stats stats;
    for (const auto& [key, object] : store_->objects) {
      stats.live_bytes += object.value->size();
    }
    for (const auto& [key, record] : store_->heads) {
      stats.live_bytes += record.value.size();
    }
    stats.memory_bytes = stats.live_bytes;
    return stats;
  }

  Status Health() override { return Status::Ok(); }

 private:
  // REQUIRES: the store's mutex is held.
  MemoryStore::Object* Find(const ObjectRef& ref) {
    const auto it = store_->objects.find({ref.space, std::string(ref.key)});
    return it == store_->objects.end() ? nullptr : &it->second;
  }

  // REQUIRES: the store's mutex is held.
  Result<HeadVersion> SwapLocked(const Swap& swap) {
    REPRISE_RETURN_IF_ERROR(CheckSwap(swap));
    const MemoryStore::HeadKey key{swap.space, std::string(swap.key)};
    const auto it = store_->heads.find(key);
    const HeadVersion found =
        it == store_->heads.end() ? 0 : it->second.version;
    if (found != swap.expected) {
      return VersionMismatchError(swap.space, found, swap.expected);
    }
    HeadRecord& record = store_->heads[key];
    record.value = PinnedBytes(Bytes(swap.value.begin(), swap.value.end()));
    record.version = ++store_->last_version;
    return record.version;
  }

  std::shared_ptr<MemoryStore> store_;
};

}  // namespace

std::shared_ptr<MemoryStore> MakeMemoryStore() {
  return std::make_shared<MemoryStore>();
}

std::unique_ptr<Engine> OpenMemoryEngine(std::shared_ptr<MemoryStore> store) {
  return std::make_unique<MemoryEngine>(std::move(store));
}

}  // namespace reprise
