// What plans of decoding and of encoding have in common: a batch of work for a
// device, put together on the host in memory that was all got beforehand.
//
// A codec's planner adds tasks, kernel by kernel; Launch sends the whole batch
// to the device in one copy and calls each kernel that has tasks once. So a
// batch of thousands of frames costs as many launches as there are kernels.
//
//   constants | rows | tasks, kernel by kernel | damage      one blob
//
// A kernel whose blocks do better on tasks in an order has
//
//   static bool Before(const Task& a, const Task& b);
//
// by which Launch sorts them.
#ifndef REPRISE_GPU_TASK_BATCH_H_
#define REPRISE_GPU_TASK_BATCH_H_

#include <array>
#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "gpu/device.h"
#include "gpu/gpu_rows.h"
#include "gpu/kernels.h"

namespace reprise {

struct TaskBatchLimits {
  // Of one kernel.
  uint32_t tasks = 1 << 16;
  uint32_t rows = 1 << 15;
  // Frames, or prefixes of stages: what is damaged or not as a whole.
  uint32_t units = 1 << 13;
  // Sent along with the tasks.
  uint64_t constant_bytes = 4 << 20;
  // On the device, for what goes from one kernel to the next.
  uint64_t scratch_bytes = 64 << 20;
};

// The tasks of all kernels in a list.
template <typename List>
struct TaskLists;
template <typename... Kernels>
struct TaskLists<KernelList<Kernels...>> {
  std::tuple<std::vector<typename Kernels::Task>...> lists;
};

// A base class. One thread at a time.
template <typename List>
class TaskBatch {
 public:
  TaskBatch(const TaskBatch&) = delete;
  TaskBatch& operator=(const TaskBatch&) = delete;

  bool is_empty() const { return units_ == 0; }

  // Starts a unit; what is added from now on belongs to it. Answers its
  // number, which tasks carry as `unit`.
  // kResourceExhausted, with both numbers, when there is no room.
  Result<uint32_t> BeginUnit();

  // All of these: kResourceExhausted when there is no room. The batch is then
  // to be launched first.
  Result<uint32_t> AddRows(const GpuRows& rows);
  template <typename Kernel>
  Status Add(const typename Kernel::Task& task) {
    auto& list = ListOf<Kernel>();
    if (list.size() == limits_.tasks) return NoRoom("tasks", limits_.tasks);
    list.push_back(task);
    return Status();
  }
  // The device's address of a copy of `bytes`, 16-byte aligned, with slack.
  Result<const uint8_t*> AddConstants(ByteView bytes);
  // Device memory, 256-byte aligned, with slack, contents undefined. Each
  // unit's is its own.
  Result<uint8_t*> AddScratch(uint64_t bytes);

  // Room for tasks that kernels need in an order of the planner's.
  template <typename Kernel>
  std::vector<typename Kernel::Task>& ListOf() {
    return std::get<std::vector<typename Kernel::Task>>(tasks_.lists);
  }

  // Queues the batch. `max_blocks`: of a launch; 0: as many as are of use.
  // After an error some of it may be under way: Synchronize and the destructor
  // wait for that too, if the device still takes an event (else Device::Drain).
  // REQUIRES: not empty, not launched since it was emptied.
  Status Launch(GpuStream stream, uint32_t max_blocks = 0);
  // Of the last Launch.
  Result<bool> IsDone() const;
  Status Synchronize() const;
  GpuEvent done_event() const { return done_; }
  // What kernels said of a unit; 0: it is whole. REQUIRES: it is done.
  uint32_t damage(uint32_t unit) const;

 protected:
  TaskBatch(std::shared_ptr<Device> device, const TaskBatchLimits& limits)
      : device_(std::move(device)), limits_(limits) {}
  // Waits for what was launched. What a derived class has of its own dies
  // before that: its destructor calls Finish itself.
  ~TaskBatch();
  void Finish() const;

  // Device and pinned memory for the limits.
  Status Allocate();
  // Empties it. REQUIRES: what was launched is done.
  void ClearTasks();
  // Takes back everything since BeginUnit.
  void DropTasks();

  static Status NoRoom(const char* what, uint64_t limit);
  uint32_t units() const { return units_; }
  const std::shared_ptr<Device>& device() const { return device_; }

 private:
  struct Mark {
    uint64_t rows = 0;
    uint64_t constants = 0;
    uint64_t scratch = 0;
    std::array<uint64_t, kKernelIds> tasks{};
  };

  Mark MarkNow() const;
  // All of Launch but the event that says when it is done.
  Status Queue(GpuStream stream, uint32_t max_blocks);
  // Puts `bytes` at the end of the blob and answers where.
  uint64_t Append(const void* bytes, uint64_t size, uint64_t* at);

  const std::shared_ptr<Device> device_;
  const TaskBatchLimits limits_;
  DeviceBuffer pinned_, blob_, scratch_;
  GpuEvent done_ = nullptr;

  std::vector<GpuRows> rows_;
  TaskLists<List> tasks_;
  uint64_t constants_ = 0;     // bytes used
  uint64_t scratch_used_ = 0;  // bytes
  uint32_t units_ = 0;
  Mark mark_;
  uint64_t damage_at_ = 0;  // in both blobs
};

extern template class TaskBatch<DecodeKernels>;
extern template class TaskBatch<EncodeKernels>;

}  // namespace reprise

#endif  // REPRISE_GPU_TASK_BATCH_H_
