#include "gpu/cuda_kernel.cuh"
#include "gpu/klt_forward_kernel.h"

namespace reprise {

CudaKernel KltForwardCudaKernel() { return MakeCudaKernel<KltForwardKernel>(); }

}  // namespace reprise
