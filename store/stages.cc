#include "store/stages.h"

#include <algorithm>
#include <string>
#include <tuple>

namespace reprise {
namespace {

// REQUIRES: not a tail's.
Tier TierOf(ObjectSpace space) {
  return static_cast<Tier>(static_cast<uint8_t>(space) -
                           static_cast<uint8_t>(ObjectSpace::kFrameExact) +
                           static_cast<uint8_t>(Tier::kExact));
}

Status Refuse(const FrameRef& frame, const std::string& what) {
  return InvalidArgumentError(
      "a frame of stage " + std::to_string(frame.stage) + " lies in " +
      std::string(ObjectSpaceName(frame.space)) + ", " + what);
}

// Where the stage ends that begins at `first`.
size_t StageEnd(const std::vector<FrameRef>& frames, size_t first) {
  size_t end = first;
  while (end < frames.size() && frames[end].stage == frames[first].stage) ++end;
  return end;
}

// Whether `a` serves the wish better than `b`.
bool IsBetter(const Offer& a, const Offer& b, Tier highest) {
  const bool a_fits = a.prefix.tier >= highest;
  if (a_fits != (b.prefix.tier >= highest)) return a_fits;
  const Tier a_tier = a.prefix.tier;
  const Tier b_tier = b.prefix.tier;
  if (a_fits) {
    return std::tuple(a.effective(), a_tier, a.stored_bytes()) <
           std::tuple(b.effective(), b_tier, b.stored_bytes());
  }
  return std::tuple(b_tier, a.effective(), a.stored_bytes()) <
         std::tuple(a_tier, b.effective(), b.stored_bytes());
}

}  // namespace

Status CheckStages(const Rendition& rendition, bool is_tail) {
  if (is_tail) return Status();
  const std::vector<FrameRef>& frames = rendition.frames;
  for (size_t i = 1; i < frames.size(); ++i) {
    const FrameRef& frame = frames[i];
    const FrameRef& before = frames[i - 1];
    const std::string there(ObjectSpaceName(before.space));
    if (frame.stage == before.stage && frame.space != before.space) {
      return Refuse(frame, "another of that stage in " + there);
    }
    if (frame.space > before.space) {
      return Refuse(frame, "one of stage " + std::to_string(before.stage) +
                               " in " + there);
    }
  }
  const bool is_staged =
      !frames.empty() && frames.back().stage != frames.front().stage;
  if (!is_staged || TierOf(frames.back().space) == rendition.tier) {
    return Status();
  }
  return Refuse(frames.back(), "it is the last of tier " +
                                   std::string(TierName(rendition.tier)));
}

std::vector<StagePrefix> PrefixesOf(const Rendition& rendition) {
  std::vector<StagePrefix> prefixes;
  const std::vector<FrameRef>& frames = rendition.frames;
  for (size_t end = 0; end < frames.size();) {
    const ObjectSpace space = frames[end].space;
    end = StageEnd(frames, end);
    if (end == frames.size()) break;
    const bool tier_goes_on = frames[end].space == space;
    if (tier_goes_on || space == ObjectSpace::kTailFrame) continue;
    prefixes.push_back({end, TierOf(space)});
  }
  prefixes.push_back({frames.size(), rendition.tier});
  return prefixes;
}

uint64_t Offer::stored_bytes() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < prefix.frame_count; ++i) {
    sum += rendition->frames[i].bytes;
  }
  return sum;
}

Rendition Offer::Cut() const {
  Rendition cut = *rendition;
  cut.tier = prefix.tier;
  cut.frames.resize(prefix.frame_count);
  return cut;
}

std::optional<Offer> ChooseOffer(std::span<const Rendition> renditions,
                                 const TierWish& wish,
                                 std::span<const size_t> present) {
  std::optional<Offer> best;
  for (size_t i = 0; i < renditions.size(); ++i) {
    for (const StagePrefix& prefix : PrefixesOf(renditions[i])) {
      if (!present.empty() && prefix.frame_count > present[i]) break;
      const Offer offer{&renditions[i], prefix};
      if (offer.effective() > wish.lowest) continue;
      if (!best || IsBetter(offer, *best, wish.highest)) best = offer;
    }
  }
  return best;
}

}  // namespace reprise
