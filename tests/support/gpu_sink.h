// A cache on a device as engines have it, for what a GPU codec decodes or
// encodes: any layout, guards between all that is written, rows written and
// read back.
#ifndef REPRISE_TESTS_SUPPORT_GPU_SINK_H_
#define REPRISE_TESTS_SUPPORT_GPU_SINK_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codec/frame.h"
#include "gpu/device.h"
#include "gpu/gpu_rows.h"
#include "tests/support/kv_values.h"

namespace reprise {

// This machine's device where there is one, the host executor otherwise;
// opened once.
const std::shared_ptr<Device>& TestDevice();

enum class GpuLayout : uint8_t {
  kTokenMajor,  // [tokens, heads, dim], contiguous, a gap behind each row
  kHeadMajor,   // [heads, tokens, dim]
  kTransposed,  // [heads, dim, tokens]: elements of a row lie apart
  kPagedNhd,    // pages of 16 tokens, [blocks, page, heads, dim], int32 table
  kPagedHnd,    // pages of 7 tokens, [blocks, heads, page, dim], int64 table
  kShifted,     // as kTokenMajor, but one element away from any alignment
};
inline constexpr GpuLayout kAllGpuLayouts[] = {
    GpuLayout::kTokenMajor, GpuLayout::kHeadMajor, GpuLayout::kTransposed,
    GpuLayout::kPagedNhd,   GpuLayout::kPagedHnd,  GpuLayout::kShifted};
std::string_view GpuLayoutName(GpuLayout layout);

// What of a plane's heads is wanted: of each slice those from `skip` on,
// `count` of them; more than there are means up to the last.
struct GpuHeads {
  uint32_t skip = 0;
  uint32_t count = UINT32_MAX;
};

// Waits for the device where it must.
class GpuSink {
 public:
  struct Shape {
    GpuLayout layout = GpuLayout::kTokenMajor;
    uint32_t token_count = 0;
    GpuHeads heads;
  };
  // Copies what it needs of the slices.
  GpuSink(std::shared_ptr<Device> device, std::span<const PlaneSlice> slices,
          const Shape& shape);

  // Whether the memory could be had, and is what it should be so far.
  const Status& status() const { return status_; }
  // One for each slice.
  std::span<const GpuRows> rows() const { return rows_; }

  // Writes rows to the device, for what encodes them. REQUIRES: they are of
  // the same slices and tokens.
  Status Put(const KvRows& rows);

  // Reads the device's memory. What is asked of it below is of that moment.
  Status Fetch();
  // A row's heads that are wanted, packed.
  Bytes Row(size_t slice, uint32_t token) const;
  // True when all bytes but those of rows [0, token_count) are as they were.
  bool GuardsAreWhole(uint32_t token_count) const;

 private:
  struct Plane {
    uint64_t first_byte = 0;  // in the sink's memory
    uint64_t bytes = 0;
  };
  void PlacePlane(const PlaneSlice& slice, const Shape& shape);
  Status Upload();
  // Where an element lies in the sink's memory.
  uint64_t At(size_t slice, uint32_t token, uint32_t head,
              uint32_t element) const;

  std::shared_ptr<Device> device_;
  Status status_;
  std::vector<GpuRows> rows_;
  std::vector<Plane> planes_;
  std::vector<int64_t> table_;  // of the blocks, if there are any
  DeviceBuffer device_memory_, device_table_;
  Bytes memory_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_GPU_SINK_H_
