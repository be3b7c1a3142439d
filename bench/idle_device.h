// A device that takes no time: copies and kernels are done as soon as they are
// queued, and do nothing. What a restore into it takes is what the client takes
// to receive, check and plan frames; its rows hold nothing.
#ifndef REPRISE_BENCH_IDLE_DEVICE_H_
#define REPRISE_BENCH_IDLE_DEVICE_H_

#include <memory>

#include "gpu/device.h"

namespace reprise::bench {

std::shared_ptr<Device> MakeIdleDevice();

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_IDLE_DEVICE_H_
