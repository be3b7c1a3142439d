// Pieces of equal size on a device, one after the other: filled before
// something is measured, and checked after it.
#ifndef REPRISE_BENCH_DEVICE_UNITS_H_
#define REPRISE_BENCH_DEVICE_UNITS_H_

#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"
#include "gpu/device.h"

namespace reprise::bench {

struct DeviceUnits {
  uint8_t* data = nullptr;  // the device's
  uint64_t bytes = 0;       // of a unit
  uint64_t stride = 0;      // from one to the next
  uint32_t count = 0;
};

// All of these go through `stream` and wait for it. Errors of the device.

// A copy of `bytes` into each unit. REQUIRES: bytes.size() == units.bytes.
Status PutUnits(Device* device, GpuStream stream, const DeviceUnits& units,
                ByteView bytes);

// Overwrites the units, so that what CheckUnits finds was put there since.
Status SpoilUnits(Device* device, GpuStream stream, const DeviceUnits& units);

// kDataLoss, with the first unit and byte, unless each unit is `wanted`; `what`
// begins the message. REQUIRES: wanted.size() == units.bytes.
Status CheckUnits(Device* device, GpuStream stream, const DeviceUnits& units,
                  ByteView wanted, const char* what);

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_DEVICE_UNITS_H_
