#include "codec/tier.h"

#include <string>

namespace reprise {
namespace {

constexpr std::string_view kNames[] = {"exact", "near", "coarse", "archive",
                                       "tokens"};

}  // namespace

std::string_view TierName(Tier tier) {
  const unsigned index = static_cast<unsigned>(tier) - 1;
  return index < std::size(kNames) ? kNames[index] : "?";
}

Result<Tier> TierFromName(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<Tier>(i + 1);
  }
  return InvalidArgumentError(
      "tier: unknown name; known are exact, near, coarse, archive, tokens");
}

Result<Tier> TierFromValue(uint8_t value) {
  if (value >= 1 && value <= std::size(kNames)) return static_cast<Tier>(value);
  return DataLossError("tier: value is " + std::to_string(value) +
                       ", 1 to 5 are known");
}

}  // namespace reprise
