// An engine in front of another one, with a hook before and after each call:
// to fail the N-th one, with or without its effect, or to let something else
// happen just then.
#ifndef REPRISE_TESTS_SUPPORT_FAILING_ENGINE_H_
#define REPRISE_TESTS_SUPPORT_FAILING_ENGINE_H_

#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "store/engine.h"

namespace reprise {

// As thread-safe as the hooks are.
class FailingEngine : public Engine {
 public:
  // Not OK: the call is not made (before), or was made and its answer is lost
  // (after); either way this status is the answer.
  using Hook = std::function<Status()>;

  // `engine` is not owned and must outlive this.
  explicit FailingEngine(Engine* engine) : engine_(engine) {}

  Hook before;
  Hook after;

  Status Put(std::span<const ObjectPut> objects, Epoch epoch,
             Durability durability) override {
    return Call([&] { return engine_->Put(objects, epoch, durability); });
  }
  Result<PinnedBytes> Get(const ObjectRef& object) override {
    return Call([&] { return engine_->Get(object); });
  }
  Result<PinnedBytes> GetRange(const ObjectRef& object, uint64_t offset,
                               uint64_t length) override {
    return Call([&] { return engine_->GetRange(object, offset, length); });
  }
  void GetMany(std::span<const ObjectRef> objects,
               std::vector<Result<PinnedBytes>>* out) override {
    CallMany(objects.size(), out, [&] { engine_->GetMany(objects, out); });
  }
  Status Exists(std::span<const ObjectRef> objects,
                std::vector<bool>* present) override {
    return Call([&] { return engine_->Exists(objects, present); });
  }
  Status Touch(std::span<const ObjectRef> objects, Epoch epoch,
               std::vector<bool>* present) override {
    return Call([&] { return engine_->Touch(objects, epoch, present); });
  }
  Result<uint64_t> RemoveIfUntouched(std::span<const ObjectRef> objects,
                                     Epoch epoch) override {
    return Call([&] { return engine_->RemoveIfUntouched(objects, epoch); });
  }
  Status List(ObjectSpace space, std::string_view prefix,
              std::string_view cursor, uint32_t limit,
              std::vector<Listed>* out) override {
    return Call(
        [&] { return engine_->List(space, prefix, cursor, limit, out); });
  }
  Status Sync() override {
    return Call([&] { return engine_->Sync(); });
  }
  Result<HeadRecord> GetHead(HeadSpace space, std::string_view key) override {
    return Call([&] { return engine_->GetHead(space, key); });
  }
  Status GetHeads(HeadSpace space, std::span<const std::string_view> keys,
                  std::vector<HeadRecord>* out) override {
    return Call([&] { return engine_->GetHeads(space, keys, out); });
  }
  Result<HeadVersion> CompareAndSwap(HeadSpace space, std::string_view key,
                                     HeadVersion expected, ByteView value,
                                     Durability durability) override {
    return Call([&] {
      return engine_->CompareAndSwap(space, key, expected, value, durability);
    });
  }
  void CompareAndSwapMany(std::span<const Swap> swaps, Durability durability,
                          std::vector<Result<HeadVersion>>* out) override {
    CallMany(swaps.size(), out,
             [&] { engine_->CompareAndSwapMany(swaps, durability, out); });
  }
  Status RemoveHead(HeadSpace space, std::string_view key, HeadVersion expected,
                    Durability durability) override {
    return Call(
        [&] { return engine_->RemoveHead(space, key, expected, durability); });
  }
  Status ListHeads(HeadSpace space, std::string_view prefix,
                   std::string_view cursor, uint32_t limit,
                   std::vector<ListedHead>* out) override {
    return Call(
        [&] { return engine_->ListHeads(space, prefix, cursor, limit, out); });
  }
  std::string_view name() const override { return engine_->name(); }
  Stats GetStats() override { return engine_->GetStats(); }
  Status Health() override { return engine_->Health(); }

 private:
  template <typename Function>
  auto Call(Function function) -> decltype(function()) {
    if (before) {
      if (Status status = before(); !status.ok()) return status;
    }
    auto answer = function();
    if (after) {
      if (Status status = after(); !status.ok()) return status;
    }
    return answer;
  }

  template <typename T, typename Function>
  void CallMany(size_t count, std::vector<Result<T>>* out, Function function) {
    Status status = before ? before() : Status();
    if (status.ok()) {
      function();
      if (after) status = after();
    }
    if (status.ok()) return;
    out->assign(count, Result<T>(status));
  }

  Engine* const engine_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_FAILING_ENGINE_H_
