// Ladders as an operator configures them, one tier a setting: "NAME.TIER" and
// the codec that makes it. Here, where codecs are known, each is checked.
#ifndef REPRISE_TOOLS_LADDER_CONFIG_H_
#define REPRISE_TOOLS_LADDER_CONFIG_H_

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/ladder.h"

namespace reprise {

// `ladders` with settings such as "series.near=tsc:bits=8", or the same with
// " max-error=0.02" behind it (LadderTier::max_relative_error), put in: a tier
// that is there is changed, another one added, and so is a ladder that is not
// there. kInvalidArgument, with the setting, for one that says nothing of that
// form, names a tier twice, or one that is not to be set (exact is what workers
// save, and tokens has no codec), or whose codec fails CheckLadderTier.
Result<std::vector<Ladder>> SetLadderTiers(
    std::vector<Ladder> ladders, std::span<const std::string> settings);

// The codec is built and takes its options, and what it makes is of the tier,
// or better. A codec that works in stages makes exactly the tier: its frames
// lie where their stages say. kInvalidArgument, with both tiers; errors of
// ParseCodecChoice.
Status CheckLadderTier(const LadderTier& tier);

}  // namespace reprise

#endif  // REPRISE_TOOLS_LADDER_CONFIG_H_
