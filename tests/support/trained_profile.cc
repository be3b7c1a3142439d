#include "tests/support/trained_profile.h"

#include <vector>

#include "base/limits.h"
#include "codec/profile_trainer.h"
#include "tests/support/kv_values.h"

namespace reprise {

Result<Bytes> TrainProfile(CodecId codec, const ModelSpec& spec) {
  REPRISE_ASSIGN_OR_RETURN(const auto trainer,
                           MakeProfileTrainer(codec, spec, {}));
  const LayerGroup group = LayerGroupsOf(spec)[0];
  REPRISE_ASSIGN_OR_RETURN(const std::vector<PlaneSlice> slices,
                           SlicePlanes(spec, group, HeadRange::All()));
  // One segment more: the first tokens of a session do not count.
  const uint64_t end = trainer->min_tokens() + kSegmentTokens;
  for (uint64_t t = 0; t < end; t += kSegmentTokens) {
    KvRows rows(slices, kSegmentTokens);
    rows.Fill(KvKind::kTypical, t, static_cast<uint32_t>(t));
    REPRISE_RETURN_IF_ERROR(trainer->Add(static_cast<uint32_t>(t),
                                         kSegmentTokens, slices, rows.Const()));
  }
  return trainer->Fit(nullptr);
}

}  // namespace reprise
