// Tiers say what quality stored state has, not which codec made it.
#ifndef REPRISE_CODEC_TIER_H_
#define REPRISE_CODEC_TIER_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace reprise {

// Best first: a lower value is better. Values are stored and never reused.
enum class Tier : uint8_t {
  kExact = 1,
  kNear = 2,
  kCoarse = 3,
  kArchive = 4,
  kTokens = 5,  // no frames at all: token ids only
};
// "exact", "near", "coarse", "archive", "tokens"; "?" outside the enum.
std::string_view TierName(Tier tier);
// kInvalidArgument for a name that is none of these.
Result<Tier> TierFromName(std::string_view name);
// kDataLoss for a value outside the enum.
Result<Tier> TierFromValue(uint8_t value);
inline Tier WorseOf(Tier a, Tier b) { return a > b ? a : b; }

// Chosen at random by who saves, the same for all ranks of one save; makes
// the frames of two writers of one segment distinct.
struct RenditionId {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const RenditionId&) const = default;
};

// Where a frame stands in its rendition; a function of its header, so that
// ranks that save side by side never collide:
// stage << 24 | index of its layer group << 12 | first head.
// REQUIRES: group_index < 4096; head_first < 4096.
constexpr uint32_t FrameIndex(uint8_t stage, uint32_t group_index,
                              uint16_t head_first) {
  return uint32_t{stage} << 24 | group_index << 12 | head_first;
}

}  // namespace reprise

#endif  // REPRISE_CODEC_TIER_H_
