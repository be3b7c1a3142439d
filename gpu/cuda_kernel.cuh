// A kernel as CUDA runs it. Each NAME_launch.cu makes one of these, and
// cuda_device.cu finds it here.
#ifndef REPRISE_GPU_CUDA_KERNEL_CUH_
#define REPRISE_GPU_CUDA_KERNEL_CUH_

#include <cstdint>

#include "gpu/kernel.h"

namespace reprise {

struct CudaKernel {
  KernelId id;
  const void* function;  // (KernelArgs), for the runtime
  uint32_t threads;
  uint32_t shared_bytes;
};

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kMinBlocks)
    RunKernel(const KernelArgs args) {
  extern __shared__ __align__(128) uint8_t shared[];
  Kernel::Run(Block(), args.template Of<typename Kernel::Task>(),
              reinterpret_cast<typename Kernel::Shared*>(shared));
}

template <typename Kernel>
CudaKernel MakeCudaKernel() {
  return {.id = Kernel::kId,
          .function = reinterpret_cast<const void*>(&RunKernel<Kernel>),
          .threads = Kernel::kThreads,
          .shared_bytes = sizeof(typename Kernel::Shared)};
}

CudaKernel CopyRowsCudaKernel();
CudaKernel ExactDecodeCudaKernel();
CudaKernel ExactEncodeCudaKernel();
CudaKernel GatherRowsCudaKernel();
CudaKernel TscDecodeCudaKernel();
CudaKernel TscEncodeCudaKernel();
CudaKernel VectorDecodeCudaKernel();
CudaKernel KltEntropyCudaKernel();
CudaKernel KltInverseCudaKernel();
CudaKernel KltPrepareCudaKernel();
CudaKernel KltForwardCudaKernel();
CudaKernel KltEntropyEncodeCudaKernel();
CudaKernel KltPrepareCudaKernel();
CudaKernel KltForwardCudaKernel();
CudaKernel KltEntropyEncodeCudaKernel();
CudaKernel PackRowsCudaKernel();

}  // namespace reprise

#endif  // REPRISE_GPU_CUDA_KERNEL_CUH_
