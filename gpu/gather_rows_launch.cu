#include "gpu/cuda_kernel.cuh"
#include "gpu/gather_rows_kernel.h"

namespace reprise {

CudaKernel GatherRowsCudaKernel() { return MakeCudaKernel<GatherRowsKernel>(); }

}  // namespace reprise
