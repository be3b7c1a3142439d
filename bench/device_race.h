// Saves and restores of one codec by two ways at once, for benchmarks: to and
// from the memory of a device, and the host's, of one state, against one
// daemon, in turn.
#ifndef REPRISE_BENCH_DEVICE_RACE_H_
#define REPRISE_BENCH_DEVICE_RACE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/structured_kv.h"
#include "client/client.h"
#include "codec/codec.h"
#include "gpu/device.h"

namespace reprise::bench {

struct RaceCodec {
  const char* name;   // in rows
  const char* codec;  // as in a save
  // `exact` fits its own from the first save.
  bool wants_profile;
};
inline constexpr RaceCodec kRaceCodecs[] = {{"raw", "raw", false},
                                            {"exact", "exact", false},
                                            {"tsc", "tsc:bits=8", false},
                                            {"vq", "vq:worst=0.1", true},
                                            {"klt", "klt:tier=near", true}};

struct RaceSizes {
  uint32_t layers, heads, dim;             // dim: a power of 2; heads: even
  uint64_t restored_tokens, saved_tokens;  // the first: no fewer
  int restores, saves;
};
// To see that it runs.
inline constexpr RaceSizes kQuickRace = {8, 4, 64, 256, 128, 2, 2};

// One save, restore or transfer.
struct RaceSample {
  double seconds = 0;
  double layer0_seconds = 0;
  double cpu_seconds = 0;  // of all threads of this process
  uint64_t raw_bytes = 0;
  uint64_t wire_bytes = 0;
  uint64_t device_bytes = 0;  // of a save: encoded on the device
};

// Several of one kind: medians.
class RaceSeries {
 public:
  void Add(const RaceSample& sample) { samples_.push_back(sample); }
  const RaceSample& last() const { return samples_.back(); }

  Spread Seconds() const;
  Spread RawRate() const;         // GB/s
  Spread WireRate() const;        // GB/s
  Spread CpuSecondsOfGb() const;  // of raw bytes
  Spread Layer0Share() const;     // of the whole time
  // Of those taken in turn: how many times as long the others took.
  Spread TimesFasterThan(const RaceSeries& others) const;

 private:
  template <typename Of>
  Spread Median(Of of) const;

  std::vector<RaceSample> samples_;
};

struct RestoreRace {
  RaceSeries device, host;
  RaceSeries stream;  // the frames, exported into nothing
  RaceSeries bare;    // as many bytes over loopback
};
struct SaveRace {
  RaceSeries device, host;
};

class DeviceRace {
 public:
  struct Options {
    std::string work_dir;
    RaceCodec codec;
    RaceSizes sizes;
    std::shared_ptr<Device> device;
    // It does nothing (idle_device.h): there are no rows to compare.
    bool is_idle = false;
  };
  explicit DeviceRace(const Options& options);

  // Makes the state and, where the codec wants one, its profile.
  Status Start();
  // kDataLoss when the two ways bring other rows.
  Result<RestoreRace> RaceRestores();
  // To a daemon that keeps them in memory: what a disk makes of saves,
  // `save.written` says.
  Result<SaveRace> RaceSaves();

  // Half of the processors, as the other half are the daemon's; at most 8.
  static uint32_t CodecThreads();

 private:
  // Rows of a cache in the host's memory or on the device.
  struct Place {
    bool is_device = false;
    uint8_t* base = nullptr;
  };

  // To a daemon of its own, without a session.
  Status Connect(const char* engine);
  Status Upload(const uint8_t* rows);
  Result<RaceSample> Restore(const Place& place);
  Result<RaceSample> Stream();
  RaceSample SendBare(uint64_t bytes) const;
  Result<RaceSample> Save(const Place& place, uint64_t token_count,
                          const std::string& session);
  Result<RaceSample> SaveAndForget(const Place& place);
  // What either way left in its cache is the same, and was not there before.
  Status Blank();
  Status Compare();

  const Options options_;
  const StructuredKv kv_;
  const PagedCache cache_;
  Bytes source_, on_host_;
  CodecId profiled_ = CodecId::kRaw;
  Bytes profile_;
  DeviceBuffer on_device_;
  std::unique_ptr<DaemonProcess> daemon_;
  std::unique_ptr<Client> client_;
  Model model_;
  uint64_t saves_ = 0;
};

}  // namespace reprise::bench

#endif  // REPRISE_BENCH_DEVICE_RACE_H_
