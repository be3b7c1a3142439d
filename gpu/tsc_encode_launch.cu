#include "gpu/cuda_kernel.cuh"
#include "gpu/tsc_encode_kernel.h"

namespace reprise {

CudaKernel TscEncodeCudaKernel() { return MakeCudaKernel<TscEncodeKernel>(); }

}  // namespace reprise
