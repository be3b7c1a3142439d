#include "bench/device_units.h"

#include <algorithm>
#include <string>

namespace reprise::bench {
namespace {

constexpr uint8_t kSpoilt = 0xa5;

}  // namespace

Status PutUnits(Device* device, GpuStream stream, const DeviceUnits& units,
                ByteView bytes) {
  for (uint32_t unit = 0; unit < units.count; ++unit) {
    REPRISE_RETURN_IF_ERROR(device->CopyToDevice(
        units.data + unit * units.stride, bytes.data(), units.bytes, stream));
  }
  return device->Drain(stream);
}

Status SpoilUnits(Device* device, GpuStream stream, const DeviceUnits& units) {
  return PutUnits(device, stream, units, Bytes(units.bytes, kSpoilt));
}

Status CheckUnits(Device* device, GpuStream stream, const DeviceUnits& units,
                  ByteView wanted, const char* what) {
  Bytes found(units.bytes);
  for (uint32_t unit = 0; unit < units.count; ++unit) {
    REPRISE_RETURN_IF_ERROR(device->CopyToHost(
        found.data(), units.data + unit * units.stride, found.size(), stream));
    REPRISE_RETURN_IF_ERROR(device->Drain(stream));
    const auto differs =
        std::mismatch(found.begin(), found.end(), wanted.begin()).first;
    if (differs == found.end()) continue;
    return DataLossError(std::string(what) + ": unit " + std::to_string(unit) +
                         " of " + std::to_string(units.count) +
                         " came back with another byte " +
                         std::to_string(differs - found.begin()));
  }
  return Status();
}

}  // namespace reprise::bench
