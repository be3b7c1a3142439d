// A codec's share of the work on the device: it puts its profile there once,
// and turns frames into tasks of its kernels, or rows into frames. What the
// kernels write equals what Codec::DecodeStages writes, and the frames are
// those of Codec::EncodeStages, bit for bit.
#ifndef REPRISE_GPU_GPU_CODEC_H_
#define REPRISE_GPU_GPU_CODEC_H_

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "codec/codec.h"
#include "gpu/decode_plan.h"
#include "gpu/device.h"
#include "gpu/encode_plan.h"
#include "gpu/gpu_rows.h"

namespace reprise {

// A profile's tables on a device. Immutable and thread-safe. Each codec
// defines its own kind; it keeps what it was made of.
class GpuProfile {
 public:
  virtual ~GpuProfile() = default;
  virtual const CodecProfile& profile() const = 0;
  // Does what PlanEncode would do with its first frames, so that nobody waits
  // for that in the midst of a batch: of wide profiles it takes seconds. Errors
  // of Upload.
  virtual Status PrepareToEncode() const { return Status(); }
};

// The frames of one segment, layer group and range of heads: one, or of a
// staged codec those of stages 0, 1, ...
struct GpuDecodeRequest {
  // Parsed, every checksum verified, and checked against the model.
  std::span<const FrameView* const> frames;
  // Where the bytes of each are on the device when the batch runs: at a
  // multiple of kFrameAlignment, with kGpuSlackBytes behind them. Nothing says
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

// One segment, layer group and range of heads to be encoded, as EncodeRequest
// has it.
struct GpuEncodeRequest {
  FrameInfo info;
  std::span<const PlaneSlice> slices;
  // Same order as slices: whole slices, all tokens, none skipped.
  std::span<const GpuRows> rows;
  const GpuProfile* profile = nullptr;    // null: without
  const CodecOptions* options = nullptr;  // null: the codec's defaults
  TokenMask kept = kAllTokens;
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

  // Adds the tasks that encode the request as one unit of the plan, and
  // answers its number. Rows are read when the batch runs. Errors as of
  // Codec::EncodeStages; kUnimplemented for what this codec encodes on the
  // host only; kResourceExhausted when the plan has no room. After an error
  // the plan is as it was.
  Result<uint32_t> PlanEncode(const GpuEncodeRequest& request,
                              EncodePlan* plan) const;
  // Makes the frames of a unit that is done: builders as for
  // Codec::EncodeStages. The request is the one that was planned, all that it
  // points to included; rows are not looked at.
  virtual Status BuildFrames(const GpuEncodeRequest& request,
                             const EncodePlan& plan, uint32_t unit,
                             std::span<FrameBuilder* const> builders) const;

 protected:
  virtual Status AddTasks(const GpuDecodeRequest& request, uint32_t unit,
                          DecodePlan* plan) const = 0;
  // kUnimplemented here.
  virtual Status AddEncodeTasks(const GpuEncodeRequest& request, uint32_t unit,
                                EncodePlan* plan) const;
};

// Null when there is none for this codec.
const GpuCodec* FindGpuCodec(CodecId id);

// For planners: CheckEncodeRequest's rules, of rows on a device.
Status CheckGpuEncodeRequest(const GpuEncodeRequest& request);

// For planners: the request as a codec's own checks want it, which do not look
// at rows. Valid as long as the request.
EncodeRequest WithoutRows(const GpuEncodeRequest& request);

// For planners: the address on the device of a section's bytes.
inline const uint8_t* DeviceSection(const GpuDecodeRequest& request,
                                    size_t frame, const FrameSection& section) {
  return request.device_frames[frame] + section.offset;
}

}  // namespace reprise

#endif  // REPRISE_GPU_GPU_CODEC_H_
