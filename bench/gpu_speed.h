// How fast a device decodes and encodes, kernel time and all that goes with a
// launch, beside its own copies.
#ifndef REPRISE_BENCH_GPU_SPEED_H_
#define REPRISE_BENCH_GPU_SPEED_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "gpu/device.h"

namespace reprise::bench {

inline constexpr uint16_t kGpuSpeedHeads = 8;  // of a layer

struct GpuSpeedOptions {
  std::shared_ptr<Device> device;
  double seconds = 0.5;           // of each figure, at least
  std::vector<uint32_t> batches;  // frames of a launch
  // A launch has no more blocks than fit on so many of them; 0: no cap. The
  // device may put these blocks where it likes: one each on as many others, if
  // nothing else runs.
  std::vector<uint32_t> multiprocessors;
  uint16_t heads = kGpuSpeedHeads;  // a shard's, the first ones
};

// One figure. `gb_per_second` is of raw KV out, or in, in units of 10^9.
struct GpuSpeed {
  std::string codec;  // of codec_cases.h: "ExactProfile", or "copy"
  std::string what;   // "decode", "encode", "host to device", ...
  uint32_t tokens = 0;
  uint32_t batch = 0;
  uint32_t heads = 0;            // of a frame
  uint32_t multiprocessors = 0;  // 0: all
  uint64_t frame_bytes = 0;      // of the frames of one unit
  uint64_t raw_bytes = 0;
  double gb_per_second = 0;
};

// Calls `queue` and `wait` once, then again and again for `seconds` at least.
// `bytes` a call to 10^9 a second. Their errors.
Result<double> GpuRate(double seconds, uint64_t bytes,
                       const std::function<Status()>& queue,
                       const std::function<Status()>& wait);

// The rows that MeasureGpuCodec encodes into the frames of one unit, for a
// shard of so many heads: plane after plane, as an engine without pages has
// them.
Result<Bytes> GpuSpeedRows(uint16_t heads);

// Of copies on the device and to it. Errors of the device.
Result<std::vector<GpuSpeed>> MeasureGpuCopies(const GpuSpeedOptions& options);

// Of one case of CodecCases() or StagedCodecCases(), on layers of an 8B-class
// model (8 KV heads of 128, bf16), a layer a frame. Values are made up: kernels
// whose time depends on them are slower or faster on real ones. What
// `codec_case` has no kernels for is left out. Errors of the device and of the
// codec.
Result<std::vector<GpuSpeed>> MeasureGpuCodec(const std::string& codec_case,
                                              const GpuSpeedOptions& options);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_GPU_SPEED_H_
