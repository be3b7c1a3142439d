#include "gpu/host_kernels.h"

#include <cstdint>
#include <cstring>
#include <memory>

#include "codec/message.h"
#include "gpu/executor.h"
#include "gpu/kernels.h"

namespace reprise {
namespace {

template <typename Kernel>
void RunBlocks(const KernelLaunch& launch, bool is_backwards) {
  using Shared = typename Kernel::Shared;
  const auto args = launch.args.template Of<typename Kernel::Task>();
  const auto shared = std::make_unique<Shared>();
  for (uint32_t i = 0; i < launch.blocks; ++i) {
    // As on a device, it holds what nobody should rely on.
    std::memset(static_cast<void*>(shared.get()), 0xa5, sizeof(Shared));
    const Block block({.index = is_backwards ? launch.blocks - 1 - i : i,
                       .count = launch.blocks,
                       .threads = Kernel::kThreads,
                       .is_backwards = is_backwards});
    Kernel::Run(block, args, shared.get());
  }
}

template <typename... Kernels>
bool RunOneOf(KernelList<Kernels...>, const KernelLaunch& launch,
              bool is_backwards) {
  return ((Kernels::kId == launch.id &&
           (RunBlocks<Kernels>(launch, is_backwards), true)) ||
          ...);
}

}  // namespace

Status RunOnHost(const KernelLaunch& launch, bool is_backwards) {
  if (RunOneOf(DecodeKernels(), launch, is_backwards)) return Status();
  if (RunOneOf(EncodeKernels(), launch, is_backwards)) return Status();
  return UnimplementedError(
      CatMessage("gpu: there is no kernel ", static_cast<uint32_t>(launch.id)));
}

}  // namespace reprise
