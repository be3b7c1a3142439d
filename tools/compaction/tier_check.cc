#include "tools/compaction/tier_check.h"

#include <memory>

#include "codec/segment.h"
#include "tools/capacity_plan.h"
#include "tools/compaction/codec_shelf.h"

namespace reprise {

TierCheck MakeTierCheck(Catalogue* catalogue) {
  auto shelf = std::make_shared<CodecShelf>(catalogue);
  return [shelf](const DomainId& domain, const ModelId& id,
                 const Ladder& ladder, Tier tier) -> Result<TierWay> {
    REPRISE_ASSIGN_OR_RETURN(const auto model, shelf->Model(domain, id));
    REPRISE_ASSIGN_OR_RETURN(const TierCodec made,
                             shelf->ForTier(domain, *model, ladder, tier));
    TierWay way;
    way.codec = made.choice.codec->id();
    way.choice = ladder.Find(tier)->codec_choice;
    way.values_a_segment = TokenBytesAt16Bits(model->spec) / 2 * kSegmentTokens;
    return way;
  };
}

}  // namespace reprise
