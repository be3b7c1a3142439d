#include "bench/device_race.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "bench/loopback_reference.h"
#include "bench/synthetic_kv.h"

namespace reprise::bench {
namespace {

constexpr char kSession[] = "restored";
constexpr uint64_t kWriteBytes = 1 << 20;
constexpr uint64_t kChunkBytes = 16 << 20;
// The first save with a wide profile inverts its matrices.
constexpr int64_t kTransferMs = 600'000;
constexpr unsigned kMostThreads = 8;

// Of all threads of this process: the daemon is another.
double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

template <typename Of>
Spread RaceSeries::Median(Of of) const {
  std::vector<double> values;
  for (const RaceSample& sample : samples_) values.push_back(of(sample));
  return MedianOf(values);
}

Spread RaceSeries::Seconds() const {
  return Median([](const RaceSample& s) { return s.seconds; });
}

Spread RaceSeries::RawRate() const {
  return Median([](const RaceSample& s) {
    return static_cast<double>(s.raw_bytes) / 1e9 / s.seconds;
  });
}

Spread RaceSeries::WireRate() const {
  return Median([](const RaceSample& s) {
    return static_cast<double>(s.wire_bytes) / 1e9 / s.seconds;
  });
}

Spread RaceSeries::CpuSecondsOfGb() const {
  return Median([](const RaceSample& s) {
    return s.cpu_seconds * 1e9 / static_cast<double>(s.raw_bytes);
  });
}

Spread RaceSeries::Layer0Share() const {
  return Median(
      [](const RaceSample& s) { return s.layer0_seconds / s.seconds; });
}

Spread RaceSeries::TimesFasterThan(const RaceSeries& others) const {
  std::vector<double> ratios;
  for (size_t i = 0; i < samples_.size(); ++i) {
    ratios.push_back(others.samples_[i].seconds / samples_[i].seconds);
  }
  return MedianOf(ratios);
}

DeviceRace::DeviceRace(const Options& options)
    : options_(options),
      kv_(options.sizes.layers, options.sizes.heads, options.sizes.dim),
      cache_(kv_.spec(), options.sizes.restored_tokens) {}

uint32_t DeviceRace::CodecThreads() {
  return std::clamp(std::thread::hardware_concurrency() / 2, 1u, kMostThreads);
}

Status DeviceRace::Start() {
  REPRISE_ASSIGN_OR_RETURN(
      on_device_,
      DeviceBuffer::Make(options_.device, GpuMemory::kDevice, cache_.bytes()));
  source_.resize(cache_.bytes());
  on_host_.resize(cache_.bytes());
  kv_.Fill(cache_, source_.data());
  if (!options_.codec.wants_profile) return Status();
  REPRISE_ASSIGN_OR_RETURN(const CodecChoice choice,
                           ParseCodecChoice(options_.codec.codec));
  profiled_ = choice.codec->id();
  REPRISE_ASSIGN_OR_RETURN(profile_, kv_.Train(profiled_));
  return Status();
}

Status DeviceRace::Connect(const char* engine) {
  client_.reset();
  daemon_.reset();
  REPRISE_ASSIGN_OR_RETURN(
      daemon_, DaemonProcess::Start(options_.work_dir + "/" + engine,
                                    // Nothing of its own while it is timed.
                                    {"--engine", engine, "--collect-interval",
                                     "0", "--compact-interval", "0"}));
  ClientOptions options;
  options.endpoint = daemon_->endpoint();
  options.transfer_timeout_ms = kTransferMs;
  options.codec_threads = CodecThreads();
  options.device = options_.device;
  REPRISE_ASSIGN_OR_RETURN(client_, Client::Connect(options));
  REPRISE_ASSIGN_OR_RETURN(model_, client_->RegisterModel(kv_.spec()));
  if (!options_.codec.wants_profile) return Status();
  return client_->PutProfile(model_, profiled_, profile_).status();
}

Status DeviceRace::Upload(const uint8_t* rows) {
  REPRISE_RETURN_IF_ERROR(options_.device->CopyToDevice(
      on_device_.data(), rows, cache_.bytes(), nullptr));
  return options_.device->Drain(nullptr);
}

Result<RaceSample> DeviceRace::Restore(const Place& place) {
  RaceSample sample;
  const double before = CpuSeconds();
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
  sample.cpu_seconds = CpuSeconds() - before;
  if (!result.ok()) return result.status();
  if (result->valid_end != options_.sizes.restored_tokens) {
    return DataLossError("restore: came to token " +
                         std::to_string(result->valid_end) + " of " +
                         std::to_string(options_.sizes.restored_tokens));
  }
  sample.raw_bytes = result->raw_bytes;
  sample.wire_bytes = result->wire_bytes;
  return sample;
}

Result<RaceSample> DeviceRace::Stream() {
  RaceSample sample;
  uint64_t before_frames = 0;
  auto start = std::chrono::steady_clock::now();
  REPRISE_RETURN_IF_ERROR(client_->Export(kSession, [&](ByteView bytes) {
    // The profile, which a restore has in its cache, comes first. Frames that
    // arrived meanwhile, at most 8 MiB, count in the stream's favour.
    if (before_frames < profile_.size()) {
      before_frames += bytes.size();
      start = std::chrono::steady_clock::now();
    } else {
      sample.wire_bytes += bytes.size();
    }
    return Status();
  }));
  sample.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return sample;
}

RaceSample DeviceRace::SendBare(uint64_t bytes) const {
  RaceSample sample;
  sample.wire_bytes = bytes;
  sample.seconds = SecondsOf([&] { SendOverLoopback(bytes, kWriteBytes); });
  return sample;
}

Result<RaceSample> DeviceRace::Save(const Place& place, uint64_t token_count,
                                    const std::string& session) {
  const auto tokens = RandomTokens(token_count, ++saves_);
  SaveRequest request;
  request.model = model_;
  request.tokens = tokens;
  request.kv =
      cache_.Over<KvView>(static_cast<const uint8_t*>(place.base), token_count);
  request.kv.device.is_device = place.is_device;
  request.codec = options_.codec.codec;
  request.synced = false;
  RaceSample sample;
  const double before = CpuSeconds();
  Result<SaveResult> result = InternalError("save: not run");
  sample.seconds = SecondsOf([&] { result = client_->Save(session, request); });
  sample.cpu_seconds = CpuSeconds() - before;
  if (!result.ok()) return result.status();
  sample.raw_bytes = result->raw_bytes;
  sample.wire_bytes = result->wire_bytes;
  sample.device_bytes = result->device_bytes;
  return sample;
}

Result<RaceSample> DeviceRace::SaveAndForget(const Place& place) {
  const std::string session = "again";
  REPRISE_ASSIGN_OR_RETURN(const RaceSample sample,
                           Save(place, options_.sizes.saved_tokens, session));
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
    REPRISE_RETURN_IF_ERROR(options_.device->CopyToHost(
        chunk.data(), on_device_.data() + at, count, nullptr));
    REPRISE_RETURN_IF_ERROR(options_.device->Drain(nullptr));
    if (std::memcmp(chunk.data(), on_host_.data() + at, count) != 0) {
      return DataLossError("gpu: the device has other rows than the host");
    }
  }
  return Status();
}

Result<RestoreRace> DeviceRace::RaceRestores() {
  REPRISE_RETURN_IF_ERROR(Connect("rocksdb"));
  REPRISE_RETURN_IF_ERROR(
      Save({false, source_.data()}, options_.sizes.restored_tokens, kSession)
          .status());
  const Place device = {true, on_device_.data()};
  const Place host = {false, on_host_.data()};
  REPRISE_RETURN_IF_ERROR(Blank());
  // What the first ones of a codec set up is not timed.
  REPRISE_RETURN_IF_ERROR(Restore(device).status());
  REPRISE_RETURN_IF_ERROR(Restore(host).status());
  if (!options_.is_idle) REPRISE_RETURN_IF_ERROR(Compare());
  RestoreRace race;
  for (int i = 0; i < options_.sizes.restores; ++i) {
    REPRISE_ASSIGN_OR_RETURN(const RaceSample restored, Restore(device));
    race.device.Add(restored);
    race.bare.Add(SendBare(restored.wire_bytes));
    REPRISE_ASSIGN_OR_RETURN(const RaceSample streamed, Stream());
    race.stream.Add(streamed);
    REPRISE_ASSIGN_OR_RETURN(const RaceSample decoded, Restore(host));
    race.host.Add(decoded);
  }
  return race;
}

Result<SaveRace> DeviceRace::RaceSaves() {
  REPRISE_RETURN_IF_ERROR(Connect("memory"));
  const Place device = {true, on_device_.data()};
  const Place host = {false, source_.data()};
  REPRISE_RETURN_IF_ERROR(Upload(source_.data()));
  REPRISE_RETURN_IF_ERROR(SaveAndForget(device).status());
  REPRISE_RETURN_IF_ERROR(SaveAndForget(host).status());
  SaveRace race;
  for (int i = 0; i < options_.sizes.saves; ++i) {
    REPRISE_ASSIGN_OR_RETURN(const RaceSample saved, SaveAndForget(device));
    race.device.Add(saved);
    REPRISE_ASSIGN_OR_RETURN(const RaceSample encoded, SaveAndForget(host));
    race.host.Add(encoded);
  }
  return race;
}

}  // namespace reprise::bench
