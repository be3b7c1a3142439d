// `feed.CODEC`: how fast a client feeds a device, measured without one: the
// restores of gpu_restore_bench.cc into a device that takes no time. What comes
// out is the client's share: what a restore into a real one can't be faster
// than, and what it costs the worker's processors.
#include <cstdio>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/device_race.h"
#include "bench/idle_device.h"

namespace reprise::bench {
namespace {

// Of what the daemon streams when nobody looks at it: a client that keeps up
// with that leaves the wire, or the daemon, as the bound.
constexpr double kStreamTarget = 0.9;
// 512 MiB of an 8B-class model.
constexpr RaceSizes kFull = {32, 8, 128, 4096, 0, 7, 0};

Result<std::vector<BenchRow>> Feed(const BenchContext& context,
                                   const RaceCodec& codec) {
  DeviceRace::Options options;
  options.work_dir = context.work_dir;
  options.codec = codec;
  options.sizes = context.quick ? kQuickRace : kFull;
  options.device = MakeIdleDevice();
  options.is_idle = true;
  DeviceRace race(options);
  REPRISE_RETURN_IF_ERROR(race.Start());
  REPRISE_ASSIGN_OR_RETURN(const RestoreRace restores, race.RaceRestores());
  const RaceSeries& ours = restores.device;
  const std::string name = std::string("feed.") + codec.name;
  const Spread wire = ours.TimesFasterThan(restores.bare);
  const Spread stream = ours.TimesFasterThan(restores.stream);
  const Spread cpu = ours.CpuSecondsOfGb();
  char note[160];
  std::snprintf(note, sizeof note,
                "%.3g GB/s of rows, %.3g on the wire, %u codec threads; %.3g "
                "GB/s of rows decoded by the CPU",
                ours.RawRate().median, ours.WireRate().median,
                DeviceRace::CodecThreads(), restores.host.RawRate().median);
  return std::vector<BenchRow>{
      {.name = name,
       .value = wire.median,
       .spread = wire.relative,
       .unit = "x",
       .reference = "bare Asio over loopback, as many bytes, GB/s",
       .reference_value = restores.bare.WireRate().median,
       .note = note},
      {.name = name + ".stream",
       .value = stream.median,
       .spread = stream.relative,
       .unit = "x",
       .reference = "the daemon's stream, not decoded, GB/s",
       .reference_value = restores.stream.WireRate().median,
       .target = kStreamTarget,
       .has_target = true},
      {.name = name + ".cpu_seconds",
       .value = cpu.median,
       .spread = cpu.relative,
       .unit = "s/GB",
       .reference = "into host memory, decoded by the CPU, s/GB",
       .reference_value = restores.host.CpuSecondsOfGb().median}};
}

bool RegisterAll() {
  for (const RaceCodec& codec : kRaceCodecs) {
    Register({std::string("feed.") + codec.name,
              "restores into a device that takes no time",
              [&codec](const BenchContext& context) {
                return Feed(context, codec);
              }});
  }
  return true;
}
const bool kRegistered = RegisterAll();

}  // namespace
}  // namespace reprise::bench
