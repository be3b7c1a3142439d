#include "tools/compaction/sink_bytes.h"

#include <algorithm>
#include <vector>

#include "store/stages.h"

namespace reprise {
namespace {

uint64_t BytesWithout(const RenditionSet& set,
                      const std::vector<RenditionId>& drops,
                      const Rendition* more = nullptr) {
  std::vector<const Rendition*> kept;
  for (const Rendition& each : set.renditions) {
    if (std::ranges::find(drops, each.id) == drops.end()) {
      kept.push_back(&each);
    }
  }
  if (more != nullptr) kept.push_back(more);
  return UniqueFrameBytes(kept);
}

}  // namespace

uint64_t StoredBytes(const RenditionSet& set) { return BytesWithout(set, {}); }

uint64_t RemainingBytes(const RenditionSet& set, const SinkPlan& sink,
                        Tier wanted) {
  if (sink.way == SinkWay::kDerive) {
    // The stages up to `wanted` are all that is left of a better rendition.
    const Rendition& from = *sink.sources[0];
    for (const StagePrefix& prefix : PrefixesOf(from)) {
      if (prefix.tier != wanted) continue;
      const Rendition derived = Offer{&from, prefix}.Cut();
      return BytesWithout(set, sink.drops, &derived);
    }
  }
  return BytesWithout(set, sink.drops);
}

}  // namespace reprise
