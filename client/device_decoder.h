// Frames on their way through a device: received into pinned memory or packed
// there, copied to the device in large pieces on one stream, decoded by kernels
// on another, in batches of which several are under way at once. Knows of
// frames and rows, nothing of sessions or the network.
//
//   Add -> [slot that fills] -> copies -> kernels -> done(whole)
#ifndef REPRISE_CLIENT_DEVICE_DECODER_H_
#define REPRISE_CLIENT_DEVICE_DECODER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <shared_mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "client/body_ring.h"
#include "client/device_placer.h"
#include "client/device_slots.h"
#include "client/kv_gather.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "gpu/decode_plan.h"
#include "gpu/device.h"
#include "gpu/gpu_codec.h"

namespace reprise {

// One segment, layer group and range of heads.
struct DeviceUnit {
  // Parsed, with every checksum verified, and checked against the model.
  std::span<const FrameView* const> frames;
  std::span<const PlaneSlice> slices;
  const GpuProfile* profile = nullptr;
  const KvTarget* target = nullptr;
  uint64_t first_token = 0;
  uint32_t token_count = 0;
  TokenMask* kept = nullptr;  // as DecodeRequest::kept, set by Add
  // The rows there are valid already, and what takes their place is decoded
  // elsewhere: it is copied over them when all of it is whole, in the order of
  // `stream` and under the lock (device_placer.h), else they stay as they are.
  bool is_refinement = false;
  GpuStream stream = nullptr;
  std::shared_mutex* rows_lock = nullptr;
};

// Thread-safe. Serves any number of restores.
class DeviceDecoder {
 public:
  // What copies are merged to, where there is that much.
  static constexpr uint64_t kLaunchBytes = 2 << 20;
  static constexpr uint32_t kSlots = 4;

  struct Options {
    std::shared_ptr<Device> device;
    // Pinned, and as much on the device. Half of it is the ring that bodies are
    // received into, and a slot has a fourth of the rest.
    uint64_t ring_bytes = 64 << 20;
    uint32_t max_blocks = 0;  // of a launch; 0: as many as are of use
    DecodePlanLimits plan;
  };
  // Gets all memory that it will ever use.
  static Result<std::unique_ptr<DeviceDecoder>> Make(const Options& options);
  // Waits for everything; `done` of what was added is called before.
  ~DeviceDecoder();

  const std::shared_ptr<Device>& shared_device() const {
    return options_.device;
  }

  // Frames in it are not copied on the host, if they lie at a multiple of
  // kFrameAlignment: behind what is no frame others may lie anywhere.
  const std::shared_ptr<BodyRing>& bodies() const { return bodies_; }
  bool IsInRing(ByteView frame) const;

  // Why nothing can be decoded any more; OK as long as it can. kUnavailable.
  Status failure() { return slots_.failure(); }

  // Batches so far.
  uint64_t launches() { return slots_.launches(); }

  // Kernels of units added from now on see what is queued on `stream` by now,
  // or what `event` waits for if it is not null.
  Status WaitFor(GpuStream stream, GpuEvent event) {
    return slots_.WaitFor(stream, event);
  }

  // Frames that are in the ring must stay there until `done` is called; others
  // are copied. The rows are written later. `done` is called once, on a
  // thread of this object, with whether the rows are whole: if not, some may be
  // written, but for those of a refinement. It must not block, and may not call
  // Add. Waits while all slots are under way. Errors of GpuCodec::Plan,
  // kUnavailable when the device failed; `done` is then not called.
  //
  // `queued` may be null. It is called before `done`, as soon as the kernels
  // that write the unit are queued, with their stream, on a thread of this
  // object or one that calls Add; it must do no more than to record events
  // there, and take no lock that is held by who calls into this object.
  using Done = std::function<void(bool whole)>;
  using Queued = std::function<void(GpuStream kernels)>;
  Status Add(const DeviceUnit& unit, Done done, Queued queued = nullptr);

 private:
  struct Slot : DeviceSlot<DecodePlan> {
    void Clear() {
      plan->Clear();
      bytes = 0;
      packed_bytes = 0;
      in_ring.clear();
      refinements.clear();
    }
    uint64_t packed_bytes = 0;  // of frames that were copied
    std::vector<std::pair<uint64_t, uint64_t>> in_ring;  // from, to
    uint8_t* pinned = nullptr;
    uint8_t* on_device = nullptr;
    GpuEvent copied = nullptr;
    std::vector<Done> done;      // by unit
    std::vector<Queued> queued;  // those that are not null
    std::vector<std::pair<uint32_t, Refinement>> refinements;  // with the unit
  };

  explicit DeviceDecoder(const Options& options)
      : options_(options), slots_(options.device, kLaunchBytes) {}
  Status Start();
  uint64_t ring_bytes() const { return options_.ring_bytes / 2; }
  uint64_t slot_bytes() const { return ring_bytes() / kSlots; }
  // Room in a slot for those that are not in the ring.
  uint64_t PackedBytes(std::span<const FrameView* const> frames) const;
  // Under the mutex of the slots.
  Status AddTo(Slot* slot, const DeviceUnit& unit);
  Status Launch(Slot* slot);
  Status CopyFrames(Slot* slot);
  // The rows that a unit's kernels write, in rows_. Of a refinement they are in
  // scratch: answers where.
  Result<const uint8_t*> MakeRows(Slot* slot, const DeviceUnit& unit);
  void Deliver(Slot* slot, const Status& outcome);

  const Options options_;
  std::shared_ptr<BodyRing> bodies_;
  DeviceBuffer pinned_;   // of slots
  DeviceBuffer staging_;  // the ring's mirror, then the slots'
  GpuStream copies_ = nullptr;
  std::vector<GpuRows> rows_;  // of MakeRows
  std::unique_ptr<DevicePlacer> placer_;
  std::vector<Refinement> whole_;  // of Deliver
  DeviceSlots<Slot> slots_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_DEVICE_DECODER_H_
