// Which planes and layers of a model a profile of `klt` codes together.
#ifndef REPRISE_CODEC_KLT_GROUPS_H_
#define REPRISE_CODEC_KLT_GROUPS_H_

#include <cstdint>

#include "base/status.h"
#include "codec/klt_profile_format.h"
#include "codec/model_spec.h"

namespace reprise {

// Keys whose angles are known, and long enough for them.
bool IsRotatedPlane(const PlaneSpec& plane, const RopeSpec& rope);

// Fills in pairing, rotary_dims, turns, weights, planes, and of the groups
// first_layer, layer_count and n.
//
// Groups lie inside the layer groups of the model, and of the same model with
// f32 or 16-bit values in place of its own, so that one profile serves caches
// of any float type. A run of layers that must not be crossed is cut into the
// fewest parts of at most `layers` layers, all as long as the others or one
// shorter. With layers = 0 they are at most 4 layers and, if a layer is not
// wider itself, 2,048 channels. Planes that are not floating-point numbers,
// or that would make a layer wider than 4,096 channels, are left out.
//
// kInvalidArgument with both numbers when `layers` layers are wider than that;
// kFailedPrecondition for a model without planes that can be coded.
Status PlanKltGroups(const ModelSpec& spec, uint32_t layers,
                     KltProfileParts* parts);

}  // namespace reprise

#endif  // REPRISE_CODEC_KLT_GROUPS_H_
