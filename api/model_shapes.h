// The layer groups of the models seen last, so that a publish need not read
// and parse its model's spec each time.
#ifndef REPRISE_API_MODEL_SHAPES_H_
#define REPRISE_API_MODEL_SHAPES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "codec/model_spec.h"
#include "store/catalogue.h"

namespace reprise {

// Thread-safe.
class ModelShapes {
 public:
  using Groups = std::shared_ptr<const std::vector<LayerGroup>>;

  // LayerGroupsOf the stored spec. kNotFound, kDataLoss as of GetModel.
  Result<Groups> Find(Catalogue* catalogue, const DomainId& domain,
                      const ModelId& model);

 private:
  static constexpr size_t kMaxModels = 64;

  std::mutex mutex_;
  std::map<std::pair<DomainId, ModelId>, Groups> groups_;
};

}  // namespace reprise

#endif  // REPRISE_API_MODEL_SHAPES_H_
