// How one segment gets to the tier that is wanted of it: a pure function of
// what is stored.
#ifndef REPRISE_TOOLS_COMPACTION_SINK_PLAN_H_
#define REPRISE_TOOLS_COMPACTION_SINK_PLAN_H_

#include <cstdint>
#include <span>
#include <vector>

#include "codec/tier.h"
#include "store/records.h"

namespace reprise {

enum class SinkWay : uint8_t {
  kNothing,
  kDropAll,  // only tokens are wanted
  kDrop,    // `there` is of this tier, and as good as anything encoded would be
  kDerive,  // the stages of `sources[0]` up to this tier
  kEncode,  // from the first of `sources` that can be decoded
};

struct SinkPlan {
  SinkWay way = SinkWay::kNothing;
  // Better renditions that go; points into the set, as all below.
  std::vector<RenditionId> drops;
  // What the rendition of this tier counts as: nothing worse may remain alone.
  Tier remains = Tier::kTokens;
  std::vector<const Rendition*> sources;  // best first
  const Rendition* there = nullptr;
  // False when the frames of `there` are also those of a better one.
  bool is_apart = false;
};

// `wanted` near to tokens. Tails are exact down to near, then tokens: nobody
// encodes them anew.
SinkPlan PlanSink(const RenditionSet& set, bool is_tail, Tier wanted);

// Of all frames that these renditions name, each counted once.
uint64_t UniqueFrameBytes(std::span<const Rendition* const> renditions);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SINK_PLAN_H_
