// All kernels, in the order in which those of one batch are launched.
#ifndef REPRISE_GPU_KERNELS_H_
#define REPRISE_GPU_KERNELS_H_

#include "gpu/copy_rows_kernel.h"
#include "gpu/exact_decode_kernel.h"
#include "gpu/exact_encode_kernel.h"
#include "gpu/gather_rows_kernel.h"
#include "gpu/klt_entropy_encode_kernel.h"
#include "gpu/klt_entropy_kernel.h"
#include "gpu/klt_forward_kernel.h"
#include "gpu/klt_inverse_kernel.h"
#include "gpu/klt_prepare_kernel.h"
#include "gpu/tsc_decode_kernel.h"
#include "gpu/tsc_encode_kernel.h"
#include "gpu/vector_decode_kernel.h"

namespace reprise {

template <typename... Kernels>
struct KernelList {};

using DecodeKernels =
    KernelList<CopyRowsKernel, ExactDecodeKernel, TscDecodeKernel,
               VectorDecodeKernel, KltEntropyKernel, KltInverseKernel>;
using EncodeKernels =
    KernelList<ExactEncodeKernel, TscEncodeKernel, KltPrepareKernel,
               KltForwardKernel, KltEntropyEncodeKernel, GatherRowsKernel>;

}  // namespace reprise

#endif  // REPRISE_GPU_KERNELS_H_
