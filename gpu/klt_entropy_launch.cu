#include "gpu/cuda_kernel.cuh"
#include "gpu/klt_entropy_kernel.h"

namespace reprise {

CudaKernel KltEntropyCudaKernel() { return MakeCudaKernel<KltEntropyKernel>(); }

}  // namespace reprise
