#include "gpu/cuda_kernel.cuh"
#include "gpu/klt_prepare_kernel.h"

namespace reprise {

CudaKernel KltPrepareCudaKernel() { return MakeCudaKernel<KltPrepareKernel>(); }

}  // namespace reprise
