// `gpu.CODEC`: whole sessions from the daemon, over loopback, into the paged
// cache of a device, and out of it: against the wire alone, against the same by
// the CPU in the host's memory, and what either costs the worker's processors.
//
// Decoding is hidden when a restore takes as long as a bare transfer of as
// many bytes. Where the daemon itself does not keep up with that,
// `gpu.CODEC.restore.stream` tells: the same frames as they come from it, with
// nobody to decode them.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/loopback_reference.h"
#include "bench/structured_kv.h"
#include "bench/synthetic_kv.h"
#include "client/client.h"
#include "codec/codec.h"
#include "gpu/device.h"
#include "gpu/host_device.h"

namespace reprise::bench {
namespace {

constexpr char kSession[] = "restored";
constexpr uint64_t kWriteBytes = 1 << 20;
constexpr uint64_t kChunkBytes = 16 << 20;
constexpr uint64_t kHostDeviceBytes = 4ull << 30;
// The first save with a wide profile inverts its matrices.
constexpr int64_t kTransferMs = 600'000;
constexpr unsigned kMostThreads = 8;
constexpr double kHidden = 0.9;

struct Coding {
  const char* name;
  const char* codec;  // as in a save
  // `exact` fits its own from the first save.
  bool wants_profile;
};
constexpr Coding kCodings[] = {{"raw", "raw", false},
                               {"exact", "exact", false},
                               {"tsc", "tsc:bits=8", false},
                               {"vq", "vq:worst=0.1", true},
                               {"klt", "klt:tier=near", true}};

struct Sizes {
  uint32_t layers, heads, dim;
  uint64_t restored_tokens, saved_tokens;
  int restores, saves;
};
// 1 GiB of an 8B-class model.
constexpr Sizes kFull = {32, 8, 128, 8192, 2048, 7, 5};
constexpr Sizes kQuick = {8, 4, 64, 256, 128, 2, 2};

Result<std::shared_ptr<Device>> DeviceFor(const BenchContext& context) {
  if (context.host_device) {
    return MakeHostDevice({.memory_bytes = kHostDeviceBytes});
  }
  return OpenDevice(context.device);
}

// Of all threads of this process: the daemon is another.
double ProcessorSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Half of them are the daemon's.
uint32_t CodecThreads() {
  return std::clamp(std::thread::hardware_concurrency() / 2, 1u, kMostThreads);
}

// One save or restore.
struct Sample {
  double seconds = 0;
  double layer0_seconds = 0;
  double processor_seconds = 0;
  uint64_t raw_bytes = 0;
  uint64_t wire_bytes = 0;
  uint64_t device_bytes = 0;  // of a save: encoded on the device
};

// Several of one kind.
class Series {
 public:
  void Add(const Sample& sample) { samples_.push_back(sample); }
  const Sample& last() const { return samples_.back(); }

  template <typename Of>
  Spread Median(Of of) const {
    std::vector<double> values;
    for (const Sample& sample : samples_) values.push_back(of(sample));
    return MedianOf(values);
  }
  Spread Seconds() const {
    return Median([](const Sample& s) { return s.seconds; });
  }
  Spread RawRate() const {
    return Median([](const Sample& s) {
      return static_cast<double>(s.raw_bytes) / 1e9 / s.seconds;
    });
  }
  Spread WireRate() const {
    return Median([](const Sample& s) {
      return static_cast<double>(s.wire_bytes) / 1e9 / s.seconds;
    });
  }
  Spread ProcessorSecondsOfGb() const {
    return Median([](const Sample& s) {
      return s.processor_seconds * 1e9 / static_cast<double>(s.raw_bytes);
    });
  }
  // Of those taken in turn: how many times as long the others took.
  Spread TimesFasterThan(const Series& others) const {
    std::vector<double> ratios;
    for (size_t i = 0; i < samples_.size(); ++i) {
      ratios.push_back(others.samples_[i].seconds / samples_[i].seconds);
    }
    return MedianOf(ratios);
  }

 private:
  std::vector<Sample> samples_;
};

// Rows of a cache in the host's memory or on the device.
struct Place {
  bool is_device = false;
  uint8_t* base = nullptr;
};

class DeviceRace {
 public:
  DeviceRace(const BenchContext& context, const Coding& coding)
      : context_(context),
        coding_(coding),
        sizes_(context.quick ? kQuick : kFull),
        kv_(sizes_.layers, sizes_.heads, sizes_.dim),
        cache_(kv_.spec(), sizes_.restored_tokens) {}

  Result<std::vector<BenchRow>> Run();

 private:
  Status Start();
  // To a daemon of its own, without a session.
  Status Connect(const char* engine);
  Status Upload(const uint8_t* rows);
  Status WaitForDevice();
  Result<Sample> Restore(const Place& place);
  Result<Sample> Stream();
  Sample SendBare(uint64_t bytes) const;
  Result<Sample> Save(const Place& place, uint64_t token_count,
                      const std::string& session);
  Result<Sample> SaveAndForget(const Place& place);
  // What either path left in its cache is the same, and was not there before.
  Status Blank();
  Status Compare();
  Status RaceRestores(std::vector<BenchRow>* rows);
  Status RaceSaves(std::vector<BenchRow>* rows);
  std::string NameOf(const char* what) const {
    return std::string("gpu.") + coding_.name + "." + what;
  }
  BenchRow Row(const std::string& name, const Spread& value, const char* unit,
               const std::string& reference, double reference_value) const;

  const BenchContext context_;
  const Coding coding_;
  const Sizes sizes_;
  const StructuredKv kv_;
  const PagedCache cache_;
  Bytes source_, on_host_;
  CodecId profiled_ = CodecId::kRaw;
  Bytes profile_;
  std::shared_ptr<Device> device_;
  DeviceBuffer on_device_;
  std::unique_ptr<DaemonProcess> daemon_;
  std::unique_ptr<Client> client_;
  Model model_;
  uint64_t saves_ = 0;
};

Status DeviceRace::Start() {
  REPRISE_ASSIGN_OR_RETURN(device_, DeviceFor(context_));
  REPRISE_ASSIGN_OR_RETURN(
      on_device_,
      DeviceBuffer::Make(device_, GpuMemory::kDevice, cache_.bytes()));
  source_.resize(cache_.bytes());
  on_host_.resize(cache_.bytes());
  kv_.Fill(cache_, source_.data());
  if (!coding_.wants_profile) return Status();
  REPRISE_ASSIGN_OR_RETURN(const CodecChoice choice,
                           ParseCodecChoice(coding_.codec));
  profiled_ = choice.codec->id();
  REPRISE_ASSIGN_OR_RETURN(profile_, kv_.Train(profiled_));
  return Status();
}

Status DeviceRace::Connect(const char* engine) {
  client_.reset();
  daemon_.reset();
  REPRISE_ASSIGN_OR_RETURN(
      daemon_, DaemonProcess::Start(context_.work_dir + "/" + engine,
                                    // Nothing of its own while it is timed.
                                    {"--engine", engine, "--collect-interval",
                                     "0", "--compact-interval", "0"}));
  ClientOptions options;
  options.endpoint = daemon_->endpoint();
  options.transfer_timeout_ms = kTransferMs;
  options.codec_threads = CodecThreads();
  options.device = device_;
  REPRISE_ASSIGN_OR_RETURN(client_, Client::Connect(options));
  REPRISE_ASSIGN_OR_RETURN(model_, client_->RegisterModel(kv_.spec()));
  if (!coding_.wants_profile) return Status();
  return client_->PutProfile(model_, profiled_, profile_).status();
}

Status DeviceRace::WaitForDevice() {
  REPRISE_ASSIGN_OR_RETURN(const GpuEvent done, device_->MakeEvent());
  Status status = device_->Record(done, nullptr);
  if (status.ok()) status = device_->Synchronize(done);
  device_->FreeEvent(done);
  return status;
}

Status DeviceRace::Upload(const uint8_t* rows) {
  REPRISE_RETURN_IF_ERROR(
      device_->CopyToDevice(on_device_.data(), rows, cache_.bytes(), nullptr));
  return WaitForDevice();
}

Result<Sample> DeviceRace::Restore(const Place& place) {
  Sample sample;
  const double processors = ProcessorSeconds();
  const auto start = std::chrono::steady_clock::now();
  const auto passed = [start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start)
        .count();
  };
  RestoreRequest request;
  request.model = model_;
  request.lowest = Tier::kArchive;
  request.make_sink = [&](const RestoreInfo& info) -> Result<KvSink> {
    KvSink sink = cache_.Over<KvSink>(place.base, info.tokens.size());
    sink.device.is_device = place.is_device;
    return sink;
  };
  request.on_layer = [&](uint32_t layer) {
    if (layer == 0) sample.layer0_seconds = passed();
  };
  const Result<RestoreResult> result = client_->Restore(kSession, request);
  sample.seconds = passed();
  sample.processor_seconds = ProcessorSeconds() - processors;
  if (!result.ok()) return result.status();
  if (result->valid_end != sizes_.restored_tokens) {
    return DataLossError("restore: came to token " +
                         std::to_string(result->valid_end) + " of " +
                         std::to_string(sizes_.restored_tokens));
  }
  sample.raw_bytes = result->raw_bytes;
  sample.wire_bytes = result->wire_bytes;
  return sample;
}

Result<Sample> DeviceRace::Stream() {
  Sample sample;
  Status status;
  sample.seconds = SecondsOf([&] {
    status = client_->Export(kSession, [&](ByteView bytes) {
      sample.wire_bytes += bytes.size();
      return Status();
    });
  });
  if (!status.ok()) return status;
  return sample;
}

Sample DeviceRace::SendBare(uint64_t bytes) const {
  Sample sample;
  sample.wire_bytes = bytes;
  sample.seconds = SecondsOf([&] { SendOverLoopback(bytes, kWriteBytes); });
  return sample;
}

Result<Sample> DeviceRace::Save(const Place& place, uint64_t token_count,
                                const std::string& session) {
  const auto tokens = RandomTokens(token_count, ++saves_);
  SaveRequest request;
  request.model = model_;
  request.tokens = tokens;
  request.kv =
      cache_.Over<KvView>(static_cast<const uint8_t*>(place.base), token_count);
  request.kv.device.is_device = place.is_device;
  request.codec = coding_.codec;
  request.synced = false;
  Sample sample;
  const double processors = ProcessorSeconds();
  Result<SaveResult> result = InternalError("save: not run");
  sample.seconds = SecondsOf([&] { result = client_->Save(session, request); });
  sample.processor_seconds = ProcessorSeconds() - processors;
  if (!result.ok()) return result.status();
  sample.raw_bytes = result->raw_bytes;
  sample.wire_bytes = result->wire_bytes;
  sample.device_bytes = result->device_bytes;
  return sample;
}

Result<Sample> DeviceRace::SaveAndForget(const Place& place) {
  const std::string session = "again";
  REPRISE_ASSIGN_OR_RETURN(const Sample sample,
                           Save(place, sizes_.saved_tokens, session));
  REPRISE_RETURN_IF_ERROR(client_->Remove(session));
  return sample;
}

Status DeviceRace::Blank() {
  std::fill(on_host_.begin(), on_host_.end(), uint8_t{0xff});
  REPRISE_RETURN_IF_ERROR(Upload(on_host_.data()));
  std::fill(on_host_.begin(), on_host_.end(), uint8_t{0});
  return Status();
}

Status DeviceRace::Compare() {
  Bytes chunk(std::min(kChunkBytes, cache_.bytes()));
  for (uint64_t at = 0; at < cache_.bytes(); at += chunk.size()) {
    const uint64_t count =
        std::min<uint64_t>(chunk.size(), cache_.bytes() - at);
    REPRISE_RETURN_IF_ERROR(device_->CopyToHost(
        chunk.data(), on_device_.data() + at, count, nullptr));
    REPRISE_RETURN_IF_ERROR(WaitForDevice());
    if (std::memcmp(chunk.data(), on_host_.data() + at, count) != 0) {
      return DataLossError("gpu: the device has other rows than the host");
    }
  }
  return Status();
}

BenchRow DeviceRace::Row(const std::string& name, const Spread& value,
                         const char* unit, const std::string& reference,
                         double reference_value) const {
  BenchRow row;
  row.name = name;
  row.value = value.median;
  row.spread = value.relative;
  row.unit = unit;
  row.reference = reference;
  row.reference_value = reference_value;
  row.note = device_->info().name;
  if (context_.host_device) row.note += ": no GPU, and no speed of one";
  return row;
}

Status DeviceRace::RaceRestores(std::vector<BenchRow>* rows) {
  const Place device = {true, on_device_.data()};
  const Place host = {false, on_host_.data()};
  REPRISE_RETURN_IF_ERROR(Blank());
  // What the first ones of a codec set up is not timed.
  REPRISE_RETURN_IF_ERROR(Restore(device).status());
  REPRISE_RETURN_IF_ERROR(Restore(host).status());
  REPRISE_RETURN_IF_ERROR(Compare());
  Series ours, by_cpu, stream, bare;
  for (int i = 0; i < sizes_.restores; ++i) {
    REPRISE_ASSIGN_OR_RETURN(const Sample restored, Restore(device));
    ours.Add(restored);
    bare.Add(SendBare(restored.wire_bytes));
    REPRISE_ASSIGN_OR_RETURN(const Sample streamed, Stream());
    stream.Add(streamed);
    REPRISE_ASSIGN_OR_RETURN(const Sample decoded, Restore(host));
    by_cpu.Add(decoded);
  }
  const std::string name = NameOf("restore");
  BenchRow wire = Row(name, ours.TimesFasterThan(bare), "x",
                      "bare Asio over loopback, as many bytes, GB/s",
                      bare.WireRate().median);
  wire.target = kHidden;
  wire.has_target = !context_.host_device;
  wire.note += "; " + std::to_string(ours.last().raw_bytes >> 20) +
               " MiB of rows as " +
               std::to_string(ours.last().wire_bytes >> 20) + " MiB, " +
               std::to_string(CodecThreads()) + " codec threads";
  rows->push_back(wire);
  rows->push_back(Row(name + ".stream", ours.TimesFasterThan(stream), "x",
                      "the daemon's stream, not decoded, GB/s",
                      stream.WireRate().median));
  rows->push_back(Row(name + ".host", ours.TimesFasterThan(by_cpu), "x",
                      "into host memory, decoded by the CPU, GB/s of rows",
                      by_cpu.RawRate().median));
  rows->push_back(Row(name + ".rows", ours.RawRate(), "GB/s",
                      "of them on the wire, GB/s", ours.WireRate().median));
  const Spread layer0 =
      ours.Median([](const Sample& s) { return s.layer0_seconds / s.seconds; });
  rows->push_back(Row(name + ".layer0", layer0, "x",
                      "until all layers are in place, ms",
                      1e3 * ours.Seconds().median));
  rows->push_back(Row(name + ".cpu_seconds", ours.ProcessorSecondsOfGb(),
                      "s/GB", "into host memory, decoded by the CPU, s/GB",
                      by_cpu.ProcessorSecondsOfGb().median));
  return Status();
}

Status DeviceRace::RaceSaves(std::vector<BenchRow>* rows) {
  const Place device = {true, on_device_.data()};
  const Place host = {false, source_.data()};
  REPRISE_RETURN_IF_ERROR(Upload(source_.data()));
  REPRISE_RETURN_IF_ERROR(SaveAndForget(device).status());
  REPRISE_RETURN_IF_ERROR(SaveAndForget(host).status());
  Series ours, by_cpu;
  for (int i = 0; i < sizes_.saves; ++i) {
    REPRISE_ASSIGN_OR_RETURN(const Sample saved, SaveAndForget(device));
    ours.Add(saved);
    REPRISE_ASSIGN_OR_RETURN(const Sample encoded, SaveAndForget(host));
    by_cpu.Add(encoded);
  }
  const std::string name = NameOf("save");
  rows->push_back(Row(name + ".host", ours.TimesFasterThan(by_cpu), "x",
                      "out of host memory, encoded by the CPU, GB/s of rows",
                      by_cpu.RawRate().median));
  const double encoded_there = 100 *
                               static_cast<double>(ours.last().device_bytes) /
                               static_cast<double>(ours.last().raw_bytes);
  rows->push_back(Row(name + ".rows", ours.RawRate(), "GB/s",
                      "of them encoded on the device, %", encoded_there));
  rows->push_back(Row(name + ".cpu_seconds", ours.ProcessorSecondsOfGb(),
                      "s/GB", "out of host memory, encoded by the CPU, s/GB",
                      by_cpu.ProcessorSecondsOfGb().median));
  return Status();
}

Result<std::vector<BenchRow>> DeviceRace::Run() {
  REPRISE_RETURN_IF_ERROR(Start());
  REPRISE_RETURN_IF_ERROR(Connect("rocksdb"));
  const Place host = {false, source_.data()};
  REPRISE_RETURN_IF_ERROR(
      Save(host, sizes_.restored_tokens, kSession).status());
  std::vector<BenchRow> rows;
  REPRISE_RETURN_IF_ERROR(RaceRestores(&rows));
  // What a disk makes of saves, `save.written` says.
  REPRISE_RETURN_IF_ERROR(Connect("memory"));
  REPRISE_RETURN_IF_ERROR(RaceSaves(&rows));
  return rows;
}

std::string WhyNot(const BenchContext& context) {
  const Result<std::shared_ptr<Device>> device = DeviceFor(context);
  return device.ok() ? "" : std::string(device.status().message());
}

// Each codec by itself: one that fails does not take the others' rows along.
bool RegisterAll() {
  for (const Coding& coding : kCodings) {
    Register({std::string("gpu.") + coding.name,
              "sessions from the daemon into a device's memory, and out of it",
              [&coding](const BenchContext& context) {
                return DeviceRace(context, coding).Run();
              },
              WhyNot});
  }
  return true;
}
const bool kRegistered = RegisterAll();

}  // namespace
}  // namespace reprise::bench
