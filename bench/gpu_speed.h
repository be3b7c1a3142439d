// How fast a device decodes and encodes, kernel time and all that goes with a
// launch, beside its own copies.
#ifndef REPRISE_BENCH_GPU_SPEED_H_
#define REPRISE_BENCH_GPU_SPEED_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/bench.h"
#include "bench/gpu_frames.h"
#include "gpu/device.h"

namespace reprise::bench {

struct GpuSpeedOptions {
  std::shared_ptr<Device> device;
  double seconds = 0.5;           // of each figure, at least
  std::vector<uint32_t> batches;  // frames of a launch
  // A launch has no more blocks than fit on so many of them; 0: no cap. The
  // device may put these blocks where it likes: one each on as many others, if
  // nothing else runs.
  std::vector<uint32_t> multiprocessors;
  uint16_t heads = kMeasuredHeads;  // a shard's, the first ones
};

// One figure. `gb_per_second` is of raw KV out, or in, in units of 10^9.
struct GpuSpeed {
  std::string codec;  // of MeasuredCodings(), or "copy"
  std::string what;   // "decode", "encode", "host to device", ...
  uint32_t tokens = 0;
  uint32_t batch = 0;
  uint32_t heads = 0;            // of a frame
  uint32_t multiprocessors = 0;  // 0: all
  uint64_t frame_bytes = 0;      // of the frames of one unit
  uint64_t raw_bytes = 0;
  double gb_per_second = 0;  // median
  double spread = 0;         // as of bench.h
};

// Calls `queue` and `wait` once, then again and again for `seconds` at least.
// `bytes` a call to 10^9 a second, of each call. Their errors.
Result<Spread> GpuRate(double seconds, uint64_t bytes,
                       const std::function<Status()>& queue,
                       const std::function<Status()>& wait);

// Of copies on the device and to it. Errors of the device.
Result<std::vector<GpuSpeed>> MeasureGpuCopies(const GpuSpeedOptions& options);

// Of one of MeasuredCodings(). What there are no kernels for is left out.
// Errors of the device and of the codec.
Result<std::vector<GpuSpeed>> MeasureGpuCodec(const std::string& coding,
                                              const GpuSpeedOptions& options);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_GPU_SPEED_H_
