#include "gpu/cuda_kernel.cuh"
#include "gpu/tsc_decode_kernel.h"

namespace reprise {

CudaKernel TscDecodeCudaKernel() { return MakeCudaKernel<TscDecodeKernel>(); }

}  // namespace reprise
