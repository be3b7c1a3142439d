#include "gpu/cuda_kernel.cuh"
#include "gpu/exact_decode_kernel.h"

namespace reprise {

CudaKernel ExactDecodeCudaKernel() {
  return MakeCudaKernel<ExactDecodeKernel>();
}

}  // namespace reprise
