// Staged renditions: their codec made several frames of one segment and layer
// group, each of which refines those of the stages before it. The frames of
// the first stages alone are state of a lower tier, and lie in the space of
// that tier: so spaces say what a prefix of the stages is worth.
//
// Frames ascend by index, whose highest byte is the stage: a prefix of the
// stages is a prefix of Rendition::frames.
#ifndef REPRISE_STORE_STAGES_H_
#define REPRISE_STORE_STAGES_H_

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "store/records.h"

namespace reprise {

// kInvalidArgument unless all frames of a stage lie in one space, no stage in
// that of a lower tier than the one before it, and the last of several in the
// rendition's own. Tails' frames all lie in one space, whatever their stages.
// REQUIRES: frames ascend strictly by index.
Status CheckStages(const Rendition& rendition, bool is_tail);

// frames[0, frame_count) of a rendition, and what they decode to.
struct StagePrefix {
  size_t frame_count = 0;
  Tier tier = Tier::kExact;
  bool operator==(const StagePrefix&) const = default;
};
// One for each tier that a prefix of the stages has, lowest first; the last is
// the whole rendition.
std::vector<StagePrefix> PrefixesOf(const Rendition& rendition);

// Which tiers a reader can use. REQUIRES: highest <= lowest.
struct TierWish {
  Tier lowest = Tier::kArchive;
  // Better than this is of no use to it, but does no harm.
  Tier highest = Tier::kExact;
};

// What is to be read of one of several renditions.
struct Offer {
  const Rendition* rendition = nullptr;
  StagePrefix prefix;

  Tier effective() const { return WorseOf(prefix.tier, rendition->basis); }
  uint64_t stored_bytes() const;
  // The rendition as if it had never had more: a Rendition of the prefix.
  Rendition Cut() const;
};

// Of all prefixes that count as `lowest` or better: the best that is not
// better than `highest`; without one, that which is the least better. Nothing
// when none is good enough.
// (*present)[i] frames of renditions[i], from the first on, are there; null:
// all are.
std::optional<Offer> ChooseOffer(std::span<const Rendition> renditions,
                                 const TierWish& wish,
                                 std::span<const size_t> present = {});

}  // namespace reprise

#endif  // REPRISE_STORE_STAGES_H_
