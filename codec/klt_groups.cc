#include "codec/klt_groups.h"

#include <algorithm>
#include <set>
#include <vector>

#include "codec/float_element.h"
#include "codec/message.h"
#include "codec/rope_turns.h"

namespace reprise {
namespace {

constexpr uint32_t kDefaultLayers = 4;
constexpr uint32_t kDefaultChannels = 2048;

// The planes that are coded; [layer] channels of them.
std::vector<uint64_t> AddPlanes(const ModelSpec& spec, KltProfileParts* parts) {
  std::vector<uint64_t> channels(spec.layers.size());
  for (size_t l = 0; l < spec.layers.size(); ++l) {
    const std::vector<PlaneSpec>& planes = spec.layers[l].planes;
    for (size_t p = 0; p < planes.size(); ++p) {
      const PlaneSpec& plane = planes[p];
      const uint64_t n = uint64_t{plane.heads} * plane.dim;
      if (!IsFloatDType(plane.dtype) ||
          plane.granularity != Granularity::kToken ||
          channels[l] + n > kKltMaxChannels) {
        continue;
      }
      channels[l] += n;
      parts->planes.push_back({.layer = static_cast<uint16_t>(l),
                               .plane = static_cast<uint8_t>(p),
                               .is_rotated = IsRotatedPlane(plane, spec.rope),
                               .heads = plane.heads,
                               .dim = plane.dim});
    }
  }
  return channels;
}

// Layers at which a layer group begins, whatever float type the values have.
std::set<uint32_t> Borders(const ModelSpec& spec) {
  std::set<uint32_t> borders;
  for (const DType dtype : {DType::kOpaque, DType::kF16, DType::kF32}) {
    ModelSpec other = spec;
    for (LayerSpec& layer : other.layers) {
      for (PlaneSpec& plane : layer.planes) {
        if (dtype != DType::kOpaque && IsFloatDType(plane.dtype)) {
          plane.dtype = dtype;
        }
      }
    }
    for (const LayerGroup& group : LayerGroupsOf(other)) {
      borders.insert(group.first_layer);
    }
  }
  borders.insert(static_cast<uint32_t>(spec.layers.size()));
  return borders;
}

uint64_t Widest(const std::vector<uint64_t>& channels, uint32_t layers) {
  uint64_t widest = 0;
  for (size_t first = 0; first < channels.size(); ++first) {
    uint64_t width = 0;
    for (size_t l = first; l < std::min(first + layers, channels.size()); ++l) {
      width += channels[l];
    }
    widest = std::max(widest, width);
  }
  return widest;
}

void AddGroups(const std::vector<uint64_t>& channels, uint32_t first,
               uint32_t end, uint32_t layers, KltProfileParts* parts) {
  const uint32_t pieces = (end - first + layers - 1) / layers;
  for (uint32_t piece = 0; piece < pieces; ++piece) {
    const uint32_t from = first + (end - first) * piece / pieces;
    const uint32_t to = first + (end - first) * (piece + 1) / pieces;
    KltGroupParts group;
    group.first_layer = static_cast<uint16_t>(from);
    group.layer_count = static_cast<uint16_t>(to - from);
    for (uint32_t l = from; l < to; ++l) {
      group.n += static_cast<uint32_t>(channels[l]);
    }
    if (group.n > 0) parts->groups.push_back(std::move(group));
  }
}

}  // namespace

bool IsRotatedPlane(const PlaneSpec& plane, const RopeSpec& rope) {
  return (plane.role == PlaneRole::kKey || plane.role == PlaneRole::kRopeKey) &&
         plane.dim >= rope.rotary_dims && !RopeFrequencies(rope).empty();
}

Status PlanKltGroups(const ModelSpec& spec, uint32_t layers,
                     KltProfileParts* parts) {
  parts->turns = RopeTurns(spec.rope);
  if (!parts->turns.empty()) {
    parts->pairing = spec.rope.pairing;
    parts->rotary_dims = spec.rope.rotary_dims;
  }
  parts->weights = spec.weights_hash;
  const std::vector<uint64_t> channels = AddPlanes(spec, parts);
  if (parts->planes.empty()) {
    return FailedPreconditionError(
        CatMessage("klt trainer: of ", spec.layers.size(),
                   " layers, 0 have planes of f32, bf16 or f16"));
  }
  if (layers == 0) {
    layers = kDefaultLayers;
    while (layers > 1 && Widest(channels, layers) > kDefaultChannels) --layers;
  }
  const std::set<uint32_t> borders = Borders(spec);
  for (auto next = std::next(borders.begin()); next != borders.end(); ++next) {
    AddGroups(channels, *std::prev(next), *next, layers, parts);
  }
  for (const KltGroupParts& group : parts->groups) {
    if (group.n <= kKltMaxChannels) continue;
    return InvalidArgumentError(
        CatMessage("klt: layers=", layers, " gives a group of ", group.n,
                   " channels, at most ", kKltMaxChannels, " are possible"));
  }
  return Status();
}

}  // namespace reprise
