// Batches of a device that several threads fill and one waits for: what a
// DeviceDecoder and a DeviceEncoder have in common.
//
//   free -> filling -> under way -> delivered -> free
//
// The slot that fills is launched when it holds enough, or when the device has
// been idle for as long as it is worth to wait: each batch costs some copies,
// launches and a thread's waking, together about a tenth of that.
#ifndef REPRISE_CLIENT_DEVICE_SLOTS_H_
#define REPRISE_CLIENT_DEVICE_SLOTS_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "gpu/device.h"

namespace reprise {

// What a slot has at least; a kind of slot adds Clear(), which empties it.
template <typename Plan>
struct DeviceSlot {
  std::unique_ptr<Plan> plan;
  uint64_t bytes = 0;  // that it holds
  uint32_t held = 0;   // how often it has still to be given back
};

// Thread-safe but for Start and Close.
template <typename Slot>
class DeviceSlots {
 public:
  static constexpr std::chrono::microseconds kLinger{500};

  struct Hooks {
    // Queues what the slot holds; under the mutex.
    std::function<Status(Slot*)> launch;
    // The slot is done, or the device failed. Not under the mutex, on the
    // thread of this object. Whoever is to look at the slot afterwards is
    // counted by Hold before this returns.
    std::function<void(Slot*, const Status&)> deliver;
  };

  DeviceSlots(std::shared_ptr<Device> device, uint64_t launch_bytes)
      : device_(std::move(device)), launch_bytes_(launch_bytes) {}
  ~DeviceSlots() { Close(); }

  // `make(index, slot)` gets what a slot needs. Nothing is allocated later.
  template <typename Make>
  Status Start(uint32_t count, Hooks hooks, Make make) {
    hooks_ = std::move(hooks);
    REPRISE_ASSIGN_OR_RETURN(kernels_, device_->MakeStream());
    REPRISE_ASSIGN_OR_RETURN(caller_, device_->MakeEvent());
    slots_.resize(count);
    for (uint32_t i = 0; i < count; ++i) {
      REPRISE_RETURN_IF_ERROR(make(i, &slots_[i]));
      free_.push_back(&slots_[i]);
    }
    thread_ = std::thread([this] { Work(); });
    return Status();
  }

  // Waits for everything, slots that are held included. Nothing is queued on
  // the device afterwards.
  void Close() {
    if (thread_.joinable()) {
      {
        std::unique_lock lock(mutex_);
        closing_ = true;
        LaunchFilling();
        changed_.notify_all();
        changed_.wait(lock, [this] {
          return free_.size() + (filling_ != nullptr ? 1 : 0) == slots_.size();
        });
      }
      thread_.join();
    }
    if (kernels_ != nullptr) device_->FreeStream(std::exchange(kernels_, {}));
    if (caller_ != nullptr) device_->FreeEvent(std::exchange(caller_, {}));
  }

  std::vector<Slot>& slots() { return slots_; }
  GpuStream kernels() const { return kernels_; }

  // Why nothing can be done any more; OK as long as it can. kUnavailable.
  Status failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

  // Batches so far.
  uint64_t launches() {
    const std::lock_guard lock(mutex_);
    return launches_;
  }

  // The device failed in the midst of a delivery.
  void Fail(const Status& why) {
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = why;
  }

  // Kernels of what is added from now on see what is queued on `stream` by
  // now, or what `event` waits for if it is not null.
  Status WaitFor(GpuStream stream, GpuEvent event) {
    const std::lock_guard lock(mutex_);
    REPRISE_RETURN_IF_ERROR(failure_);
    if (event == nullptr) {
      REPRISE_RETURN_IF_ERROR(device_->Record(caller_, stream));
      event = caller_;
    }
    return device_->Wait(kernels_, event);
  }

  // `add_to(slot)` adds something under the mutex, or answers
  // kResourceExhausted when the slot is too full for it, and is tried with the
  // next. Waits while no slot is free.
  template <typename AddTo>
  Status Add(AddTo add_to) {
    std::unique_lock lock(mutex_);
    for (;;) {
      Slot* const slot = Filling(&lock);
      if (!failure_.ok()) return failure_;
      const bool is_first = slot->plan->is_empty();
      const Status status = add_to(slot);
      if (status.ok()) {
        if (slot->bytes >= launch_bytes_) {
          LaunchFilling();
        } else if (is_first && under_way_.empty()) {
          changed_.notify_all();  // the thread lets it linger
        }
        return Status();
      }
      // What has no room even in an empty one never will. Another thread may
      // have filled the next one as well.
      if (!status.Is(StatusCode::kResourceExhausted) ||
          slot->plan->is_empty()) {
        return status;
      }
      LaunchFilling();
    }
  }

  // Keeps a slot that is being delivered until it was given back so many
  // times.
  void Hold(Slot* slot, uint32_t times) {
    const std::lock_guard lock(mutex_);
    slot->held += times;
  }
  void GiveBack(Slot* slot) {
    const std::lock_guard lock(mutex_);
    if (--slot->held > 0) return;
    free_.push_back(slot);
    // Under the mutex: who waits for the last one ends this object.
    changed_.notify_all();
  }

 private:
  // All of these under the mutex.
  Slot* Filling(std::unique_lock<std::mutex>* lock) {
    changed_.wait(*lock, [this] {
      return filling_ != nullptr || !free_.empty() || !failure_.ok();
    });
    if (filling_ == nullptr && !free_.empty()) {
      filling_ = free_.back();
      free_.pop_back();
      filling_->Clear();
    } else if (filling_ != nullptr && filling_->plan->is_empty()) {
      // Block tables of what was refused are still in it.
      filling_->Clear();
    }
    return filling_;
  }

  void LaunchFilling() {
    if (filling_ == nullptr || filling_->plan->is_empty()) return;
    Slot* const slot = std::exchange(filling_, nullptr);
    const Status status = hooks_.launch(slot);
    ++launches_;
    if (failure_.ok()) failure_ = status;
    under_way_.push_back(slot);
    changed_.notify_all();
  }

  void Finish(Slot* slot, std::unique_lock<std::mutex>* lock) {
    lock->unlock();
    const Status status = slot->plan->Synchronize();
    lock->lock();
    if (failure_.ok()) failure_ = status;
    const Status outcome = failure_;
    slot->held = 1;  // ours, while it is delivered
    lock->unlock();
    // A launch that failed has left kernels behind that no event waits for.
    if (!outcome.ok()) (void)device_->Drain(kernels_);
    hooks_.deliver(slot, outcome);
    GiveBack(slot);
    lock->lock();
  }

  bool HasToWork() const { return closing_ || !under_way_.empty(); }

  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] {
        return HasToWork() ||
               (filling_ != nullptr && !filling_->plan->is_empty());
      });
      if (!changed_.wait_for(lock, kLinger, [this] { return HasToWork(); })) {
        LaunchFilling();
      }
      if (under_way_.empty()) {
        if (closing_) return;
        continue;
      }
      Slot* const slot = under_way_.front();
      Finish(slot, &lock);
      under_way_.pop_front();
      changed_.notify_all();
    }
  }

  const std::shared_ptr<Device> device_;
  const uint64_t launch_bytes_;
  Hooks hooks_;
  GpuStream kernels_ = nullptr;
  GpuEvent caller_ = nullptr;  // recorded on callers' streams

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::vector<Slot*> free_;
  Slot* filling_ = nullptr;
  std::deque<Slot*> under_way_;  // oldest first
  Status failure_;               // of the device, for good
  bool closing_ = false;
  uint64_t launches_ = 0;
  std::thread thread_;  // waits for slots, in order
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_DEVICE_SLOTS_H_
