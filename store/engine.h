// The two narrow interfaces that everything durable rests on. Any storage
// that can keep their promises can be an engine; tests/store/
// engine_conformance.h is the suite that each must pass, also with two
// handles on one store.
//
//   ObjectStore   immutable objects, put if absent, removed only by garbage
//                 collection
//   HeadStore     small records changed by compare-and-swap
//
// Every method is thread-safe and blocks: never call it on an I/O thread.
// Views passed in need to live only during the call.
#ifndef REPRISE_STORE_ENGINE_H_
#define REPRISE_STORE_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace reprise {

// What an acknowledged write survives.
enum class Durability : uint8_t {
  kWritten = 1,  // in the log: survives kill -9 of the daemon
  kSynced = 2,   // fsync: survives power loss
};

// Where an object lives. An engine may lay each space out differently.
enum class ObjectSpace : uint8_t {
  kModel = 1,
  kProfile = 2,
  kSegment = 3,
  kTail = 4,
  kCommit = 5,
  kTailFrame = 6,
  kFrameExact = 7,
  kFrameNear = 8,
  kFrameCoarse = 9,
  kFrameArchive = 10,
};
inline constexpr ObjectSpace kAllObjectSpaces[] = {
    ObjectSpace::kModel,       ObjectSpace::kProfile,
    ObjectSpace::kSegment,     ObjectSpace::kTail,
    ObjectSpace::kCommit,      ObjectSpace::kTailFrame,
    ObjectSpace::kFrameExact,  ObjectSpace::kFrameNear,
    ObjectSpace::kFrameCoarse, ObjectSpace::kFrameArchive,
};
// "segment", "frame-exact", ...
std::string_view ObjectSpaceName(ObjectSpace space);

// A key is any bytes, 1 to kMaxKeyBytes of them. A call with another key, or
// with more value bytes than kMaxPutBytes, answers kInvalidArgument.
inline constexpr size_t kMaxKeyBytes = 300;
inline constexpr uint64_t kMaxPutBytes = 1ull << 30;  // of one call

struct ObjectRef {
  ObjectSpace space;
  std::string_view key;
};

struct ObjectPut {
  ObjectSpace space;
  std::string_view key;
  ByteView value;
};

// Bytes that an engine keeps in its own cache, or has read for us. Movable;
// the view is valid as long as this object, on any thread.
class PinnedBytes {
 public:
  PinnedBytes() = default;
  explicit PinnedBytes(Bytes bytes);
  // `owner` keeps what `view` points to.
  PinnedBytes(ByteView view, std::shared_ptr<const void> owner)
      : view_(view), owner_(std::move(owner)) {}

  ByteView view() const { return view_; }
  size_t size() const { return view_.size(); }

 private:
  ByteView view_;
  std::shared_ptr<const void> owner_;
};

// A garbage collector's age of an object: the epoch in which it was last put
// or touched. Epochs are counted by the catalogue (store/collector.h).
using Epoch = uint64_t;

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Stores every object whose key is absent, all or nothing; a present key
  // keeps its value (of a key named twice, the first one's). Either way the
  // object is touched at `epoch`. With kSynced the objects are synced when
  // this returns, those that were present already too.
  // kResourceExhausted when full; kUnavailable once a sync has failed.
  virtual Status Put(std::span<const ObjectPut> objects, Epoch epoch,
                     Durability durability) = 0;

  // kNotFound; kDataLoss when the engine's own checks fail.
  virtual Result<PinnedBytes> Get(const ObjectRef& object) = 0;
  // Bytes [offset, offset + length), cut at the object's end; none when
  // `offset` lies beyond it.
  virtual Result<PinnedBytes> GetRange(const ObjectRef& object, uint64_t offset,
                                       uint64_t length) = 0;
  // Get for many in one batch: (*out)[i] belongs to objects[i].
  virtual void GetMany(std::span<const ObjectRef> objects,
                       std::vector<Result<PinnedBytes>>* out) = 0;

  // (*present)[i] says whether objects[i] is stored. Reads no values.
  virtual Status Exists(std::span<const ObjectRef> objects,
                        std::vector<bool>* present) = 0;

  // Marks those present as in use at `epoch` (never lowered), atomically with
  // RemoveIfUntouched: an object reported present outlives any removal with
  // an older epoch.
  virtual Status Touch(std::span<const ObjectRef> objects, Epoch epoch,
                       std::vector<bool>* present) = 0;

  // Removes those whose last touch is before `epoch`; returns how many went.
  // A key that is gone already is no error.
  virtual Result<uint64_t> RemoveIfUntouched(std::span<const ObjectRef> objects,
                                             Epoch epoch) = 0;

  struct Listed {
    std::string key;
    uint64_t bytes = 0;  // of the value
    Epoch epoch = 0;     // last touch
  };
  // Keys that start with `prefix` and are greater than `cursor` (empty: from
  // the start), in order of their bytes, at most `limit` (not 0). An empty
  // answer means the end. Objects put or removed meanwhile may be seen or not.
  virtual Status List(ObjectSpace space, std::string_view prefix,
                      std::string_view cursor, uint32_t limit,
                      std::vector<Listed>* out) = 0;

  // Everything acknowledged before this call is kSynced when it returns OK.
  virtual Status Sync() = 0;
};

enum class HeadSpace : uint8_t {
  kSession = 1,
  kRendition = 2,  // by SegmentId or TailId: all its renditions
  kLease = 3,
  kLastUse = 4,
  kMeta = 5,  // format version, collector's epoch
};
inline constexpr HeadSpace kAllHeadSpaces[] = {
    HeadSpace::kSession, HeadSpace::kRendition, HeadSpace::kLease,
    HeadSpace::kLastUse, HeadSpace::kMeta,
};
std::string_view HeadSpaceName(HeadSpace space);

// A version is unique in the life of a store: a record removed and made again
// never shows an old version. Zero is no version: "absent".
using HeadVersion = uint64_t;

struct HeadRecord {
  PinnedBytes value;
  HeadVersion version = 0;
};

class HeadStore {
 public:
  virtual ~HeadStore() = default;

  // kNotFound.
  virtual Result<HeadRecord> GetHead(HeadSpace space, std::string_view key) = 0;
  // (*out)[i] belongs to keys[i]; version 0 where there is none.
  virtual Status GetHeads(HeadSpace space,
                          std::span<const std::string_view> keys,
                          std::vector<HeadRecord>* out) = 0;

  // Writes `value` if the record's version is `expected` (0: absent) and
  // returns the new version. With kSynced everything that this store
  // acknowledged before, objects too, is synced as well, and nobody reads the
  // new value before it is synced.
  // kFailedPrecondition when the version is another.
  virtual Result<HeadVersion> CompareAndSwap(HeadSpace space,
                                             std::string_view key,
                                             HeadVersion expected,
                                             ByteView value,
                                             Durability durability) = 0;
  struct Swap {
    HeadSpace space;
    std::string_view key;
    HeadVersion expected = 0;
    ByteView value;
  };
  // Independent swaps in one batch: (*out)[i] answers swaps[i] and fails by
  // itself. No two may name the same record: all but the first of them answer
  // kInvalidArgument.
  virtual void CompareAndSwapMany(std::span<const Swap> swaps,
                                  Durability durability,
                                  std::vector<Result<HeadVersion>>* out) = 0;

  // kFailedPrecondition when the version is not `expected`.
  virtual Status RemoveHead(HeadSpace space, std::string_view key,
                            HeadVersion expected, Durability durability) = 0;

  struct ListedHead {
    std::string key;
    HeadRecord record;
  };
  // Like ObjectStore::List.
  virtual Status ListHeads(HeadSpace space, std::string_view prefix,
                           std::string_view cursor, uint32_t limit,
                           std::vector<ListedHead>* out) = 0;
};

// One handle on one store.
class Engine : public ObjectStore, public HeadStore {
 public:
  // "rocksdb", "memory".
  virtual std::string_view name() const = 0;

  struct Stats {
    uint64_t live_bytes = 0;  // of values, where the engine knows
    uint64_t disk_bytes = 0;  // on the file system
    uint64_t memory_bytes = 0;
    uint64_t cache_capacity_bytes = 0;
  };
  virtual Stats GetStats() = 0;

  // Not OK once the engine refuses writes (after a failed sync): /readyz.
  virtual Status Health() = 0;
};

// For engines: the checks that every call makes first.
Status CheckKey(std::string_view key);
Status CheckObjects(std::span<const ObjectRef> objects);
Status CheckPut(std::span<const ObjectPut> objects);
Status CheckSwap(const HeadStore::Swap& swap);
Status CheckList(std::string_view prefix, std::string_view cursor,
                 uint32_t limit);
// The message for a swap that lost.
Status VersionMismatchError(HeadSpace space, HeadVersion found,
                            HeadVersion expected);

}  // namespace reprise

#endif  // REPRISE_STORE_ENGINE_H_
