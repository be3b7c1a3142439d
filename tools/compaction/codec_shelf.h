// What a job needs to decode and encode: models, profiles and a ladder's
// codecs, parsed once and shared by its threads.
#ifndef REPRISE_TOOLS_COMPACTION_CODEC_SHELF_H_
#define REPRISE_TOOLS_COMPACTION_CODEC_SHELF_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "codec/codec.h"
#include "codec/model_spec.h"
#include "store/catalogue.h"
#include "store/ladder.h"

namespace reprise {

// A model and how its planes lie in frames of all heads. Immutable.
struct SegmentModel {
  ModelId id;
  ModelSpec spec;
  struct Group {
    LayerGroup layers;
    std::vector<PlaneSlice> slices;  // point into `spec`
  };
  std::vector<Group> groups;
};

using ProfilePtr = std::shared_ptr<const CodecProfile>;

// How a tier of a ladder is made of a model's state.
struct TierCodec {
  CodecChoice choice;
  ProfilePtr profile;          // null: without
  bool other_weights = false;  // the profile's, accepted
  double max_relative_error = 0;
};

// Thread-safe. Keeps what it parsed until it has kMaxKept of a kind.
class CodecShelf {
 public:
  static constexpr size_t kMaxKept = 64;

  // Not owned; outlives this.
  explicit CodecShelf(Catalogue* catalogue) : catalogue_(catalogue) {}

  Result<std::shared_ptr<const SegmentModel>> Model(const DomainId& domain,
                                                    const ModelId& model);
  // Null for a profile id of zero.
  Result<ProfilePtr> Profile(const DomainId& domain, const Codec& codec,
                             const ProfileId& profile);
  // kFailedPrecondition, with the reason, where the ladder does not make this
  // tier, or its codec can't make it of this model: it is not built, makes
  // another tier, or has no profile that fits the model. Never another codec.
  Result<TierCodec> ForTier(const DomainId& domain, const SegmentModel& model,
                            const Ladder& ladder, Tier tier);
  // The same, and the errors of Model, which say for which tier it is.
  Result<TierCodec> ForTier(const DomainId& domain, const ModelId& model,
                            const Ladder& ladder, Tier tier);

 private:
  Status TakeProfile(const DomainId& domain, const SegmentModel& model,
                     TierCodec* out);

  Catalogue* const catalogue_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::pair<DomainId, ModelId>, std::shared_ptr<const SegmentModel>>
      models_;
  std::map<std::pair<DomainId, ProfileId>, ProfilePtr> profiles_;
};

}  // namespace reprise

#endif  // REPRISE_TOOLS_COMPACTION_CODEC_SHELF_H_
