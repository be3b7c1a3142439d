#include "store/coverage.h"

#include <algorithm>
#include <string>

namespace reprise {
namespace {

constexpr uint32_t kGroupMask = 0xfff;

uint32_t GroupOf(const FrameRef& frame) {
  return frame.index >> 12 & kGroupMask;
}

// A place in the heads, as the share of all of them: planes of one group may
// have different numbers of heads.
struct Share {
  uint32_t part = 0;
  uint32_t whole = 1;
  bool operator==(const Share& other) const {
    return part * other.whole == other.part * whole;
  }
  std::string ToString() const {
    return std::to_string(part) + " of " + std::to_string(whole);
  }
};
Share Begin(const HeadRange& heads) { return {heads.first, heads.total}; }
Share End(const HeadRange& heads) {
  return {uint32_t{heads.first} + heads.count, heads.total};
}

class GroupCoverage {
 public:
  GroupCoverage(const ModelSpec& spec, const LayerGroup& group, uint32_t index,
                uint32_t stage)
      : spec_(spec), group_(group), index_(index), stage_(stage) {}

  Status Check(std::span<const FrameRef> frames) const {
    for (const FrameRef& frame : frames) {
      REPRISE_RETURN_IF_ERROR(CheckFrame(frame));
    }
    if (!HasSplitPlanes()) {
      if (frames.size() == 1 && frames[0].heads.first == 0) return Status();
      return Refuse("replicated planes have " + std::to_string(frames.size()) +
                    " frames, one from head 0 is wanted");
    }
    Share covered;
    for (const FrameRef& frame : frames) {
      if (!(Begin(frame.heads) == covered)) {
        return Refuse("frames cover heads up to " + covered.ToString() +
                      ", the next begins at " + Begin(frame.heads).ToString());
      }
      covered = End(frame.heads);
    }
    if (covered == Share{1, 1}) return Status();
    return Refuse("frames cover heads up to " + covered.ToString());
  }

 private:
  Status CheckFrame(const FrameRef& frame) const {
    const HeadRange& heads = frame.heads;
    REPRISE_RETURN_IF_ERROR(ValidateHeadRange(heads));
    if (frame.first_layer != group_.first_layer ||
        frame.layer_count != group_.layer_count) {
      return Refuse("a frame has " + std::to_string(frame.layer_count) +
                    " layers from " + std::to_string(frame.first_layer));
    }
    if (frame.index != FrameIndex(frame.stage, index_, heads.first)) {
      return Refuse("index " + std::to_string(frame.index) +
                    " does not follow from stage " +
                    std::to_string(frame.stage) + " and first head " +
                    std::to_string(heads.first));
    }
    return CheckCuts(heads);
  }

  // No plane may be cut inside a head.
  Status CheckCuts(const HeadRange& heads) const {
    for (uint32_t i = 0; i < group_.layer_count; ++i) {
      for (const PlaneSpec& plane :
           spec_.layers[group_.first_layer + i].planes) {
        if (plane.split != HeadSplit::kByHead) continue;
        if (plane.heads * heads.first % heads.total != 0 ||
            plane.heads * (heads.first + heads.count) % heads.total != 0) {
          return Refuse("a range of " + std::to_string(heads.total) +
                        " shares cuts a plane of " +
                        std::to_string(plane.heads) + " heads inside a head");
        }
      }
    }
    return Status();
  }

  bool HasSplitPlanes() const {
    for (uint32_t i = 0; i < group_.layer_count; ++i) {
      for (const PlaneSpec& plane :
           spec_.layers[group_.first_layer + i].planes) {
        if (plane.split == HeadSplit::kByHead) return true;
      }
    }
    return false;
  }

  Status Refuse(const std::string& what) const {
    return InvalidArgumentError(
        "coverage: stage " + std::to_string(stage_) + ", " +
        std::to_string(group_.layer_count) + " layers from " +
        std::to_string(group_.first_layer) + ": " + what);
  }

  const ModelSpec& spec_;
  const LayerGroup group_;
  const uint32_t index_;
  const uint32_t stage_;
};

}  // namespace

std::optional<uint32_t> GroupIndexOf(std::span<const LayerGroup> groups,
                                     uint32_t first_layer) {
  const auto it = std::ranges::lower_bound(groups, first_layer, {},
                                           &LayerGroup::first_layer);
  if (it == groups.end() || it->first_layer != first_layer) return {};
  return static_cast<uint32_t>(it - groups.begin());
}

Status CheckCoverage(const ModelSpec& spec, std::span<const LayerGroup> groups,
                     std::span<const FrameRef> frames) {
  size_t done = 0;
  uint32_t stage = 0;
  do {
    for (uint32_t g = 0; g < groups.size(); ++g) {
      size_t end = done;
      while (end < frames.size() && frames[end].index >> 24 == stage &&
             GroupOf(frames[end]) == g) {
        ++end;
      }
      REPRISE_RETURN_IF_ERROR(GroupCoverage(spec, groups[g], g, stage)
                                  .Check(frames.subspan(done, end - done)));
      done = end;
    }
    if (done < frames.size() && frames[done].index >> 24 == stage) {
      return InvalidArgumentError("coverage: a frame is of layer group " +
                                  std::to_string(GroupOf(frames[done])) +
                                  ", the model has " +
                                  std::to_string(groups.size()));
    }
    ++stage;
  } while (done < frames.size());
  return Status();
}

}  // namespace reprise
