// Refinements of a restore on their way into an engine's cache on a device:
// rows that are whole already, from scratch over rows that the engine reads.
//
// In the order of the engine's own stream: what it queued there before sees the
// rows that were there, what it queues later sees the new ones.
#ifndef REPRISE_CLIENT_DEVICE_PLACER_H_
#define REPRISE_CLIENT_DEVICE_PLACER_H_

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <vector>

#include "base/status.h"
#include "client/kv_gather.h"
#include "codec/frame.h"
#include "gpu/decode_plan.h"
#include "gpu/device.h"

namespace reprise {

// The rows of one segment, layer group and range of heads.
struct Refinement {
  const KvTarget* target = nullptr;
  std::span<const PlaneSlice> slices;
  uint64_t first_token = 0;
  uint32_t token_count = 0;
  const uint8_t* rows = nullptr;  // as MakeScratchRows has them
  // The engine's, and what it holds, shared, while it queues kernels that must
  // see rows of one tier; may be null.
  GpuStream stream = nullptr;
  std::shared_mutex* rows_lock = nullptr;
};

// One thread at a time.
class DevicePlacer {
 public:
  // Gets all memory that it will ever use, some MiB.
  static Result<std::unique_ptr<DevicePlacer>> Make(
      std::shared_ptr<Device> device);
  ~DevicePlacer();

  // Waits until all of them are there, and so for what is queued on their
  // streams, and for their locks. kUnavailable when the device failed: some
  // rows may then be partly written.
  // REQUIRES: the scratch holds what it will.
  Status Place(std::span<const Refinement> refinements);

 private:
  explicit DevicePlacer(std::shared_ptr<Device> device)
      : device_(std::move(device)) {}
  Status Start();
  Status Add(const Refinement& refinement);
  Status Run(const Refinement& first);

  const std::shared_ptr<Device> device_;
  GpuStream stream_ = nullptr;
  GpuEvent caller_ = nullptr;  // recorded on the engines' streams
  std::unique_ptr<DecodePlan> plan_;
  std::vector<GpuRows> rows_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_DEVICE_PLACER_H_
