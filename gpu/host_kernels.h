// Kernels run by loops on this machine.
#ifndef REPRISE_GPU_HOST_KERNELS_H_
#define REPRISE_GPU_HOST_KERNELS_H_

#include "base/status.h"
#include "gpu/kernel.h"

namespace reprise {

// Runs all blocks of a launch, one after the other; from the last thread of the
// last one to the first if `is_backwards`, which must make no difference.
// kUnimplemented when there is no such kernel.
Status RunOnHost(const KernelLaunch& launch, bool is_backwards);

}  // namespace reprise

#endif  // REPRISE_GPU_HOST_KERNELS_H_
