#include "gpu/cuda_kernel.cuh"
#include "gpu/vector_decode_kernel.h"

namespace reprise {

CudaKernel VectorDecodeCudaKernel() {
  return MakeCudaKernel<VectorDecodeKernel>();
}

}  // namespace reprise
