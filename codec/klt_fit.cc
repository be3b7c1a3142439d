#include "codec/klt_fit.h"

#include <algorithm>
#include <string>
#include <vector>

#include "codec/float_element.h"
#include "codec/klt_groups.h"
#include "codec/message.h"
#include "codec/rope_turns.h"

namespace reprise {
namespace {

std::string_view PairingName(RopePairing pairing) {
  switch (pairing) {
    case RopePairing::kNone:
      return "none";
    case RopePairing::kAdjacent:
      return "adjacent";
    case RopePairing::kHalves:
      return "halves";
  }
  return "?";
}

template <typename A, typename B>
Status Differs(const std::string& what, const A& model, const B& profile) {
  return FailedPreconditionError(
      CatMessage("profile: ", what, " is ", model,
                 " in the model, the profile was trained with ", profile));
}

Status CheckPlane(const ModelSpec& spec, const KltPlane& plane) {
  const std::string where =
      CatMessage("layer ", plane.layer, " plane ", plane.plane);
  if (plane.layer >= spec.layers.size()) {
    return Differs("the number of layers", spec.layers.size(),
                   CatMessage("at least ", plane.layer + 1));
  }
  const std::vector<PlaneSpec>& planes = spec.layers[plane.layer].planes;
  if (plane.plane >= planes.size()) {
    return Differs(CatMessage("layer ", plane.layer, ": number of planes"),
                   planes.size(), CatMessage("at least ", plane.plane + 1));
  }
  const PlaneSpec& own = planes[plane.plane];
  if (own.heads != plane.heads) {
    return Differs(where + ": number of heads", own.heads, plane.heads);
  }
  if (own.dim != plane.dim) {
    return Differs(where + ": dim", own.dim, plane.dim);
  }
  if (!IsFloatDType(own.dtype)) {
    return Differs(where + ": the type", DTypeName(own.dtype),
                   "f32, bf16 or f16");
  }
  const bool is_rotated = IsRotatedPlane(own, spec.rope);
  if (is_rotated == plane.is_rotated) return Status();
  return Differs(where + ": rotation", is_rotated ? "on" : "off",
                 plane.is_rotated ? "on" : "off");
}

Status CheckRope(const RopeSpec& rope, const KltProfileParts& parts) {
  if (rope.pairing != parts.pairing) {
    return Differs("rope pairing", PairingName(rope.pairing),
                   PairingName(parts.pairing));
  }
  if (rope.rotary_dims != parts.rotary_dims) {
    return Differs("number of rotary dims", rope.rotary_dims,
                   parts.rotary_dims);
  }
  const std::vector<uint64_t> turns = RopeTurns(rope);
  if (turns.size() != parts.turns.size()) {
    return Differs("number of rotary pairs", turns.size(), parts.turns.size());
  }
  for (size_t j = 0; j < turns.size(); ++j) {
    const uint64_t off = turns[j] - parts.turns[j];
    if (std::min(off, 0 - off) <= kKltTurnTolerance) continue;
    return Differs(CatMessage("rope theta or scaling: the turn of pair ", j),
                   static_cast<double>(turns[j]) * 0x1p-64,
                   static_cast<double>(parts.turns[j]) * 0x1p-64);
  }
  return Status();
}

Status CheckGroups(const ModelSpec& spec, const KltProfile& profile) {
  for (const LayerGroup& layers : LayerGroupsOf(spec)) {
    const uint32_t end = layers.first_layer + layers.layer_count;
    for (const KltGroup& group : profile.groups()) {
      const uint32_t first = group.parts->first_layer;
      const bool crosses = first < end && group.end_layer() > end;
      if (!crosses || first < layers.first_layer) continue;
      return Differs(CatMessage("the layer group of layer ", first),
                     CatMessage("layers ", layers.first_layer, " to ", end - 1),
                     CatMessage("layers ", first, " to ", group.end_layer() - 1,
                                " together"));
    }
  }
  return Status();
}

}  // namespace

Status CheckKltFits(const ModelSpec& spec, const KltProfile& profile) {
  bool any_rotated = false;
  for (const KltPlane& plane : profile.parts().planes) {
    REPRISE_RETURN_IF_ERROR(CheckPlane(spec, plane));
    any_rotated = any_rotated || plane.is_rotated;
  }
  if (any_rotated) {
    REPRISE_RETURN_IF_ERROR(CheckRope(spec.rope, profile.parts()));
  }
  return CheckGroups(spec, profile);
}

bool IsOfOtherWeights(const ModelSpec& spec, const KltProfile& profile) {
  return profile.weights() != spec.weights_hash || profile.weights().IsZero();
}

}  // namespace reprise
