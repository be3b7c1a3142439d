// Made-up models of the shapes that real ones have. All pass
// ValidateModelSpec; their weights and tokenizers are digests of their names.
#ifndef REPRISE_TESTS_SUPPORT_MODEL_SPECS_H_
#define REPRISE_TESTS_SUPPORT_MODEL_SPECS_H_

#include <string>
#include <string_view>
#include <vector>

#include "codec/model_spec.h"

namespace reprise {

// A plain transformer: planes "k" and "v" in each of `layers` layers.
ModelSpec PlainModel(std::string_view name, uint32_t layers, uint32_t heads,
                     uint32_t head_dim, DType dtype);

// 30 layers, 3 KV heads of 64, f16, as SmolLM2-135M has: 5 layer groups of 6.
ModelSpec SmolModel();
// 2 layers, 2 heads of 16: the cheapest model with more than one of each.
ModelSpec TinyModel(DType dtype = DType::kF16);
// 4 layers of 8 KV heads of 128, bf16: a layer group is one layer, and heads
// can be split among 2, 4 or 8 ranks.
ModelSpec GqaModel();
// Layers that differ: 8 heads of 64 in even layers, 2 of 80 in odd ones, keys
// bf16 and values f8.
ModelSpec MixedModel();
// MLA: a latent of 512 and a rope key of 64, replicated on all ranks.
ModelSpec LatentModel();
// q8_0 rows as opaque bytes: 34 for each 32 values.
ModelSpec OpaqueModel();
// One head of one f32 channel: as small as a plane can be.
ModelSpec OneChannelModel();

struct NamedModel {
  std::string name;  // of letters and digits only: it ends up in test names
  ModelSpec spec;
};
// All of the above.
std::vector<NamedModel> AllTestModels();

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_MODEL_SPECS_H_
