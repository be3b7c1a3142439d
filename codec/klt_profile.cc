#include "codec/klt_profile.h"

#include <algorithm>
#include <utility>

#include "codec/float_element.h"
#include "codec/message.h"

namespace reprise {
namespace {

Status Differs(const PlaneSlice& slice, std::string_view what, uint64_t model,
               uint64_t profile) {
  return FailedPreconditionError(
      CatMessage("klt: layer ", slice.layer, " plane ", slice.plane, ": ", what,
                 " is ", model, ", the profile says ", profile));
}

Status CheckFits(const PlaneSlice& slice, const KltPlane& plane) {
  if (slice.spec->heads != plane.heads) {
    return Differs(slice, "number of heads", slice.spec->heads, plane.heads);
  }
  if (slice.head_count != plane.heads) {
    return Differs(slice, "number of heads in the frame", slice.head_count,
                   plane.heads);
  }
  if (slice.spec->dim != plane.dim) {
    return Differs(slice, "dim", slice.spec->dim, plane.dim);
  }
  if (IsFloatDType(slice.spec->dtype)) return Status();
  return FailedPreconditionError(CatMessage(
      "klt: layer ", slice.layer, " plane ", slice.plane, ": its type is ",
      DTypeName(slice.spec->dtype), ", f32, bf16 or f16 is wanted"));
}

}  // namespace

Result<std::shared_ptr<const KltProfile>> KltProfile::Parse(ByteView bytes) {
  auto profile = std::make_shared<KltProfile>();
  REPRISE_ASSIGN_OR_RETURN(profile->parts_, DecodeKltProfile(bytes));
  profile->id_.bytes = Sha256(bytes).bytes;
  profile->tables_ = MakeKltTables(profile->parts_);
  profile->groups_.reserve(profile->parts_.groups.size());
  for (KltGroupParts& group : profile->parts_.groups) {
    const KltGroupData data{.n = group.n,
                            .lead = group.lead,
                            .mu = group.mu.data(),
                            .dec = group.dec.data(),
                            .enc = group.enc.data(),
                            .hi = group.hi.data(),
                            .lo = group.lo.data()};
    profile->groups_.push_back(
        {&group, profile->parts_.PlanesOf(group), KltTransform(data)});
    // Most of a profile, and not to be held twice.
    group.hi = {};
    group.lo = {};
  }
  return std::shared_ptr<const KltProfile>(std::move(profile));
}

const KltPlane* KltProfile::FindPlane(uint16_t layer, uint8_t plane) const {
  const auto found = std::lower_bound(
      parts_.planes.begin(), parts_.planes.end(), std::pair(layer, plane),
      [](const KltPlane& p, const std::pair<uint16_t, uint8_t>& key) {
        return std::pair(p.layer, p.plane) < key;
      });
  if (found == parts_.planes.end() || found->layer != layer ||
      found->plane != plane) {
    return nullptr;
  }
  return &*found;
}

Result<std::span<const KltGroup>> KltProfile::GroupsFor(
    const LayerGroup& layers, std::span<const PlaneSlice> slices) const {
  const uint32_t begin = layers.first_layer;
  const uint32_t end = begin + layers.layer_count;
  size_t first = 0;
  while (first < groups_.size() && groups_[first].end_layer() <= begin) {
    ++first;
  }
  size_t last = first;
  size_t wanted = 0;
  for (; last < groups_.size() && groups_[last].parts->first_layer < end;
       ++last) {
    const KltGroup& group = groups_[last];
    const uint32_t group_first = group.parts->first_layer;
    if (group_first < begin || group.end_layer() > end) {
      return FailedPreconditionError(CatMessage(
          "klt: the profile has a group of layers ", group_first, " to ",
          group.end_layer() - 1, ", the frame has ", begin, " to ", end - 1));
    }
    wanted += group.planes.size();
  }
  size_t found = 0;
  for (const PlaneSlice& slice : slices) {
    const KltPlane* plane = FindPlane(slice.layer, slice.plane);
    if (plane == nullptr) continue;
    REPRISE_RETURN_IF_ERROR(CheckFits(slice, *plane));
    ++found;
  }
  if (found != wanted) {
    return FailedPreconditionError(
        CatMessage("klt: layers ", begin, " to ", end - 1, " have ", wanted,
                   " planes in the profile, ", found, " in the frame"));
  }
  return std::span<const KltGroup>(groups_.data() + first, last - first);
}

Result<const KltProfile*> OwnKltProfile(const CodecProfile* profile) {
  if (profile == nullptr) {
    return FailedPreconditionError("klt: needs a profile, there is none");
  }
  if (profile->codec() != CodecId::kKlt) {
    return FailedPreconditionError(CatMessage("klt: the profile is of codec ",
                                              CodecIdName(profile->codec())));
  }
  return static_cast<const KltProfile*>(profile);
}

}  // namespace reprise
