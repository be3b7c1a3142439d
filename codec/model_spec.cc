#include "codec/model_spec.h"

#include <algorithm>
#include <cmath>

#include "base/limits.h"
#include "codec/message.h"

namespace reprise {
namespace {

constexpr size_t kMaxPlaneNameBytes = 31;
constexpr size_t kMaxValueEncodingBytes = 255;
constexpr size_t kMaxNotes = 64;
constexpr size_t kMaxNoteKeyBytes = 63;
constexpr size_t kMaxNoteValueBytes = 1024;

constexpr size_t kYarnFactors = 4;

// Printable ASCII with or without the space; notes may also hold UTF-8.
bool IsWord(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c <= '~'; });
}
bool IsLine(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~'; });
}
bool HasNoControl(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

Status Refuse(std::string message) {
  return InvalidArgumentError("model spec: " + std::move(message));
}

Status ValidateRopeFactors(const RopeSpec& rope) {
  size_t wanted = 0;
  if (rope.scaling == RopeScaling::kYarn) wanted = kYarnFactors;
  if (rope.scaling == RopeScaling::kFactors) wanted = rope.rotary_dims / 2;
  if (rope.factors.size() != wanted) {
    return Refuse(CatMessage("rope: ", rope.factors.size(), " factors, ",
                             wanted, " are wanted"));
  }
  for (size_t i = 0; i < rope.factors.size(); ++i) {
    if (!std::isfinite(rope.factors[i])) {
      return Refuse(CatMessage("rope: factor ", i, " is not finite"));
    }
  }
  return Status();
}

Status ValidateRope(const RopeSpec& rope) {
  if (rope.pairing > RopePairing::kHalves) {
    return Refuse(CatMessage("rope: pairing is ",
                             static_cast<int>(rope.pairing),
                             ", the largest known is 2"));
  }
  if (rope.scaling > RopeScaling::kFactors) {
    return Refuse(CatMessage("rope: scaling is ",
                             static_cast<int>(rope.scaling),
                             ", the largest known is 3"));
  }
  if (rope.pairing == RopePairing::kNone) {
    if (rope == RopeSpec()) return Status();
    return Refuse("rope: keys are not rotated, but its fields are set");
  }
  if (rope.rotary_dims == 0 || rope.rotary_dims % 2 != 0 ||
      rope.rotary_dims > kMaxHeadDim) {
    return Refuse(CatMessage("rope: rotary_dims is ", rope.rotary_dims,
                             ", an even number from 2 to ", kMaxHeadDim,
                             " is wanted"));
  }
  if (!std::isfinite(rope.theta) || rope.theta <= 0) {
    return Refuse(CatMessage("rope: theta is ", rope.theta,
                             ", a number above 0 is wanted"));
  }
  if (!std::isfinite(rope.scale) || rope.scale <= 0) {
    return Refuse(CatMessage("rope: scale is ", rope.scale,
                             ", a number above 0 is wanted"));
  }
  if (rope.scaling == RopeScaling::kNone && rope.scale != 1) {
    return Refuse(CatMessage("rope: scale is ", rope.scale,
                             ", 1 is wanted without scaling"));
  }
  return ValidateRopeFactors(rope);
}

Status ValidatePlane(const PlaneSpec& plane) {
  if (plane.name.empty() || plane.name.size() > kMaxPlaneNameBytes ||
      !IsWord(plane.name)) {
    return InvalidArgumentError(CatMessage("its name has ", plane.name.size(),
                                           " bytes, 1 to ", kMaxPlaneNameBytes,
                                           " printable ones are wanted"));
  }
  if (PlaneRoleName(plane.role) == "?") {
    return InvalidArgumentError(
        CatMessage("role is ", static_cast<int>(plane.role), ", unknown"));
  }
  if (plane.granularity != Granularity::kToken &&
      plane.granularity != Granularity::kState) {
    return InvalidArgumentError(CatMessage(
        "granularity is ", static_cast<int>(plane.granularity), ", unknown"));
  }
  if (plane.split != HeadSplit::kByHead &&
      plane.split != HeadSplit::kReplicated) {
    return InvalidArgumentError(
        CatMessage("split is ", static_cast<int>(plane.split), ", unknown"));
  }
  if (DTypeBytes(plane.dtype) == 0) {
    return InvalidArgumentError(
        CatMessage("dtype is ", static_cast<int>(plane.dtype), ", unknown"));
  }
  if (plane.heads == 0 || plane.heads > kMaxHeads) {
    return InvalidArgumentError(CatMessage("heads is ", plane.heads, ", 1 to ",
                                           kMaxHeads, " are wanted"));
  }
  const uint64_t max_dim = plane.dtype == DType::kOpaque
                               ? kMaxPlaneTokenBytes / plane.heads
                               : kMaxHeadDim;
  if (plane.dim == 0 || plane.dim > max_dim) {
    return InvalidArgumentError(
        CatMessage("dim is ", plane.dim, ", 1 to ", max_dim, " are wanted"));
  }
  return Status();
}

Status ValidateLayer(const LayerSpec& layer) {
  if (layer.kind < LayerKind::kFull || layer.kind > LayerKind::kState) {
    return InvalidArgumentError(
        CatMessage("kind is ", static_cast<int>(layer.kind), ", unknown"));
  }
  if ((layer.kind == LayerKind::kWindow) != (layer.window != 0)) {
    return InvalidArgumentError(
        CatMessage("window is ", layer.window,
                   " tokens, only window layers have one and all of them do"));
  }
  if (layer.planes.empty() || layer.planes.size() > kMaxPlanesPerLayer) {
    return InvalidArgumentError(CatMessage(layer.planes.size(),
                                           " planes, 1 to ", kMaxPlanesPerLayer,
                                           " are wanted"));
  }
  uint64_t segment_bytes = 0;
  for (size_t p = 0; p < layer.planes.size(); ++p) {
    const PlaneSpec& plane = layer.planes[p];
    REPRISE_RETURN_IF_ERROR(
        ValidatePlane(plane).WithContext(CatMessage("plane ", p)));
    const auto same_name = [&](const PlaneSpec& q) {
      return q.name == plane.name;
    };
    const auto earlier_end = layer.planes.begin() + static_cast<ptrdiff_t>(p);
    if (std::any_of(layer.planes.begin(), earlier_end, same_name)) {
      return InvalidArgumentError(
          CatMessage("plane ", p, ": its name is taken by an earlier plane"));
    }
    segment_bytes += plane.token_bytes() * kSegmentTokens;
  }
  if (segment_bytes > kMaxLayerSegmentBytes) {
    return InvalidArgumentError(
        CatMessage("a segment has ", segment_bytes, " bytes, at most ",
                   kMaxLayerSegmentBytes, " fit a frame"));
  }
  return Status();
}

Status ValidateNotes(const ModelSpec& spec) {
  if (spec.notes.size() > kMaxNotes) {
    return Refuse(CatMessage(spec.notes.size(), " notes, at most ", kMaxNotes,
                             " are allowed"));
  }
  for (size_t i = 0; i < spec.notes.size(); ++i) {
    const auto& [key, value] = spec.notes[i];
    if (key.empty() || key.size() > kMaxNoteKeyBytes || !IsWord(key)) {
      return Refuse(CatMessage("note ", i, ": its key has ", key.size(),
                               " bytes, 1 to ", kMaxNoteKeyBytes,
                               " printable ones are wanted"));
    }
    if (value.size() > kMaxNoteValueBytes || !HasNoControl(value)) {
      return Refuse(CatMessage("note ", i, ": its value has ", value.size(),
                               " bytes, at most ", kMaxNoteValueBytes,
                               " without control characters are allowed"));
    }
    if (i > 0 && spec.notes[i - 1].first >= key) {
      return Refuse(CatMessage(
          "note ", i, ": its key does not come after that of note ", i - 1));
    }
  }
  return Status();
}

// What the format can say and this build can't do, once all else is right.
Status CheckBuilt(const ModelSpec& spec) {
  for (size_t l = 0; l < spec.layers.size(); ++l) {
    const LayerSpec& layer = spec.layers[l];
    if (layer.kind == LayerKind::kWindow) {
      return UnimplementedError(CatMessage("model spec: layer ", l,
                                           ": kind is window (", layer.window,
                                           " tokens), only full is built"));
    }
    if (layer.kind == LayerKind::kState) {
      return UnimplementedError(CatMessage(
          "model spec: layer ", l, ": kind is state, only full is built"));
    }
    for (const PlaneSpec& plane : layer.planes) {
      if (plane.granularity == Granularity::kToken) continue;
      return UnimplementedError(
          CatMessage("model spec: layer ", l, " plane ", plane.name,
                     ": granularity is state, only token is built"));
    }
  }
  return Status();
}

uint64_t LayerSegmentBytes(const LayerSpec& layer) {
  uint64_t bytes = 0;
  for (const PlaneSpec& plane : layer.planes) {
    bytes += plane.token_bytes() * kSegmentTokens;
  }
  return bytes;
}

}  // namespace

uint32_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kBf16:
    case DType::kF16:
      return 2;
    case DType::kF8E4M3:
    case DType::kF8E5M2:
    case DType::kOpaque:
      return 1;
  }
  return 0;
}

std::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kBf16:
      return "bf16";
    case DType::kF16:
      return "f16";
    case DType::kF8E4M3:
      return "f8e4m3";
    case DType::kF8E5M2:
      return "f8e5m2";
    case DType::kOpaque:
      return "opaque";
  }
  return "?";
}

std::string_view PlaneRoleName(PlaneRole role) {
  switch (role) {
    case PlaneRole::kKey:
      return "key";
    case PlaneRole::kValue:
      return "value";
    case PlaneRole::kLatent:
      return "latent";
    case PlaneRole::kRopeKey:
      return "rope_key";
    case PlaneRole::kScale:
      return "scale";
    case PlaneRole::kIndexer:
      return "indexer";
    case PlaneRole::kState:
      return "state";
    case PlaneRole::kOpaque:
      return "opaque";
  }
  return "?";
}

uint64_t ModelSpec::token_bytes() const {
  uint64_t bytes = 0;
  for (const LayerSpec& layer : layers) {
    for (const PlaneSpec& plane : layer.planes) bytes += plane.token_bytes();
  }
  return bytes;
}

Status ValidateModelSpec(const ModelSpec& spec) {
  if (spec.weights_hash.IsZero()) return Refuse("weights_hash is zero");
  if (spec.tokenizer_hash.IsZero()) return Refuse("tokenizer_hash is zero");
  REPRISE_RETURN_IF_ERROR(ValidateRope(spec.rope));
  if (spec.value_encoding.size() > kMaxValueEncodingBytes ||
      !IsLine(spec.value_encoding)) {
    return Refuse(CatMessage("value_encoding has ", spec.value_encoding.size(),
                             " bytes, at most ", kMaxValueEncodingBytes,
                             " printable ones are allowed"));
  }
  if (spec.layers.empty() || spec.layers.size() > kMaxLayers) {
    return Refuse(CatMessage(spec.layers.size(), " layers, 1 to ", kMaxLayers,
                             " are wanted"));
  }
  for (size_t l = 0; l < spec.layers.size(); ++l) {
    REPRISE_RETURN_IF_ERROR(
        ValidateLayer(spec.layers[l])
            .WithContext(CatMessage("model spec: layer ", l)));
  }
  REPRISE_RETURN_IF_ERROR(ValidateNotes(spec));
  return CheckBuilt(spec);
}

LayerGroup NextLayerGroup(const ModelSpec& spec, uint32_t first_layer) {
  LayerGroup group{.first_layer = first_layer, .layer_count = 0};
  uint64_t bytes = 0;
  while (bytes < kLayerGroupBytes &&
         first_layer + group.layer_count < spec.layers.size()) {
    bytes += LayerSegmentBytes(spec.layers[first_layer + group.layer_count]);
    ++group.layer_count;
  }
  return group;
}

std::vector<LayerGroup> LayerGroupsOf(const ModelSpec& spec) {
  std::vector<LayerGroup> groups;
  uint32_t layer = 0;
  while (layer < spec.layers.size()) {
    groups.push_back(NextLayerGroup(spec, layer));
    layer += groups.back().layer_count;
  }
  return groups;
}

}  // namespace reprise
