// An engine's cache on a device, as kernels are told of it.
#ifndef REPRISE_CLIENT_DEVICE_ROWS_H_
#define REPRISE_CLIENT_DEVICE_ROWS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "client/kv_gather.h"
#include "codec/frame.h"
#include "gpu/decode_plan.h"
#include "gpu/gpu_rows.h"

namespace reprise {

// kInvalidArgument, with the plane and both numbers, when an address would not
// be a multiple of its element's size: a device can't store there.
Status CheckDeviceTarget(const ModelSpec& spec, const KvTarget& target);

// Where rows of these slices go, one for each; a null base where the target
// holds none of a slice's heads. Block tables are put into the plan's
// constants. kResourceExhausted when there is no room for them.
// REQUIRES: target.CheckTokens was OK for [first_token, first_token + count).
Status MakeDeviceRows(const KvTarget& target,
                      std::span<const PlaneSlice> slices, uint64_t first_token,
                      uint32_t count, DecodePlan* plan,
                      std::vector<GpuRows>* out);

}  // namespace reprise

#endif  // REPRISE_CLIENT_DEVICE_ROWS_H_
