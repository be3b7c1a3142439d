#include "tools/compaction/sink_plan.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "store/stages.h"

namespace reprise {
namespace {

bool HasStagesOf(const Rendition& rendition, Tier tier) {
  return std::ranges::any_of(
      PrefixesOf(rendition),
      [&](const StagePrefix& prefix) { return prefix.tier == tier; });
}

bool NamesAllOf(const Rendition& better, const Rendition& there) {
  return std::ranges::all_of(there.frames, [&](const FrameRef& frame) {
    return std::ranges::find(better.frames, frame) != better.frames.end();
  });
}

}  // namespace

SinkPlan PlanSink(const RenditionSet& set, bool is_tail, Tier wanted) {
  SinkPlan plan;
  if (set.renditions.empty()) return plan;
  if (wanted == Tier::kTokens || (is_tail && wanted > Tier::kNear)) {
    plan.way = SinkWay::kDropAll;
    for (const Rendition& each : set.renditions) plan.drops.push_back(each.id);
    return plan;
  }
  if (is_tail) return plan;
  for (const Rendition& each : set.renditions) {
    if (each.tier == wanted) plan.there = &each;
    if (each.tier >= wanted) continue;
    plan.sources.push_back(&each);
    plan.drops.push_back(each.id);
  }
  if (plan.sources.empty()) return plan;
  std::ranges::stable_sort(plan.sources, {}, [](const Rendition* each) {
    return std::tuple(each->effective(), each->tier);
  });
  const Tier reachable = WorseOf(wanted, plan.sources[0]->effective());
  plan.remains = reachable;
  if (plan.there != nullptr && plan.there->effective() <= reachable) {
    plan.way = SinkWay::kDrop;
    plan.is_apart =
        std::ranges::none_of(plan.sources, [&](const Rendition* better) {
          return NamesAllOf(*better, *plan.there);
        });
    return plan;
  }
  plan.there = nullptr;
  plan.way = SinkWay::kEncode;
  for (const Rendition* each : plan.sources) {
    if (!HasStagesOf(*each, wanted)) continue;
    if (WorseOf(wanted, each->basis) > reachable) continue;
    plan.way = SinkWay::kDerive;
    plan.sources = {each};
    break;
  }
  return plan;
}

Result<SinkChoice> ChooseSink(const RenditionSet& set, bool is_tail,
                              std::span<const Tier> tiers,
                              const TierQuestion& can_make) {
  for (const Tier tier : tiers) {
    SinkChoice choice{PlanSink(set, is_tail, tier), tier};
    const bool is_asked = choice.plan.way == SinkWay::kEncode ||
                          (is_tail && choice.plan.way == SinkWay::kDropAll &&
                           tier != Tier::kTokens);
    if (!is_asked) return choice;
    REPRISE_ASSIGN_OR_RETURN(const bool can, can_make(tier));
    if (can) return choice;
  }
  return SinkChoice();
}

uint64_t UniqueFrameBytes(std::span<const Rendition* const> renditions) {
  std::set<std::pair<RenditionId, uint32_t>> counted;
  uint64_t bytes = 0;
  for (const Rendition* each : renditions) {
    for (const FrameRef& frame : each->frames) {
      if (!counted.emplace(frame.rendition, frame.index).second) continue;
      bytes += frame.bytes;
    }
  }
  return bytes;
}

}  // namespace reprise
