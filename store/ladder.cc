#include "store/ladder.h"

#include <algorithm>

namespace reprise {

double DefaultMaxRelativeError(Tier tier) {
  switch (tier) {
    case Tier::kExact:
      return 0;
    case Tier::kNear:
      return 0.95;
    case Tier::kCoarse:
      return 1.05;
    case Tier::kArchive:
    case Tier::kTokens:
      break;
  }
  return 1.1;
}

const LadderTier* Ladder::Find(Tier tier) const {
  const auto it = std::ranges::find(tiers, tier, &LadderTier::tier);
  return it == tiers.end() ? nullptr : &*it;
}

std::vector<Ladder> BuiltInLadders() {
  return {{std::string(kDefaultLadder),
           {{Tier::kExact, "exact"},
            {Tier::kNear, "klt:tier=near"},
            {Tier::kCoarse, "klt:tier=coarse"},
            {Tier::kArchive, "klt:tier=archive"}}},
          {"series",
           {{Tier::kExact, "exact"},
            {Tier::kNear, "tsc:bits=8", 0.1},
            {Tier::kCoarse, "tsc:bits=4", 0.6},
            {Tier::kArchive, "vq:worst=0.1"}}},
          {"series-vq",
           {{Tier::kExact, "exact"},
            {Tier::kNear, "tsc:bits=8", 0.1},
            {Tier::kCoarse, "vq:worst=0.1"},
            {Tier::kArchive, "vq"}}}};
}

const Ladder* FindLadder(const std::vector<Ladder>& ladders,
                         std::string_view name) {
  const auto it = std::ranges::find(ladders, name, &Ladder::name);
  return it == ladders.end() ? nullptr : &*it;
}

}  // namespace reprise
