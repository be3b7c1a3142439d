// How fast nvCOMP's ANS is on the rows that gpu_speed.h gives to `exact`.
#ifndef REPRISE_BENCH_NVCOMP_SPEED_H_
#define REPRISE_BENCH_NVCOMP_SPEED_H_

#include <memory>
#include <vector>

#include "base/status.h"
#include "bench/gpu_speed.h"
#include "bench/nvcomp_reference.h"

namespace reprise::bench {

// For each of the batches, as bytes ("NvcompUchar") and as 16-bit floats
// ("NvcompFloat16"): encoding, then decoding, of what the frames of the batch
// hold, in chunks of 64 KiB, not capped to some multiprocessors. The pointers
// to chunks are on the device beforehand, and its `frame_bytes` are the bare
// streams: both count for nvCOMP. kDataLoss, and no figure, when rows do not
// come back as they were. Errors of the device and of nvCOMP.
Result<std::vector<GpuSpeed>> MeasureNvcomp(
    const std::shared_ptr<const Nvcomp>& nvcomp,
    const GpuSpeedOptions& options);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_NVCOMP_SPEED_H_
