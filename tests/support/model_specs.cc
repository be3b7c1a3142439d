#include "tests/support/model_specs.h"

#include "base/hash.h"

namespace reprise {
namespace {

PlaneSpec Plane(std::string_view name, PlaneRole role, DType dtype,
                uint32_t heads, uint32_t dim) {
  PlaneSpec plane;
  plane.name = name;
  plane.role = role;
  plane.dtype = dtype;
  plane.heads = heads;
  plane.dim = dim;
  return plane;
}

ModelSpec Empty(std::string_view name) {
  ModelSpec spec;
  spec.weights_hash = Sha256(AsBytes("weights of " + std::string(name)));
  spec.tokenizer_hash = Sha256(AsBytes("tokenizer of " + std::string(name)));
  spec.notes = {{"engine", "none"}, {"name", std::string(name)}};
  return spec;
}

void Rotate(uint32_t rotary_dims, ModelSpec* spec) {
  spec->rope.pairing = RopePairing::kHalves;
  spec->rope.rotary_dims = rotary_dims;
  spec->rope.theta = 10000;
  spec->rope.original_context = 2048;
}

}  // namespace

ModelSpec PlainModel(std::string_view name, uint32_t layers, uint32_t heads,
                     uint32_t head_dim, DType dtype) {
  ModelSpec spec = Empty(name);
  LayerSpec layer;
  layer.planes = {Plane("k", PlaneRole::kKey, dtype, heads, head_dim),
                  Plane("v", PlaneRole::kValue, dtype, heads, head_dim)};
  spec.layers.assign(layers, layer);
  if (head_dim % 2 == 0) Rotate(head_dim, &spec);
  return spec;
}

ModelSpec SmolModel() { return PlainModel("smol", 30, 3, 64, DType::kF16); }

ModelSpec TinyModel(DType dtype) {
  return PlainModel("tiny " + std::string(DTypeName(dtype)), 2, 2, 16, dtype);
}

ModelSpec GqaModel() { return PlainModel("gqa", 4, 8, 128, DType::kBf16); }

ModelSpec MixedModel() {
  ModelSpec spec = Empty("mixed");
  for (uint32_t l = 0; l < 5; ++l) {
    const uint32_t heads = l % 2 == 0 ? 8 : 2;
    const uint32_t dim = l % 2 == 0 ? 64 : 80;
    LayerSpec& layer = spec.layers.emplace_back();
    layer.planes = {Plane("k", PlaneRole::kKey, DType::kBf16, heads, dim),
                    Plane("v", PlaneRole::kValue, DType::kF8E4M3, heads, dim)};
  }
  Rotate(64, &spec);
  return spec;
}

ModelSpec LatentModel() {
  ModelSpec spec = Empty("latent");
  LayerSpec layer;
  layer.planes = {Plane("latent", PlaneRole::kLatent, DType::kBf16, 1, 512),
                  Plane("rope_key", PlaneRole::kRopeKey, DType::kBf16, 1, 64)};
  for (PlaneSpec& plane : layer.planes) plane.split = HeadSplit::kReplicated;
  spec.layers.assign(3, layer);
  Rotate(64, &spec);
  return spec;
}

ModelSpec OpaqueModel() {
  ModelSpec spec = Empty("opaque");
  LayerSpec layer;
  layer.planes = {Plane("k", PlaneRole::kKey, DType::kOpaque, 3, 2 * 34),
                  Plane("v", PlaneRole::kValue, DType::kOpaque, 3, 2 * 34)};
  spec.layers.assign(4, layer);
  spec.value_encoding = "ggml:q8_0";
  Rotate(64, &spec);
  return spec;
}

ModelSpec OneChannelModel() {
  ModelSpec spec = Empty("one channel");
  spec.layers.resize(1);
  spec.layers[0].planes = {
      Plane("only", PlaneRole::kOpaque, DType::kF32, 1, 1)};
  return spec;
}

std::vector<NamedModel> AllTestModels() {
  return {{"Smol", SmolModel()},
          {"Tiny", TinyModel()},
          {"Gqa", GqaModel()},
          {"Mixed", MixedModel()},
          {"Latent", LatentModel()},
          {"Opaque", OpaqueModel()},
          {"OneChannel", OneChannelModel()}};
}

}  // namespace reprise
