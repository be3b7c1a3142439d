// An engine's cache on a device on its way into frames: read by kernels on a
// stream of this object's, in batches of which several are under way at once,
// and left as encoded streams in pinned memory, of which any thread makes
// frames. The way back is device_decoder.h; as there, sessions and the network
// are unknown here.
//
//   Add -> [slot that fills] -> kernels -> done(unit) -> frames -> slot is free
//
// What a device has no encoder for comes as rows instead, packed, for the host
// to encode: no more of them at a time than the slots hold.
#ifndef REPRISE_CLIENT_DEVICE_ENCODER_H_
#define REPRISE_CLIENT_DEVICE_ENCODER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "client/device_slots.h"
#include "client/kv_gather.h"
#include "codec/codec.h"
#include "codec/frame.h"
#include "gpu/device.h"
#include "gpu/encode_plan.h"
#include "gpu/gpu_codec.h"

namespace reprise {

// One segment, layer group and range of heads.
struct DeviceEncodeUnit {
  // Without rows. What it points to must live until the result has gone.
  GpuEncodeRequest request;
  CodecId codec = CodecId::kRaw;
  bool as_rows = false;  // the rows are wanted, not frames
  const KvSource* source = nullptr;
};

class EncodedUnit;

// Thread-safe. Serves any number of saves.
class DeviceEncoder {
 public:
  static constexpr uint32_t kSlots = 4;
  // Raw bytes, of which some hundred warps are made.
  static constexpr uint64_t kLaunchBytes = 8 << 20;

  struct Options {
    std::shared_ptr<Device> device;
    // Pinned, of all slots together; a batch leaves at most about what its
    // rows have.
    uint64_t output_bytes = 64 << 20;
    uint32_t max_blocks = 0;  // of a launch; 0: as many as are of use
  };
  // Gets all memory that it will ever use: besides the outputs, twice as much
  // scratch on the device, and some MiB of tasks a slot in both.
  static Result<std::unique_ptr<DeviceEncoder>> Make(const Options& options);
  // Waits for everything, results that somebody still holds included.
  ~DeviceEncoder() { slots_.Close(); }

  const std::shared_ptr<Device>& shared_device() const {
    return options_.device;
  }

  // Kernels of units added from now on see what is queued on `stream` by now,
  // or what `event` waits for if it is not null.
  Status WaitFor(GpuStream stream, GpuEvent event) {
    return slots_.WaitFor(stream, event);
  }

  // `done` is called once, on a thread of this object, when the rows were read:
  // with what came of them, or with kUnavailable and null when the device
  // failed. It must not block, and may not call Add. Waits while all slots are
  // under way or held. Errors of GpuCodec::PlanEncode but kUnimplemented, for
  // which rows are answered; kResourceExhausted, with the bytes, for a unit
  // that is larger than a slot; kUnavailable when the device failed. `done` is
  // then not called.
  using Done = std::function<void(Status, std::shared_ptr<EncodedUnit>)>;
  Status Add(const DeviceEncodeUnit& unit, Done done);

  // The same of rows, waiting for them.
  Result<std::shared_ptr<EncodedUnit>> Gather(const DeviceEncodeUnit& unit);

 private:
  friend class EncodedUnit;

  struct Unit {
    GpuEncodeRequest request;
    const GpuCodec* codec = nullptr;  // null: rows
    Done done;
  };
  struct Slot : DeviceSlot<EncodePlan> {  // bytes: of rows
    void Clear() {
      plan->Clear();
      bytes = 0;
      units.clear();
    }
    std::vector<Unit> units;
  };

  explicit DeviceEncoder(const Options& options)
      : options_(options), slots_(options.device, kLaunchBytes) {}
  Status Start();
  // Under the mutex of the slots. Takes `done` if all is well.
  Status AddTo(Slot* slot, const DeviceEncodeUnit& unit, Done* done);
  void Deliver(Slot* slot, const Status& outcome);

  const Options options_;
  std::vector<GpuRows> rows_;  // scratch
  DeviceSlots<Slot> slots_;
};

// What a device made of one unit. Holds on to its slot, so it must go soon; the
// encoder must outlive it. For one thread.
class EncodedUnit {
 public:
  EncodedUnit(DeviceEncoder* encoder, DeviceEncoder::Slot* slot, uint32_t index)
      : encoder_(encoder), slot_(slot), index_(index) {}
  ~EncodedUnit() { encoder_->slots_.GiveBack(slot_); }
  EncodedUnit(const EncodedUnit&) = delete;
  EncodedUnit& operator=(const EncodedUnit&) = delete;

  // Rows, for the host to encode; else frames.
  bool is_rows() const { return unit().codec == nullptr; }
  // As GpuCodec::BuildFrames. REQUIRES: !is_rows().
  Status BuildFrames(std::span<FrameBuilder* const> builders) const;
  // Adds one for each slice. They are valid as long as this.
  // REQUIRES: is_rows().
  void AppendRows(std::vector<ConstPlaneRows>* out) const;

 private:
  const DeviceEncoder::Unit& unit() const { return slot_->units[index_]; }

  DeviceEncoder* const encoder_;
  DeviceEncoder::Slot* const slot_;
  const uint32_t index_;
};

}  // namespace reprise

#endif  // REPRISE_CLIENT_DEVICE_ENCODER_H_
