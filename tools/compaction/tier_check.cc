#include "tools/compaction/tier_check.h"

#include <map>
#include <memory>

#include "codec/segment.h"
#include "tools/capacity_plan.h"
#include "tools/compaction/codec_shelf.h"
#include "tools/measured_kl.h"

namespace reprise {

TierCheck MakeTierCheck(Catalogue* catalogue) {
  auto shelf = std::make_shared<CodecShelf>(catalogue);
  return [shelf](const DomainId& domain, const ModelId& id,
                 const Ladder& ladder, Tier tier) -> Result<TierWay> {
    REPRISE_ASSIGN_OR_RETURN(const TierCodec made,
                             shelf->ForTier(domain, id, ladder, tier));
    REPRISE_ASSIGN_OR_RETURN(const auto model, shelf->Model(domain, id));
    TierWay way;
    way.codec = made.choice.codec->id();
    way.choice = ladder.Find(tier)->codec_choice;
    way.values_a_segment = TokenBytesAt16Bits(model->spec) / 2 * kSegmentTokens;
    if (made.profile != nullptr) {
      const std::map<Tier, double> measured = MeasuredKlOf(*made.profile);
      const auto kl = measured.find(made.choice.tier());
      if (kl != measured.end()) way.measured_kl = kl->second;
    }
    return way;
  };
}

}  // namespace reprise
