// `gpu.CODEC`: whole sessions from the daemon, over loopback, into the paged
// cache of a device, and out of it: against the wire alone, against the same by
// the CPU in the host's memory, and what either costs the worker's processors.
//
// Decoding is hidden when a restore takes as long as a bare transfer of as
// many bytes. Where the daemon itself does not keep up with that,
// `gpu.CODEC.restore.stream` tells: the same frames as they come from it, with
// nobody to decode them. `feed.CODEC` tells the same of the client.
#include <memory>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/device_race.h"
#include "gpu/device.h"
#include "gpu/host_device.h"

namespace reprise::bench {
namespace {

constexpr uint64_t kHostDeviceBytes = 4ull << 30;
constexpr double kHidden = 0.9;
// 1 GiB of an 8B-class model.
constexpr RaceSizes kFull = {32, 8, 128, 8192, 2048, 7, 5};

Result<std::shared_ptr<Device>> DeviceFor(const BenchContext& context) {
  if (context.host_device) {
    return MakeHostDevice({.memory_bytes = kHostDeviceBytes});
  }
  return OpenDevice(context.device);
}

// The rows of one codec.
class Rows {
 public:
  Rows(const std::string& prefix, const std::string& note)
      : prefix_(prefix), note_(note) {}

  BenchRow* Add(const std::string& name, const Spread& value, const char* unit,
                const std::string& reference, double reference_value) {
    rows_.push_back({.name = prefix_ + name,
                     .value = value.median,
                     .spread = value.relative,
                     .unit = unit,
                     .reference = reference,
                     .reference_value = reference_value,
                     .note = note_});
    return &rows_.back();
  }
  std::vector<BenchRow> Take() { return std::move(rows_); }

 private:
  const std::string prefix_;
  const std::string note_;
  std::vector<BenchRow> rows_;
};

void AddRestores(const RestoreRace& race, bool is_real, Rows* rows) {
  const RaceSeries& ours = race.device;
  BenchRow* const wire =
      rows->Add("restore", ours.TimesFasterThan(race.bare), "x",
                "bare Asio over loopback, as many bytes, GB/s",
                race.bare.WireRate().median);
  wire->target = kHidden;
  wire->has_target = is_real;
  wire->note += "; " + std::to_string(ours.last().raw_bytes >> 20) +
                " MiB of rows as " +
                std::to_string(ours.last().wire_bytes >> 20) + " MiB, " +
                std::to_string(DeviceRace::CodecThreads()) + " codec threads";
  rows->Add("restore.stream", ours.TimesFasterThan(race.stream), "x",
            "the daemon's stream, not decoded, GB/s",
            race.stream.WireRate().median);
  rows->Add("restore.host", ours.TimesFasterThan(race.host), "x",
            "into host memory, decoded by the CPU, GB/s of rows",
            race.host.RawRate().median);
  rows->Add("restore.rows", ours.RawRate(), "GB/s", "of them on the wire, GB/s",
            ours.WireRate().median);
  rows->Add("restore.layer0", ours.Layer0Share(), "x",
            "until all layers are in place, ms", 1e3 * ours.Seconds().median);
  rows->Add("restore.cpu_seconds", ours.CpuSecondsOfGb(), "s/GB",
            "into host memory, decoded by the CPU, s/GB",
            race.host.CpuSecondsOfGb().median);
}

void AddSaves(const SaveRace& race, Rows* rows) {
  const RaceSeries& ours = race.device;
  rows->Add("save.host", ours.TimesFasterThan(race.host), "x",
            "out of host memory, encoded by the CPU, GB/s of rows",
            race.host.RawRate().median);
  const double encoded_there = 100 *
                               static_cast<double>(ours.last().device_bytes) /
                               static_cast<double>(ours.last().raw_bytes);
  rows->Add("save.rows", ours.RawRate(), "GB/s",
            "of them encoded on the device, %", encoded_there);
  rows->Add("save.cpu_seconds", ours.CpuSecondsOfGb(), "s/GB",
            "out of host memory, encoded by the CPU, s/GB",
            race.host.CpuSecondsOfGb().median);
}

Result<std::vector<BenchRow>> RunOnDevice(const BenchContext& context,
                                          const RaceCodec& codec) {
  DeviceRace::Options options;
  options.work_dir = context.work_dir;
  options.codec = codec;
  options.sizes = context.quick ? kQuickRace : kFull;
  REPRISE_ASSIGN_OR_RETURN(options.device, DeviceFor(context));
  DeviceRace race(options);
  REPRISE_RETURN_IF_ERROR(race.Start());
  std::string note = options.device->info().name;
  if (context.host_device) note += ": no GPU, and no speed of one";
  Rows rows(std::string("gpu.") + codec.name + ".", note);
  REPRISE_ASSIGN_OR_RETURN(const RestoreRace restores, race.RaceRestores());
  AddRestores(restores, !context.host_device, &rows);
  REPRISE_ASSIGN_OR_RETURN(const SaveRace saves, race.RaceSaves());
  AddSaves(saves, &rows);
  return rows.Take();
}

std::string WhyNot(const BenchContext& context) {
  const Result<std::shared_ptr<Device>> device = DeviceFor(context);
  return device.ok() ? "" : std::string(device.status().message());
}

// Each codec by itself: one that fails does not take the others' rows along.
bool RegisterAll() {
  for (const RaceCodec& codec : kRaceCodecs) {
    Register({std::string("gpu.") + codec.name,
              "sessions from the daemon into a device's memory, and out of it",
              [&codec](const BenchContext& context) {
                return RunOnDevice(context, codec);
              },
              WhyNot});
  }
  return true;
}
const bool kRegistered = RegisterAll();

}  // namespace
}  // namespace reprise::bench
