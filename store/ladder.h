// Ladders: which codec makes each tier. A policy (store/policy.h) says when a
// session sinks to a tier, the ladder that it names says how. Names and texts
// only, so that the daemon can check a policy without knowing a codec; who
// encodes turns a text into a codec with ParseCodecChoice.
#ifndef REPRISE_STORE_LADDER_H_
#define REPRISE_STORE_LADDER_H_

#include <string>
#include <string_view>
#include <vector>

#include "codec/tier.h"

namespace reprise {

// The ladder of policies that name none.
inline constexpr std::string_view kDefaultLadder = "default";

// More than any codec of the built-in ladders needed on real states
// (docs/operations/reprised.md has the figures), and less than other values
// make, which are off by 1.4.
double DefaultMaxRelativeError(Tier tier);

struct LadderTier {
  Tier tier = Tier::kExact;
  // What ParseCodecChoice takes: "klt:tier=near". What it makes is of this
  // tier, or better: a tier's name promises a quality.
  std::string codec_choice;
  // Of any plane of a segment, decoded against what it was made from: the
  // Euclidean norm of the difference over that of the source. What is further
  // off is not taken for state of this tier.
  double max_relative_error = DefaultMaxRelativeError(tier);

  bool operator==(const LadderTier&) const = default;
};

struct Ladder {
  std::string name;
  // Best first, each once; exact is always the first and tokens never there.
  std::vector<LadderTier> tiers;

  // Null for a tier that this ladder does not make; and for tokens, for which
  // there is nothing to make.
  const LadderTier* Find(Tier tier) const;
  bool operator==(const Ladder&) const = default;
};

// What is there without any configuration, by name:
//
//   default    klt, of which each tier is the first stages of the one above:
//              from near on, to sink is to drop frames
//   series     the research series' codecs: tsc of 8 bits, tsc of 4, vq that
//              keeps the worst tenth of the token-heads exact
//   series-vq  the same with both kinds of vq: tsc of 8 bits, vq that keeps a
//              tenth, bare vq. A segment has one rendition a tier at most, and
//              three tiers lie below exact: hence two ladders for four codecs
std::vector<Ladder> BuiltInLadders();

// The ladder of this name; null.
const Ladder* FindLadder(const std::vector<Ladder>& ladders,
                         std::string_view name);

}  // namespace reprise

#endif  // REPRISE_STORE_LADDER_H_
