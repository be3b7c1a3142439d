#include "gpu/cuda_kernel.cuh"
#include "gpu/klt_inverse_kernel.h"

namespace reprise {

CudaKernel KltInverseCudaKernel() { return MakeCudaKernel<KltInverseKernel>(); }

}  // namespace reprise
