#include "api/model_shapes.h"

#include <utility>

namespace reprise {

Result<ModelShapes::Groups> ModelShapes::Find(Catalogue* catalogue,
                                              const DomainId& domain,
                                              const ModelId& model) {
  auto key = std::make_pair(domain, model);
  {
    std::lock_guard lock(mutex_);
    if (auto it = groups_.find(key); it != groups_.end()) return it->second;
  }
  REPRISE_ASSIGN_OR_RETURN(PinnedBytes bytes,
                           catalogue->GetModel(domain, model));
  REPRISE_ASSIGN_OR_RETURN(ModelSpec spec, DecodeModelSpec(bytes.view()));
  auto groups =
      std::make_shared<const std::vector<LayerGroup>>(LayerGroupsOf(spec));
  std::lock_guard lock(mutex_);
  // Which one goes hardly matters: a daemon serves a handful of models.
  if (groups_.size() >= kMaxModels) groups_.erase(groups_.begin());
  groups_[key] = groups;
  return groups;
}

}  // namespace reprise
