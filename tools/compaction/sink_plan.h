// How one segment gets to the tier that is wanted of it: a pure function of
// what is stored.
#ifndef REPRISE_TOOLS_COMPACTION_SINK_PLAN_H_
#define REPRISE_TOOLS_COMPACTION_SINK_PLAN_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
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

// Whether a tier can be made, whatever is stored. An error ends the search.
using TierQuestion = std::function<Result<bool>(Tier)>;

struct SinkChoice {
  SinkPlan plan;
  // Where it leads. When none of the tiers can be had, nothing is to be done,
  // and this is exact.
  Tier tier = Tier::kExact;
};

// The plan for the first of `tiers` that can be had: `can_make` is asked where
// a codec is needed, and of a tail's tier, since a tail's frames go only when
// the segments before it sink as far. What is of one of the tiers, or worse,
// when its turn comes stays as it is. REQUIRES: tiers as of PlanSink, worst
// first.
Result<SinkChoice> ChooseSink(const RenditionSet& set, bool is_tail,
                              std::span<const Tier> tiers,
                              const TierQuestion& can_make);

// Of all frames that these renditions name, each counted once.
uint64_t UniqueFrameBytes(std::span<const Rendition* const> renditions);

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_SINK_PLAN_H_
