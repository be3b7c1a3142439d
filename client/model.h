// A model that the daemon knows, with what follows from its spec, and the
// profiles of its codecs.
#ifndef REPRISE_CLIENT_MODEL_H_
#define REPRISE_CLIENT_MODEL_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "codec/frame.h"
#include "codec/model_spec.h"

namespace reprise {

// Immutable but for the profiles that are in use. Thread-safe.
class RegisteredModel {
 public:
  // REQUIRES: ValidateModelSpec(spec).ok().
  explicit RegisteredModel(ModelSpec spec)
      : spec_(std::move(spec)),
        id_(ModelIdOf(spec_)),
        groups_(LayerGroupsOf(spec_)) {}
  RegisteredModel(const RegisteredModel&) = delete;
  RegisteredModel& operator=(const RegisteredModel&) = delete;

  const ModelSpec& spec() const { return spec_; }
  const ModelId& id() const { return id_; }
  const std::vector<LayerGroup>& groups() const { return groups_; }

  struct InUse {
    ProfileId id;
    bool other_weights = false;
  };

  // The profile that saves with `codec` use; zero: none yet.
  ProfileId ProfileOf(CodecId codec) const {
    std::lock_guard lock(mutex_);
    const auto found = profiles_.find(codec);
    return found == profiles_.end() ? ProfileId() : found->second.id;
  }
  std::map<CodecId, InUse> Profiles() const {
    std::lock_guard lock(mutex_);
    return profiles_;
  }
  void SetProfile(CodecId codec, const ProfileId& profile,
                  bool other_weights) const {
    std::lock_guard lock(mutex_);
    profiles_[codec] = {profile, other_weights};
  }
  // Whoever put that profile accepted that it was trained on other weights.
  bool AcceptsOtherWeights(CodecId codec) const {
    std::lock_guard lock(mutex_);
    const auto found = profiles_.find(codec);
    return found != profiles_.end() && found->second.other_weights;
  }

 private:
  const ModelSpec spec_;
  const ModelId id_;
  const std::vector<LayerGroup> groups_;
  mutable std::mutex mutex_;
  mutable std::map<CodecId, InUse> profiles_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_MODEL_H_
