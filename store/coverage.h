// Whether the frames of a rendition are all of a segment's state.
#ifndef REPRISE_STORE_COVERAGE_H_
#define REPRISE_STORE_COVERAGE_H_

#include <cstdint>
#include <optional>
#include <span>

#include "base/status.h"
#include "codec/model_spec.h"
#include "store/records.h"

namespace reprise {

// The position of the group that begins at `first_layer`, if there is one.
// REQUIRES: groups are LayerGroupsOf a spec.
std::optional<uint32_t> GroupIndexOf(std::span<const LayerGroup> groups,
                                     uint32_t first_layer);

// OK when the frames hold each (layer, plane, head) of the model exactly once
// in every stage that occurs, and stages are 0, 1, ... without a gap. In a
// group with planes split by head the head ranges must tile the whole; planes
// that ranks replicate stand in the range that starts at 0.
// kInvalidArgument names stage, group and the first head that is missing or
// doubled. Allocates nothing.
//
// REQUIRES: ValidateModelSpec(spec).ok(); groups == LayerGroupsOf(spec);
// frames ascend strictly by index.
Status CheckCoverage(const ModelSpec& spec, std::span<const LayerGroup> groups,
                     std::span<const FrameRef> frames);

}  // namespace reprise

#endif  // REPRISE_STORE_COVERAGE_H_
