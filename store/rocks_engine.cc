#include "store/rocks_engine.h"

#include <utility>

#include "store/rocks_heads.h"
#include "store/rocks_objects.h"
#include "store/rocks_reclaim.h"
#include "store/rocks_store.h"

namespace reprise {
namespace {

// Objects and heads of one store, as one handle.
class RocksEngine final : public Engine {
 public:
  explicit RocksEngine(std::shared_ptr<RocksStore> store)
      : store_(std::move(store)), objects_(store_), heads_(store_) {}

  const std::shared_ptr<RocksStore>& store() const { return store_; }

  Status Put(std::span<const ObjectPut> objects, Epoch epoch,
             Durability durability) override {
    return objects_.Put(objects, epoch, durability);
  }
  Result<PinnedBytes> Get(const ObjectRef& object) override {
    return objects_.Get(object);
  }
  Result<PinnedBytes> GetRange(const ObjectRef& object, uint64_t offset,
                               uint64_t length) override {
    return objects_.GetRange(object, offset, length);
  }
  void GetMany(std::span<const ObjectRef> objects,
               std::vector<Result<PinnedBytes>>* out) override {
    objects_.GetMany(objects, out);
  }
  Status Exists(std::span<const ObjectRef> objects,
                std::vector<bool>* present) override {
    return objects_.Exists(objects, present);
  }
  Status Touch(std::span<const ObjectRef> objects, Epoch epoch,
               std::vector<bool>* present) override {
    return objects_.Touch(objects, epoch, present);
  }
  Result<uint64_t> RemoveIfUntouched(std::span<const ObjectRef> objects,
                                     Epoch epoch) override {
    return objects_.RemoveIfUntouched(objects, epoch);
  }
  Status List(ObjectSpace space, std::string_view prefix,
              std::string_view cursor, uint32_t limit,
              std::vector<Listed>* out) override {
    return objects_.List(space, prefix, cursor, limit, out);
  }
  Status Sync() override { return objects_.Sync(); }

  Result<HeadRecord> GetHead(HeadSpace space, std::string_view key) override {
    return heads_.GetHead(space, key);
  }
  Status GetHeads(HeadSpace space, std::span<const std::string_view> keys,
                  std::vector<HeadRecord>* out) override {
    return heads_.GetHeads(space, keys, out);
  }
  Result<HeadVersion> CompareAndSwap(HeadSpace space, std::string_view key,
                                     HeadVersion expected, ByteView value,
                                     Durability durability) override {
    return heads_.CompareAndSwap(space, key, expected, value, durability);
  }
  void CompareAndSwapMany(std::span<const Swap> swaps, Durability durability,
                          std::vector<Result<HeadVersion>>* out) override {
    heads_.CompareAndSwapMany(swaps, durability, out);
  }
  Status RemoveHead(HeadSpace space, std::string_view key, HeadVersion expected,
                    Durability durability) override {
    return heads_.RemoveHead(space, key, expected, durability);
  }
  Status ListHeads(HeadSpace space, std::string_view prefix,
                   std::string_view cursor, uint32_t limit,
                   std::vector<ListedHead>* out) override {
    return heads_.ListHeads(space, prefix, cursor, limit, out);
  }

  std::string_view name() const override { return "rocksdb"; }
  Stats GetStats() override { return store_->GetStats(); }
  Status Health() override { return store_->Health(); }

 private:
  std::shared_ptr<RocksStore> store_;
  RocksObjects objects_;
  RocksHeads heads_;
};

}  // namespace

Result<std::unique_ptr<Engine>> OpenRocksEngine(const RocksOptions& options) {
  REPRISE_ASSIGN_OR_RETURN(std::shared_ptr<RocksStore> store,
                           RocksStore::Open(options));
  return std::unique_ptr<Engine>(new RocksEngine(std::move(store)));
}

std::unique_ptr<Engine> ShareRocksEngine(const Engine& engine) {
  return std::make_unique<RocksEngine>(
      static_cast<const RocksEngine&>(engine).store());
}

Result<ReclaimReport> ReclaimRocksSpace(const Engine& engine,
                                        const ReclaimOptions& options) {
  return RocksReclaimer(static_cast<const RocksEngine&>(engine).store().get(),
                        options)
      .Run();
}

}  // namespace reprise
