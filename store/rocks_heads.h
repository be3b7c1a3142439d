// The head records of a RocksStore: a family for each space. Who changes a
// record holds its slot of the gate until the change is written, and synced
// if so asked: RocksDB shows a synced write only after its sync.
#ifndef REPRISE_STORE_ROCKS_HEADS_H_
#define REPRISE_STORE_ROCKS_HEADS_H_

#include <memory>
#include <vector>

#include "store/rocks_store.h"

namespace reprise {

class RocksHeads final : public HeadStore {
 public:
  explicit RocksHeads(std::shared_ptr<RocksStore> store)
      : store_(std::move(store)) {}

  Result<HeadRecord> GetHead(HeadSpace space, std::string_view key) override;
  Status GetHeads(HeadSpace space, std::span<const std::string_view> keys,
                  std::vector<HeadRecord>* out) override;
  Result<HeadVersion> CompareAndSwap(HeadSpace space, std::string_view key,
                                     HeadVersion expected, ByteView value,
                                     Durability durability) override;
  void CompareAndSwapMany(std::span<const Swap> swaps, Durability durability,
                          std::vector<Result<HeadVersion>>* out) override;
  Status RemoveHead(HeadSpace space, std::string_view key, HeadVersion expected,
                    Durability durability) override;
  Status ListHeads(HeadSpace space, std::string_view prefix,
                   std::string_view cursor, uint32_t limit,
                   std::vector<ListedHead>* out) override;

 private:
  // 0 when absent. REQUIRES: the caller holds the record's slot.
  Result<HeadVersion> CurrentVersion(HeadSpace space, std::string_view key);
  // GetHeads without the cache. REQUIRES: out->size() == keys.size(); records
  // that are absent are left alone.
  Status ReadHeads(HeadSpace space, std::span<const std::string_view> keys,
                   std::vector<HeadRecord>* out);
  void DropCached(HeadSpace space, std::string_view key);
  // The failure of those that can't be swapped; OK for the others.
  // REQUIRES: the caller holds the slots of all.
  std::vector<Status> CheckVersions(std::span<const Swap> swaps);

  std::shared_ptr<RocksStore> store_;
};

}  // namespace reprise

#endif  // REPRISE_STORE_ROCKS_HEADS_H_
