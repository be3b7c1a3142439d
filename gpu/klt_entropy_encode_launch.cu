#include "gpu/cuda_kernel.cuh"
#include "gpu/klt_entropy_encode_kernel.h"

namespace reprise {

CudaKernel KltEntropyEncodeCudaKernel() {
  return MakeCudaKernel<KltEntropyEncodeKernel>();
}

}  // namespace reprise
