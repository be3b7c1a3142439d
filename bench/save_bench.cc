// `save.synced`, `save.written` and `daemon.memory`: 4 GiB saved, flushes and
// compactions included, against writing the same bytes to a plain file.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/synthetic_kv.h"
#include "client/client.h"

namespace reprise::bench {
namespace {

constexpr uint64_t kWriteBytes = 1 << 20;
constexpr uint64_t kSegmentBytes = 8ull << 20;  // of EightBillionSpec
// A turn: 16 segments, 128 MiB.
constexpr uint64_t kTurnSegments = 16;
// What the daemon is told to use; memory is counted over these.
constexpr uint64_t kCacheBytes = 64ull << 20;
constexpr uint64_t kMemtableBytes = 256ull << 20;

void WritePlainFile(const std::string& path, uint64_t bytes, bool sync,
                    uint64_t sync_every) {
  std::filesystem::remove(path);
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  const Bytes buffer(kWriteBytes, 0x5a);
  for (uint64_t done = 0; done < bytes; done += kWriteBytes) {
    if (write(fd, buffer.data(), kWriteBytes) < 0) break;
    if (sync && (done + kWriteBytes) % sync_every == 0) fdatasync(fd);
  }
  // Both orders of battle pay for reaching the disk in the end: flushes and
  // compactions of the store are included too.
  fdatasync(fd);
  close(fd);
}

// Saves `segments` segments in turns, each a session of its own: what
// one conversation holds is bounded, what a fleet saves is not.
Status SaveTurns(Client* client, const Model& model, OnePageKv* kv,
                 uint64_t segments, bool synced, uint64_t seed) {
  for (uint64_t done = 0; done < segments; done += kTurnSegments) {
    const uint64_t turn = std::min(kTurnSegments, segments - done);
    const uint64_t token_count = turn * kSegmentTokens;
    const auto tokens = RandomTokens(token_count, seed + done);
    SaveRequest save;
    save.model = model;
    save.tokens = tokens;
    save.kv = kv->View(0, token_count);
    save.codec = "raw";
    save.synced = synced;
    const std::string session =
        "s" + std::to_string(seed) + "-" + std::to_string(done);
    const auto saved = client->Save(session, save);
    if (!saved.ok()) return saved.status();
  }
  return Status();
}

// Highest anonymous memory seen while it lives.
class MemoryWatch {
 public:
  explicit MemoryWatch(const DaemonProcess* daemon)
      : thread_([this, daemon] {
          while (!stop_) {
            peak_ = std::max<uint64_t>(peak_, daemon->AnonymousBytes());
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
          }
        }) {}
  ~MemoryWatch() { Stop(); }
  uint64_t Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return peak_;
  }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> peak_ = 0;
  std::thread thread_;
};

struct Figures {
  std::vector<double> ratios;
  double plain_seconds = 0;
  uint64_t peak_bytes = 0;
};

// One repetition: a fresh daemon and store, then a plain file.
Status SaveOnce(const BenchContext& context, uint64_t segments, bool synced,
                uint64_t seed, Figures* figures) {
  const std::string dir = context.work_dir + "/store";
  std::filesystem::remove_all(dir);
  const ModelSpec spec = EightBillionSpec();
  OnePageKv kv(spec);
  double ours = 0;
  {
    REPRISE_ASSIGN_OR_RETURN(
        auto daemon, DaemonProcess::Start(
                         dir, {"--block-cache", std::to_string(kCacheBytes),
                               "--memtable", std::to_string(kMemtableBytes)}));
    REPRISE_ASSIGN_OR_RETURN(auto client,
                             Client::Connect({.endpoint = daemon->endpoint()}));
    REPRISE_ASSIGN_OR_RETURN(Model model, client->RegisterModel(spec));
    MemoryWatch watch(daemon.get());
    Status status;
    ours = SecondsOf([&] {
      status = SaveTurns(client.get(), model, &kv, segments, synced, seed);
    });
    REPRISE_RETURN_IF_ERROR(status);
    figures->peak_bytes = std::max(figures->peak_bytes, watch.Stop());
  }
  const double plain = SecondsOf([&] {
    WritePlainFile(context.work_dir + "/plain", segments * kSegmentBytes,
                   synced, kTurnSegments * kSegmentBytes);
  });
  figures->ratios.push_back(plain / ours);
  figures->plain_seconds = plain;
  return Status();
}

Result<BenchRow> Measure(const BenchContext& context, const char* name,
                         uint64_t segments, int repetitions, bool synced,
                         double target, Figures* figures) {
  for (int i = 0; i < repetitions; ++i) {
    REPRISE_RETURN_IF_ERROR(
        SaveOnce(context, segments, synced, 1000 * (i + 1), figures));
  }
  const Spread ratio = MedianOf(figures->ratios);
  const double gigabytes = static_cast<double>(segments * kSegmentBytes) / 1e9;
  return BenchRow{.name = name,
                  .value = ratio.median,
                  .spread = ratio.relative,
                  .unit = "x",
                  .reference = synced ? "plain file, fdatasync a turn, GB/s"
                                      : "plain file, GB/s",
                  .reference_value = gigabytes / figures->plain_seconds,
                  .target = target,
                  .has_target = true,
                  .note = std::to_string(segments * kSegmentBytes >> 20) +
                          " MiB in turns of 128 MiB, raw codec"};
}

Result<std::vector<BenchRow>> RunSave(const BenchContext& context) {
  const uint64_t all = context.quick ? 32 : 512;  // 4 GiB
  const int repetitions = context.quick ? 1 : 3;
  Figures synced, written, burst;
  std::vector<BenchRow> rows;
  REPRISE_ASSIGN_OR_RETURN(
      BenchRow row,
      Measure(context, "save.synced", all, repetitions, true, 0.4, &synced));
  rows.push_back(row);
  REPRISE_ASSIGN_OR_RETURN(row, Measure(context, "save.written", all,
                                        repetitions, false, 0.4, &written));
  rows.push_back(row);
  REPRISE_ASSIGN_OR_RETURN(row, Measure(context, "save.burst", 16,
                                        2 * repetitions, true, 0.7, &burst));
  rows.push_back(row);
  const double over =
      static_cast<double>(std::max(synced.peak_bytes, written.peak_bytes)) -
      static_cast<double>(kCacheBytes + kMemtableBytes);
  rows.push_back({.name = "daemon.memory",
                  .value = over / (1 << 20),
                  .unit = "MiB",
                  .reference = "cache + memtables configured, MiB",
                  .reference_value =
                      static_cast<double>((kCacheBytes + kMemtableBytes) >> 20),
                  .target = 64,
                  .has_target = true,
                  .lower_is_better = true,
                  .note = "peak anonymous memory over what is configured"});
  return rows;
}

const bool kRegistered = Register(
    {"save", "saves against a plain file; the daemon's memory", RunSave});

}  // namespace
}  // namespace reprise::bench
