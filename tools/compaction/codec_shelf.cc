#include "tools/compaction/codec_shelf.h"

#include "codec/klt_fit.h"
#include "codec/klt_profile.h"

namespace reprise {
namespace {

// Whether it was trained on other weights; kFailedPrecondition with what
// differs when it does not fit. Profiles of most codecs don't say.
Result<bool> CheckFits(const ModelSpec& spec, const CodecProfile& profile) {
  if (profile.codec() != CodecId::kKlt) return false;
  const auto& klt = static_cast<const KltProfile&>(profile);
  REPRISE_RETURN_IF_ERROR(CheckKltFits(spec, klt));
  return IsOfOtherWeights(spec, klt);
}

std::string NameOf(Tier tier) { return std::string(TierName(tier)); }

// "ladder default: tier near by klt:tier=near": with it a reason says all.
std::string WayName(const Ladder& ladder, const LadderTier& wanted) {
  return "ladder " + ladder.name + ": tier " + NameOf(wanted.tier) + " by " +
         wanted.codec_choice;
}

// A codec that works in stages makes exactly the tier: its frames lie where
// their stages say.
Result<CodecChoice> ChoiceFor(const Ladder& ladder, const LadderTier& wanted) {
  Result<CodecChoice> choice = ParseCodecChoice(wanted.codec_choice);
  const std::string what = WayName(ladder, wanted);
  if (!choice.ok()) {
    return FailedPreconditionError(what + ": " +
                                   std::string(choice.status().message()));
  }
  const Tier made = choice->tier();
  const bool is_staged = choice->codec->stage_count(choice->options.get()) > 1;
  if (is_staged ? made == wanted.tier : made <= wanted.tier) return choice;
  return FailedPreconditionError(what + ": it makes tier " + NameOf(made));
}

}  // namespace

Result<std::shared_ptr<const SegmentModel>> CodecShelf::Model(
    const DomainId& domain, const ModelId& model) {
  const std::pair key(domain, model);
  {
    std::lock_guard lock(mutex_);
    const auto found = models_.find(key);
    if (found != models_.end()) return found->second;
  }
  REPRISE_ASSIGN_OR_RETURN(const PinnedBytes bytes,
                           catalogue_->GetModel(domain, model));
  auto made = std::make_shared<SegmentModel>();
  REPRISE_ASSIGN_OR_RETURN(made->spec, DecodeModelSpec(bytes.view()));
  made->id = ModelIdOf(made->spec);
  if (made->id != model) {
    return DataLossError("model: stored spec is of " + made->id.ShortHex() +
                         ", its key says " + model.ShortHex());
  }
  for (const LayerGroup& layers : LayerGroupsOf(made->spec)) {
    SegmentModel::Group group;
    group.layers = layers;
    REPRISE_ASSIGN_OR_RETURN(group.slices,
                             SlicePlanes(made->spec, layers, HeadRange::All()));
    made->groups.push_back(std::move(group));
  }
  std::lock_guard lock(mutex_);
  if (models_.size() >= kMaxKept) models_.clear();
  return models_.emplace(key, std::move(made)).first->second;
}

Result<ProfilePtr> CodecShelf::Profile(const DomainId& domain,
                                       const Codec& codec,
                                       const ProfileId& profile) {
  if (profile.IsZero()) return ProfilePtr();
  const std::pair key(domain, profile);
  {
    std::lock_guard lock(mutex_);
    const auto found = profiles_.find(key);
    if (found != profiles_.end() && found->second->codec() == codec.id()) {
      return found->second;
    }
  }
  REPRISE_ASSIGN_OR_RETURN(const PinnedBytes bytes,
                           catalogue_->GetProfile(domain, profile));
  REPRISE_ASSIGN_OR_RETURN(ProfilePtr parsed, codec.ParseProfile(bytes.view()));
  std::lock_guard lock(mutex_);
  if (profiles_.size() >= kMaxKept) profiles_.clear();
  profiles_[key] = parsed;
  return parsed;
}

Result<TierCodec> CodecShelf::ForTier(const DomainId& domain,
                                      const SegmentModel& model,
                                      const Ladder& ladder, Tier tier) {
  const LadderTier* const wanted = ladder.Find(tier);
  if (wanted == nullptr) {
    return FailedPreconditionError("ladder " + ladder.name +
                                   ": no codec makes "
                                   "tier " +
                                   NameOf(tier));
  }
  TierCodec out;
  REPRISE_ASSIGN_OR_RETURN(out.choice, ChoiceFor(ladder, *wanted));
  out.max_relative_error = wanted->max_relative_error;
  const Status taken = TakeProfile(domain, model, &out);
  if (!taken.ok()) return taken.WithContext(WayName(ladder, *wanted));
  return out;
}

Result<TierCodec> CodecShelf::ForTier(const DomainId& domain,
                                      const ModelId& model,
                                      const Ladder& ladder, Tier tier) {
  const auto read = Model(domain, model);
  if (read.ok()) return ForTier(domain, **read, ladder, tier);
  return read.status().WithContext("ladder " + ladder.name + ": tier " +
                                   NameOf(tier));
}

Status CodecShelf::TakeProfile(const DomainId& domain,
                               const SegmentModel& model, TierCodec* out) {
  const Codec& codec = *out->choice.codec;
  const std::string name(codec.name());
  const Result<ProfileRecord> last =
      catalogue_->FindProfile(domain, model.id, codec.id());
  if (last.status().Is(StatusCode::kNotFound)) {
    if (!codec.needs_profile()) return Status();
    return FailedPreconditionError(
        "there is no profile of codec " + name + " for model " +
        model.id.ShortHex() + "; `reprise calibrate " + name + "` makes one");
  }
  if (!last.ok()) return last.status();
  REPRISE_ASSIGN_OR_RETURN(out->profile, Profile(domain, codec, last->profile));
  REPRISE_ASSIGN_OR_RETURN(out->other_weights,
                           CheckFits(model.spec, *out->profile));
  if (!out->other_weights || last->other_weights) return Status();
  return FailedPreconditionError(
      "profile " + last->profile.ShortHex() + " of codec " + name +
      " was trained on other weights than model " + model.id.ShortHex() +
      " has, and nobody accepted it");
}

}  // namespace reprise
