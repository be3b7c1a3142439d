#include "client/device_rows.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "base/limits.h"

namespace reprise {
namespace {

Status NotAligned(uint32_t layer, uint32_t plane, const char* what,
                  int64_t value, uint32_t element_bytes) {
  return InvalidArgumentError("kv: layer " + std::to_string(layer) + " plane " +
                              std::to_string(plane) + ": " + what + " is " +
                              std::to_string(value) +
                              ", a device wants a multiple of its element's " +
                              std::to_string(element_bytes) + " bytes");
}

// The blocks that a segment's rows lie in, on the device. At most one a token,
// and one more where the first is entered in its midst.
template <typename Byte, typename Plan>
Result<const int64_t*> AddTable(const KvMap<Byte>& map,
                                const typename KvMap<Byte>::Plane& plane,
                                const typename KvMap<Byte>::Blocks& blocks,
                                Plan* plan) {
  std::array<int64_t, kSegmentTokens + 1> table;
  for (uint64_t i = 0; i < blocks.count; ++i) {
    table[i] = map.Block(plane, blocks.first_block + i);
  }
  REPRISE_ASSIGN_OR_RETURN(
      const uint8_t* const at,
      plan->AddConstants({reinterpret_cast<const uint8_t*>(table.data()),
                          blocks.count * sizeof(int64_t)}));
  return reinterpret_cast<const int64_t*>(at);
}

template <typename Byte, typename Plan>
Status MakeRows(const KvMap<Byte>& map, std::span<const PlaneSlice> slices,
                uint64_t first_token, uint32_t count, Plan* plan,
                std::vector<GpuRows>* out) {
  out->clear();
  const int64_t* table = nullptr;
  uint32_t paging_of_table = 0;
  for (const PlaneSlice& slice : slices) {
    const auto& plane = map.PlaneAt(slice.layer, slice.plane);
    const uint32_t first = std::max(plane.head_first, slice.head_first);
    const uint32_t end = std::min(plane.head_first + plane.head_count,
                                  slice.head_first + slice.head_count);
    GpuRows& rows = out->emplace_back();
    rows.token_count = count;
    if (first >= end) continue;
    const auto blocks = map.BlocksOf(plane, first_token, first_token + count);
    // Encoding kernels only read.
    rows.base = const_cast<uint8_t*>(plane.base) +
                (first - plane.head_first) * plane.head_stride;
    rows.block_stride = plane.block_stride;
    rows.token_stride = plane.token_stride;
    rows.head_stride = plane.head_stride;
    rows.element_stride = plane.element_stride;
    rows.first_slot = blocks.first_slot;
    rows.head_first = first - slice.head_first;
    rows.head_count = end - first;
    rows.dim = plane.dim;
    rows.element_bytes = plane.element_bytes;
    if (blocks.page_tokens == 0) continue;
    rows.page_tokens = static_cast<uint32_t>(
        std::min<uint64_t>(blocks.page_tokens, UINT32_MAX));
    // Layers of one table follow each other.
    if (table == nullptr || paging_of_table != plane.paging) {
      REPRISE_ASSIGN_OR_RETURN(table, AddTable(map, plane, blocks, plan));
      paging_of_table = plane.paging;
    }
    rows.table64 = table;
  }
  return Status();
}

}  // namespace

template <typename Byte>
Status CheckDeviceMemory(const ModelSpec& spec, const KvMap<Byte>& map) {
  for (uint32_t layer = 0; layer < spec.layers.size(); ++layer) {
    for (uint32_t p = 0; p < spec.layers[layer].planes.size(); ++p) {
      const auto& plane = map.PlaneAt(layer, p);
      const int64_t bytes = plane.element_bytes;
      const struct {
        const char* what;
        int64_t value;
      } checks[] = {
          {"base",
           static_cast<int64_t>(reinterpret_cast<uintptr_t>(plane.base))},
          {"block stride", plane.block_stride},
          {"token stride", plane.token_stride},
          {"head stride", plane.head_stride},
          {"element stride", plane.element_stride},
      };
      for (const auto& check : checks) {
        if (check.value % bytes == 0) continue;
        return NotAligned(layer, p, check.what, check.value,
                          plane.element_bytes);
      }
    }
  }
  return Status();
}

template Status CheckDeviceMemory(const ModelSpec& spec, const KvSource& map);
template Status CheckDeviceMemory(const ModelSpec& spec, const KvTarget& map);

Status MakeDeviceRows(const KvTarget& target,
                      std::span<const PlaneSlice> slices, uint64_t first_token,
                      uint32_t count, DecodePlan* plan,
                      std::vector<GpuRows>* out) {
  return MakeRows(target, slices, first_token, count, plan, out);
}

Status MakeDeviceRows(const KvSource& source,
                      std::span<const PlaneSlice> slices, uint64_t first_token,
                      uint32_t count, EncodePlan* plan,
                      std::vector<GpuRows>* out) {
  return MakeRows(source, slices, first_token, count, plan, out);
}

uint64_t ScratchRowsBytes(const PlaneSlice& slice, uint32_t count) {
  const uint64_t bytes = count * slice.token_bytes();
  return (bytes + kGpuAlignment - 1) / kGpuAlignment * kGpuAlignment;
}

Result<const uint8_t*> MakeScratchRows(const KvTarget& target,
                                       std::span<const PlaneSlice> slices,
                                       uint32_t count, DecodePlan* plan,
                                       std::vector<GpuRows>* out) {
  uint64_t bytes = 0;
  for (const PlaneSlice& slice : slices) {
    if (HoldsPart(target, slice)) bytes += ScratchRowsBytes(slice, count);
  }
  REPRISE_ASSIGN_OR_RETURN(uint8_t* const scratch, plan->AddScratch(bytes));
  out->clear();
  uint8_t* at = scratch;
  for (const PlaneSlice& slice : slices) {
    GpuRows& rows = out->emplace_back();
    rows.token_count = count;
    if (!HoldsPart(target, slice)) continue;
    const uint32_t element_bytes = DTypeBytes(slice.spec->dtype);
    rows.base = at;
    rows.token_stride = static_cast<int64_t>(slice.token_bytes());
    rows.head_stride = int64_t{slice.spec->dim} * element_bytes;
    rows.element_stride = element_bytes;
    rows.head_count = slice.head_count;
    rows.dim = slice.spec->dim;
    rows.element_bytes = element_bytes;
    at += ScratchRowsBytes(slice, count);
  }
  return static_cast<const uint8_t*>(scratch);
}

}  // namespace reprise
