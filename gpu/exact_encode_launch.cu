#include "gpu/cuda_kernel.cuh"
#include "gpu/exact_encode_kernel.h"

namespace reprise {

CudaKernel ExactEncodeCudaKernel() {
  return MakeCudaKernel<ExactEncodeKernel>();
}

}  // namespace reprise
