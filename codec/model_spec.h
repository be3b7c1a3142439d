// ModelSpec: what a KV cache was computed by, down to the bit, and the shape
// of its planes. The ModelId, a digest of the identity part, is the root of
// every segment's name, so state of one model can never be taken for that of
// another. Format: docs/format/model.md.
#ifndef REPRISE_CODEC_MODEL_SPEC_H_
#define REPRISE_CODEC_MODEL_SPEC_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

namespace reprise {

// The element of a plane. Values are stored in formats and never reused.
enum class DType : uint8_t {
  kF32 = 1,
  kBf16 = 2,
  kF16 = 3,
  kF8E4M3 = 4,
  kF8E5M2 = 5,
  kOpaque = 6,  // bytes that only the engine understands: one byte an element
};

// Bytes of one element: 4, 2, 2, 1, 1, 1; 0 for a value outside the enum.
uint32_t DTypeBytes(DType dtype);
// "f32", "bf16", ...; "?" for a value outside the enum.
std::string_view DTypeName(DType dtype);

enum class PlaneRole : uint8_t {
  kKey = 1,
  kValue = 2,
  kLatent = 3,
  kRopeKey = 4,
  kScale = 5,
  kIndexer = 6,
  kState = 7,
  kOpaque = 8,
};
std::string_view PlaneRoleName(PlaneRole role);

enum class Granularity : uint8_t { kToken = 1, kState = 2 };

// How tensor-parallel ranks hold a plane.
enum class HeadSplit : uint8_t {
  kByHead = 1,      // each rank has its share of the heads
  kReplicated = 2,  // each rank has all of it; the first one saves it
};

// One tensor of one layer. For one token it is [heads, dim] elements; a
// token's row of heads * dim elements is what codecs call its channels.
struct PlaneSpec {
  std::string name;  // "k", "v": at most 31 bytes, unique in its layer
  PlaneRole role = PlaneRole::kKey;
  Granularity granularity = Granularity::kToken;
  HeadSplit split = HeadSplit::kByHead;
  DType dtype = DType::kF16;
  uint32_t heads = 0;
  uint32_t dim = 0;

  bool operator==(const PlaneSpec&) const = default;

  uint32_t channels() const { return heads * dim; }
  // Bytes of one token. Cannot overflow in a spec that Validate() accepted.
  uint64_t token_bytes() const {
    return uint64_t{channels()} * DTypeBytes(dtype);
  }
};

enum class LayerKind : uint8_t {
  kFull = 1,
  kWindow = 2,  // only the last `window` tokens exist; not built yet
  kState = 3,   // recurrent: state at checkpoints; not built yet
};

struct LayerSpec {
  LayerKind kind = LayerKind::kFull;
  uint32_t window = 0;  // tokens; zero unless kWindow
  std::vector<PlaneSpec> planes;

  bool operator==(const LayerSpec&) const = default;
};

enum class RopePairing : uint8_t {
  kNone = 0,      // keys are not rotated
  kAdjacent = 1,  // channels 2j and 2j + 1 turn together (GPT-J, "norm")
  kHalves = 2,    // channels j and j + dim / 2 (GPT-NeoX)
};

enum class RopeScaling : uint8_t {
  kNone = 0,
  kLinear = 1,
  kYarn = 2,
  kFactors = 3,  // one factor for each pair of channels (Llama 3.1, Phi-3)
};

// Rotary position embedding as effective: the context's overrides applied.
struct RopeSpec {
  RopePairing pairing = RopePairing::kNone;
  RopeScaling scaling = RopeScaling::kNone;
  uint32_t rotary_dims = 0;
  double theta = 0;
  double scale = 1;  // what positions are multiplied by
  uint32_t original_context = 0;
  // Of kYarn: ext_factor, attn_factor, beta_fast, beta_slow. Of kFactors: one
  // a pair. Else empty.
  std::vector<float> factors;

  bool operator==(const RopeSpec&) const = default;
};

struct ModelSpec {
  // --- Identity: hashed into the ModelId. ---
  Sha256Digest weights_hash;
  Sha256Digest tokenizer_hash;
  Sha256Digest adapter_hash;  // zero: no adapter
  std::vector<LayerSpec> layers;
  RopeSpec rope;
  // How values are encoded where the dtype does not say: "" (plainly), or
  // text the engine's adapter defines, such as "ggml:q8_0 hadamard:64,64".
  std::string value_encoding;

  // --- Notes: stored, shown, not hashed. Keys are unique and sorted. ---
  // "name", "engine", "engine_version", "kernels", "parallelism", "layout".
  std::vector<std::pair<std::string, std::string>> notes;

  // All planes of all layers, for one token.
  uint64_t token_bytes() const;
};

// kInvalidArgument with the limit and the number, for a spec that no store
// takes; kUnimplemented for layer kinds, granularities and numbers of layers
// that are not built yet (window, state).
Status ValidateModelSpec(const ModelSpec& spec);

// Serialised spec: identity, then notes, with a checksum. The identity part
// is canonical: equal identities give equal bytes.
Bytes EncodeModelSpec(const ModelSpec& spec);
// kDataLoss for bytes that are no spec; also all errors of ValidateModelSpec.
Result<ModelSpec> DecodeModelSpec(ByteView bytes);

// SHA-256 of the canonical identity part.
ModelId ModelIdOf(const ModelSpec& spec);

// The first identity field that differs, with both values:
// "layer 3 plane k: dtype is f16, stored is bf16". Empty when the identities
// are equal.
std::string DescribeDifference(const ModelSpec& given, const ModelSpec& stored);

// A run of consecutive layers whose planes share frames.
struct LayerGroup {
  uint32_t first_layer = 0;
  uint32_t layer_count = 0;
  bool operator==(const LayerGroup&) const = default;
};

// The layer groups of a model: from layer 0 on, the fewest consecutive layers
// whose raw planes reach kLayerGroupBytes (256 KiB) a full segment; what
// remains at the end is a group of its own. A pure function of the spec.
// REQUIRES: ValidateModelSpec(spec).ok().
std::vector<LayerGroup> LayerGroupsOf(const ModelSpec& spec);

// The group that begins at `first_layer`, for walks that allocate nothing;
// its layer_count is 0 past the last layer. REQUIRES: first_layer is 0 or
// where another group ends; ValidateModelSpec(spec).ok().
LayerGroup NextLayerGroup(const ModelSpec& spec, uint32_t first_layer);

}  // namespace reprise

#endif  // REPRISE_CODEC_MODEL_SPEC_H_
