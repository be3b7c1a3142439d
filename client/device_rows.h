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
#include "gpu/encode_plan.h"
#include "gpu/gpu_rows.h"

namespace reprise {

// kInvalidArgument, with the plane and both numbers, when an address would not
// be a multiple of its element's size: a device can't load or store there.
template <typename Byte>
Status CheckDeviceMemory(const ModelSpec& spec, const KvMap<Byte>& map);

// Where rows of these slices lie, one for each; a null base where the map
// holds none of a slice's heads. Block tables are put into the plan's
// constants. kResourceExhausted when there is no room for them.
// REQUIRES: map.CheckTokens was OK for [first_token, first_token + count).
Status MakeDeviceRows(const KvTarget& target,
                      std::span<const PlaneSlice> slices, uint64_t first_token,
                      uint32_t count, DecodePlan* plan,
                      std::vector<GpuRows>* out);
Status MakeDeviceRows(const KvSource& source,
                      std::span<const PlaneSlice> slices, uint64_t first_token,
                      uint32_t count, EncodePlan* plan,
                      std::vector<GpuRows>* out);

// Instead, rows in the plan's scratch: one for each slice of which the target
// holds heads, whole slices one behind the other, so many bytes each. Answers
// where the first begins. kResourceExhausted when there is no room for them.
Result<const uint8_t*> MakeScratchRows(const KvTarget& target,
                                       std::span<const PlaneSlice> slices,
                                       uint32_t count, DecodePlan* plan,
                                       std::vector<GpuRows>* out);
uint64_t ScratchRowsBytes(const PlaneSlice& slice, uint32_t count);

}  // namespace reprise

#endif  // REPRISE_CLIENT_DEVICE_ROWS_H_
