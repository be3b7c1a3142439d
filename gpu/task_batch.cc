#include "gpu/task_batch.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "codec/message.h"

namespace reprise {
namespace {

constexpr uint64_t kConstantAlignment = 16;
constexpr uint64_t kPartAlignment = 256;
// Enough for any device to have its blocks; those too many end at once.
constexpr uint32_t kMostBlocks = 4096;

constexpr uint64_t RoundUp(uint64_t bytes, uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

template <typename... Kernels>
constexpr uint64_t TaskBytes(KernelList<Kernels...>, uint64_t tasks) {
  return (uint64_t{0} + ... +
          RoundUp(sizeof(typename Kernels::Task) * tasks, kPartAlignment));
}

template <typename Kernel>
uint32_t BlocksFor(uint64_t tasks) {
  const uint64_t blocks =
      (tasks + Kernel::kBlockTasks - 1) / Kernel::kBlockTasks;
  return static_cast<uint32_t>(std::min<uint64_t>(blocks, kMostBlocks));
}

}  // namespace

template <typename List>
TaskBatch<List>::~TaskBatch() {
  Finish();
  if (done_ != nullptr) device_->FreeEvent(done_);
}

template <typename List>
void TaskBatch<List>::Finish() const {
  if (done_ != nullptr) (void)device_->Synchronize(done_);
}

template <typename List>
Status TaskBatch<List>::Allocate() {
  const uint64_t blob_bytes =
      limits_.constant_bytes +
      RoundUp(sizeof(GpuRows) * limits_.rows, kPartAlignment) +
      TaskBytes(List(), limits_.tasks) +
      RoundUp(sizeof(uint32_t) * limits_.units, kPartAlignment) +
      kGpuSlackBytes;
  const auto get = [&](GpuMemory kind, uint64_t bytes, DeviceBuffer* out) {
    Result<DeviceBuffer> made = DeviceBuffer::Make(device_, kind, bytes);
    if (!made.ok()) return made.status();
    *out = *std::move(made);
    return Status();
  };
  REPRISE_RETURN_IF_ERROR(get(GpuMemory::kPinned, blob_bytes, &pinned_));
  REPRISE_RETURN_IF_ERROR(get(GpuMemory::kDevice, blob_bytes, &blob_));
  REPRISE_RETURN_IF_ERROR(get(
      GpuMemory::kDevice, limits_.scratch_bytes + kGpuSlackBytes, &scratch_));
  Result<GpuEvent> event = device_->MakeEvent();
  if (!event.ok()) return event.status();
  done_ = *event;
  rows_.reserve(limits_.rows);
  std::apply([&](auto&... lists) { (lists.reserve(limits_.tasks), ...); },
             tasks_.lists);
  return Status();
}

template <typename List>
Status TaskBatch<List>::NoRoom(const char* what, uint64_t limit) {
  return ResourceExhaustedError(
      CatMessage("gpu: a batch has room for ", limit, " ", what));
}

template <typename List>
void TaskBatch<List>::ClearTasks() {
  rows_.clear();
  std::apply([](auto&... lists) { (lists.clear(), ...); }, tasks_.lists);
  constants_ = 0;
  scratch_used_ = 0;
  units_ = 0;
}

template <typename List>
typename TaskBatch<List>::Mark TaskBatch<List>::MarkNow() const {
  Mark mark{
      .rows = rows_.size(), .constants = constants_, .scratch = scratch_used_};
  uint32_t index = 0;
  std::apply(
      [&](const auto&... lists) {
        ((mark.tasks[index++] = lists.size()), ...);
      },
      tasks_.lists);
  return mark;
}

template <typename List>
Result<uint32_t> TaskBatch<List>::BeginUnit() {
  if (units_ == limits_.units) return NoRoom("frames", limits_.units);
  mark_ = MarkNow();
  return units_++;
}

template <typename List>
void TaskBatch<List>::DropTasks() {
  rows_.resize(mark_.rows);
  constants_ = mark_.constants;
  scratch_used_ = mark_.scratch;
  uint32_t index = 0;
  std::apply([&](auto&... lists) { (lists.resize(mark_.tasks[index++]), ...); },
             tasks_.lists);
  --units_;
}

template <typename List>
Result<uint32_t> TaskBatch<List>::AddRows(const GpuRows& rows) {
  if (rows_.size() == limits_.rows) return NoRoom("planes", limits_.rows);
  rows_.push_back(rows);
  return static_cast<uint32_t>(rows_.size() - 1);
}

template <typename List>
Result<const uint8_t*> TaskBatch<List>::AddConstants(ByteView bytes) {
  const uint64_t size = RoundUp(bytes.size(), kConstantAlignment);
  if (size > limits_.constant_bytes - constants_) {
    return NoRoom("bytes of constants", limits_.constant_bytes);
  }
  const uint64_t at = constants_;
  if (!bytes.empty()) {
    std::memcpy(pinned_.data() + at, bytes.data(), bytes.size());
  }
  constants_ += size;
  return static_cast<const uint8_t*>(blob_.data() + at);
}

template <typename List>
Result<uint8_t*> TaskBatch<List>::AddScratch(uint64_t bytes) {
  const uint64_t size = RoundUp(bytes, kPartAlignment);
  if (size > limits_.scratch_bytes - scratch_used_) {
    return NoRoom("bytes of scratch", limits_.scratch_bytes);
  }
  const uint64_t at = scratch_used_;
  scratch_used_ += size;
  return scratch_.data() + at;
}

template <typename List>
uint64_t TaskBatch<List>::Append(const void* bytes, uint64_t size,
                                 uint64_t* at) {
  const uint64_t first = *at;
  if (size > 0) std::memcpy(pinned_.data() + first, bytes, size);
  *at = RoundUp(first + size, kPartAlignment);
  return first;
}

template <typename List>
Status TaskBatch<List>::Queue(GpuStream stream, uint32_t max_blocks) {
  uint64_t at = RoundUp(constants_, kPartAlignment);
  const uint64_t rows_at =
      Append(rows_.data(), rows_.size() * sizeof(GpuRows), &at);
  std::array<KernelLaunch, kKernelIds> launches;
  uint32_t launch_count = 0;
  const auto append = [&]<typename Kernel>() {
    auto& list = ListOf<Kernel>();
    if (list.empty()) return;
    if constexpr (requires { &Kernel::Before; }) {
      std::sort(list.begin(), list.end(), Kernel::Before);
    }
    KernelLaunch& launch = launches[launch_count++];
    launch.id = Kernel::kId;
    launch.blocks = BlocksFor<Kernel>(list.size());
    if (max_blocks != 0) launch.blocks = std::min(launch.blocks, max_blocks);
    launch.args.task_count = static_cast<uint32_t>(list.size());
    launch.args.tasks =
        blob_.data() + Append(list.data(), list.size() * sizeof(list[0]), &at);
    launch.args.rows = reinterpret_cast<const GpuRows*>(blob_.data() + rows_at);
  };
  [&]<typename... Kernels>(KernelList<Kernels...>) {
    (append.template operator()<Kernels>(), ...);
  }(List());
  damage_at_ = at;
  const uint64_t damage_bytes = units_ * sizeof(uint32_t);
  std::memset(pinned_.data() + damage_at_, 0, damage_bytes);
  REPRISE_RETURN_IF_ERROR(device_->CopyToDevice(
      blob_.data(), pinned_.data(), damage_at_ + damage_bytes, stream));
  for (uint32_t i = 0; i < launch_count; ++i) {
    launches[i].args.damage =
        reinterpret_cast<uint32_t*>(blob_.data() + damage_at_);
    REPRISE_RETURN_IF_ERROR(device_->Launch(launches[i], stream));
  }
  return device_->CopyToHost(pinned_.data() + damage_at_,
                             blob_.data() + damage_at_, damage_bytes, stream);
}

template <typename List>
Status TaskBatch<List>::Launch(GpuStream stream, uint32_t max_blocks) {
  const Status queued = Queue(stream, max_blocks);
  // What was queued before an error runs nevertheless, and writes to memory
  // that somebody will want back.
  const Status recorded = device_->Record(done_, stream);
  return queued.ok() ? recorded : queued;
}

template <typename List>
Result<bool> TaskBatch<List>::IsDone() const {
  return device_->IsDone(done_);
}

template <typename List>
Status TaskBatch<List>::Synchronize() const {
  return device_->Synchronize(done_);
}

template <typename List>
uint32_t TaskBatch<List>::damage(uint32_t unit) const {
  return LoadLe<uint32_t>(pinned_.data() + damage_at_ +
                          unit * sizeof(uint32_t));
}

template class TaskBatch<DecodeKernels>;
template class TaskBatch<EncodeKernels>;

}  // namespace reprise
