#include "gpu/kernel_facts.h"

#include <vector>

#include "gpu/kernels.h"

namespace reprise {
namespace {

std::string_view NameOf(KernelId id) {
  switch (id) {
    case KernelId::kCopyRows:
      return "copy_rows";
    case KernelId::kExactDecode:
      return "exact_decode";
    case KernelId::kTscDecode:
      return "tsc_decode";
    case KernelId::kVectorDecode:
      return "vector_decode";
    case KernelId::kKltEntropy:
      return "klt_entropy";
    case KernelId::kKltInverse:
      return "klt_inverse";
    case KernelId::kExactEncode:
      return "exact_encode";
    case KernelId::kTscEncode:
      return "tsc_encode";
    case KernelId::kKltPrepare:
      return "klt_prepare";
    case KernelId::kKltForward:
      return "klt_forward";
    case KernelId::kKltEntropyEncode:
      return "klt_entropy_encode";
    case KernelId::kGatherRows:
      return "gather_rows";
  }
  return "?";
}

template <typename... Kernels>
void AddFacts(KernelList<Kernels...>, [[maybe_unused]] bool decodes,
              std::vector<KernelFacts>* facts) {
  (facts->push_back({.id = Kernels::kId,
                     .name = NameOf(Kernels::kId),
                     .decodes = decodes,
                     .threads = Kernels::kThreads,
                     .shared_bytes = sizeof(typename Kernels::Shared),
                     .min_blocks = Kernels::kMinBlocks}),
   ...);
}

}  // namespace

std::span<const KernelFacts> AllKernelFacts() {
  static const std::vector<KernelFacts> facts = [] {
    std::vector<KernelFacts> all;
    AddFacts(DecodeKernels(), true, &all);
    AddFacts(EncodeKernels(), false, &all);
    return all;
  }();
  return facts;
}

}  // namespace reprise
