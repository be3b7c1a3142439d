// The objects of a RocksStore. The index family says which objects are there,
// how big, and when they were touched; the values lie in the family of their
// space. Both change in one batch, under the object's slot of the gate.
#ifndef REPRISE_STORE_ROCKS_OBJECTS_H_
#define REPRISE_STORE_ROCKS_OBJECTS_H_

#include <memory>
#include <vector>

#include "store/rocks_store.h"

namespace reprise {

class RocksObjects final : public ObjectStore {
 public:
  explicit RocksObjects(std::shared_ptr<RocksStore> store)
      : store_(std::move(store)) {}

  Status Put(std::span<const ObjectPut> objects, Epoch epoch,
             Durability durability) override;
  Result<PinnedBytes> Get(const ObjectRef& object) override;
  Result<PinnedBytes> GetRange(const ObjectRef& object, uint64_t offset,
                               uint64_t length) override;
  void GetMany(std::span<const ObjectRef> objects,
               std::vector<Result<PinnedBytes>>* out) override;
  Status Exists(std::span<const ObjectRef> objects,
                std::vector<bool>* present) override;
  Status Touch(std::span<const ObjectRef> objects, Epoch epoch,
               std::vector<bool>* present) override;
  Result<uint64_t> RemoveIfUntouched(std::span<const ObjectRef> objects,
                                     Epoch epoch) override;
  Status List(ObjectSpace space, std::string_view prefix,
              std::string_view cursor, uint32_t limit,
              std::vector<Listed>* out) override;
  Status Sync() override;

 private:
  std::shared_ptr<RocksStore> store_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_OBJECTS_H_
