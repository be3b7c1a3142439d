// What all kernels have in common, and how one is launched.
//
// A kernel is a struct:
//
//   struct CopyRowsKernel {
//     static constexpr KernelId kId = KernelId::kCopyRows;
//     static constexpr uint32_t kThreads = 256;     // of a block
//     static constexpr uint32_t kMinBlocks = 4;     // that fit on an SM
//     static constexpr uint32_t kBlockTasks = 8;    // at a time, of a block
//     using Task = CopyRowsTask;
//     struct Shared { ... };
//     REPRISE_GPU static void Run(const Block&, const TaskArgs<Task>&,
//                                 Shared*);
//   };
//
// Run takes any number of blocks: each goes through its share of the tasks. It
// is listed in kernels.h, and has a file NAME_launch.cu of one line, so that
// kernels are compiled side by side.
#ifndef REPRISE_GPU_KERNEL_H_
#define REPRISE_GPU_KERNEL_H_

#include <cstdint>

#include "gpu/gpu_rows.h"

namespace reprise {

enum class KernelId : uint8_t {
  kCopyRows = 0,
  kExactDecode,
  kTscDecode,
  kVectorDecode,
  kKltEntropy,
  kKltInverse,
  kExactEncode,
  kTscEncode,
  kKltPrepare,
  kKltForward,
  kKltEntropyEncode,
  kGatherRows,
};
inline constexpr uint32_t kKernelIds = 12;

// What a kernel is called with; all pointers are the device's.
//
//   tasks   [task_count]
//   rows    of the batch: tasks name theirs by index
//   damage  by frame: tasks name theirs by index, and set it to a number of
//           their own that is not 0 when the frame is damaged. Rows of a
//           damaged frame may be partly written, nothing else is.
template <typename Task>
struct TaskArgs {
  const Task* tasks = nullptr;
  uint32_t task_count = 0;
  const GpuRows* rows = nullptr;
  uint32_t* damage = nullptr;
};

// The same, of any kernel.
struct KernelArgs {
  const void* tasks = nullptr;
  uint32_t task_count = 0;
  const GpuRows* rows = nullptr;
  uint32_t* damage = nullptr;

  template <typename Task>
  REPRISE_GPU TaskArgs<Task> Of() const {
    return {static_cast<const Task*>(tasks), task_count, rows, damage};
  }
};

struct KernelLaunch {
  KernelId id = KernelId::kCopyRows;
  uint32_t blocks = 0;
  KernelArgs args;
};

}  // namespace reprise

#endif  // REPRISE_GPU_KERNEL_H_
