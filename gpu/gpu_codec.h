// A codec's share of the work on the device: it puts its profile there once,
// and turns frames into tasks of its kernels. What the kernels write equals
// what Codec::DecodeStages writes, bit for bit.
#ifndef REPRISE_GPU_GPU_CODEC_H_
#define REPRISE_GPU_GPU_CODEC_H_

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "codec/codec.h"
#include "gpu/decode_plan.h"
#include "gpu/device.h"
#include "gpu/gpu_rows.h"

namespace reprise {

// A profile's tables on a device. Immutable and thread-safe. Each codec
// defines its own kind; it keeps what it was made of.
class GpuProfile {
 public:
  virtual ~GpuProfile() = default;
  virtual const CodecProfile& profile() const = 0;
};

// The frames of one segment, layer group and range of heads: one, or of a
// staged codec those of stages 0, 1, ...
struct GpuDecodeRequest {
  // Parsed, every checksum verified, and checked against the model.
  std::span<const FrameView* const> frames;
  // Where the bytes of each are on the device when the batch runs: at a
  // multiple of kGpuAlignment, with kGpuSlackBytes behind them. Nothing says
  // that they are the bytes that were parsed: kernels must not go astray
  // whatever they find.
  std::span<const uint8_t* const> device_frames;
  std::span<const PlaneSlice> slices;
  // Same order as slices; a null base skips the plane. All have the same
  // token_count, the tokens of the frame to write.
  std::span<const GpuRows> rows;
  uint32_t token_count = 0;
  const GpuProfile* profile = nullptr;  // null: without
  // As DecodeRequest::kept.
  TokenMask* kept = nullptr;
};

// Stateless: one object serves all threads.
class GpuCodec {
 public:
  virtual ~GpuCodec() = default;
  virtual CodecId id() const = 0;

  // Copies what kernels want of a profile, and waits until it is there.
  // `max_tokens`: positions from there on are never decoded.
  virtual Result<std::shared_ptr<const GpuProfile>> Upload(
      std::shared_ptr<const CodecProfile> profile, uint64_t max_tokens,
      std::shared_ptr<Device> device) const = 0;

  // Adds the request's tasks as one unit of the plan, and answers its number.
  // Errors as of Codec::DecodeStages for what can be seen on the host, which
  // is all that is wrong with a frame but the streams themselves: those are
  // found by kernels (DecodePlan::damage). kResourceExhausted when the plan
  // has no room. After an error the plan is as it was.
  Result<uint32_t> Plan(const GpuDecodeRequest& request,
                        DecodePlan* plan) const;

 protected:
  virtual Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                          DecodePlan* plan) const = 0;
};

// Null when there is none for this codec.
const GpuCodec* FindGpuCodec(CodecId id);

// For planners: the address on the device of a section's bytes.
inline const uint8_t* DeviceSection(const GpuDecodeRequest& request,
                                    size_t frame, const FrameSection& section) {
  return request.device_frames[frame] + section.offset;
}

}  // namespace reprise

#endif  // REPRISE_GPU_GPU_CODEC_H_
