// What is known of each kernel without a device: for tools that report on
// them.
#ifndef REPRISE_GPU_KERNEL_FACTS_H_
#define REPRISE_GPU_KERNEL_FACTS_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "gpu/kernel.h"

namespace reprise {

struct KernelFacts {
  KernelId id = KernelId::kCopyRows;
  // "exact_decode": the kernel's struct is ExactDecodeKernel.
  std::string_view name;
  bool decodes = false;  // else encodes
  uint32_t threads = 0;  // of a block
  uint32_t shared_bytes = 0;
  uint32_t min_blocks = 0;  // that shall fit on a multiprocessor
};

// Those of decoding first, each list in the order of launches.
std::span<const KernelFacts> AllKernelFacts();

}  // namespace reprise

#endif  // REPRISE_GPU_KERNEL_FACTS_H_
