#include "tools/measured_kl.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "codec/klt_profile.h"

namespace reprise {

std::map<Tier, double> MeasuredKlOf(const CodecProfile& profile) {
  using nlohmann::json;
  std::map<Tier, double> out;
  // The only one with notes.
  if (profile.codec() != CodecId::kKlt) return out;
  const auto& klt = static_cast<const KltProfile&>(profile);
  const json notes = json::parse(klt.notes(), nullptr, false);
  if (!notes.is_object() || !notes.contains("tiers")) return out;
  for (const Tier tier : {Tier::kNear, Tier::kCoarse, Tier::kArchive}) {
    const json::json_pointer place("/tiers/" + std::string(TierName(tier)) +
                                   "/kl");
    const json kl = notes.value(place, json());
    if (kl.is_number()) out[tier] = kl.get<double>();
  }
  return out;
}

std::string KlText(double kl) {
  char number[32];
  std::snprintf(number, sizeof(number), "%.2g", kl);
  return number;
}

}  // namespace reprise
