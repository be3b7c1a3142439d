#include "gpu/copy_rows_kernel.h"
#include "gpu/cuda_kernel.cuh"

namespace reprise {

CudaKernel CopyRowsCudaKernel() { return MakeCudaKernel<CopyRowsKernel>(); }

}  // namespace reprise
