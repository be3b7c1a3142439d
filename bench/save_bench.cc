// `save.synced`, `save.written` and `daemon.memory`: 4 GiB saved, flushes and
// compactions included, against writing the same bytes to a plain file.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/plain_file.h"
#include "bench/synthetic_kv.h"
#include "client/client.h"

namespace reprise::bench {
namespace {

constexpr uint64_t kSegmentBytes = 8ull << 20;  // of EightBillionSpec
// A turn: 16 segments, 128 MiB.
constexpr uint64_t kTurnSegments = 16;
// A burst: 40 MiB, inside one of RocksDB's memtables of 64 MiB, to a daemon
// that has saved so much before and has written it out.
constexpr uint64_t kBurstSegments = 5;
constexpr uint64_t kBeforeBurstSegments = 16;
constexpr auto kWriteOut = std::chrono::milliseconds(1500);
// What the daemon is told to use; memory is counted over these.
constexpr uint64_t kCacheBytes = 64ull << 20;
constexpr uint64_t kMemtableBytes = 256ull << 20;

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

struct Work {
  const char* name = nullptr;
  uint64_t before = 0;  // segments saved first, and not timed
  uint64_t segments = 0;
  bool synced = true;
  double target = 0;  // 0: none
  int repetitions = 1;
};

// One repetition: a fresh daemon and store, then a plain file.
Status SaveOnce(const BenchContext& context, const Work& work, uint64_t seed,
                Figures* figures) {
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
    if (work.before > 0) {
      REPRISE_RETURN_IF_ERROR(SaveTurns(client.get(), model, &kv, work.before,
                                        work.synced, seed + 500'000));
      std::this_thread::sleep_for(kWriteOut);
    }
    MemoryWatch watch(daemon.get());
    Status status;
    ours = SecondsOf([&] {
      status =
          SaveTurns(client.get(), model, &kv, work.segments, work.synced, seed);
    });
    REPRISE_RETURN_IF_ERROR(status);
    figures->peak_bytes = std::max(figures->peak_bytes, watch.Stop());
  }
  // Both orders of battle pay for reaching the disk in the end: flushes and
  // compactions of the store are included too.
  const double plain = SecondsOf([&] {
    WritePlainFile(context.work_dir + "/plain", work.segments * kSegmentBytes,
                   work.synced ? kTurnSegments * kSegmentBytes : 0);
  });
  figures->ratios.push_back(plain / ours);
  figures->plain_seconds = plain;
  return Status();
}

Result<BenchRow> Measure(const BenchContext& context, const Work& work,
                         Figures* figures) {
  for (int i = 0; i < work.repetitions; ++i) {
    REPRISE_RETURN_IF_ERROR(SaveOnce(context, work, 1000 * (i + 1), figures));
  }
  const Spread ratio = MedianOf(figures->ratios);
  const uint64_t bytes = work.segments * kSegmentBytes;
  return BenchRow{.name = work.name,
                  .value = ratio.median,
                  .spread = ratio.relative,
                  .unit = "x",
                  .reference = work.synced
                                   ? "plain file, fdatasync a turn, GB/s"
                                   : "plain file, GB/s",
                  .reference_value =
                      static_cast<double>(bytes) / 1e9 / figures->plain_seconds,
                  .target = work.target,
                  .has_target = work.target > 0,
                  .note = std::to_string(bytes >> 20) +
                          " MiB in turns of at most 128 MiB, raw codec"};
}

Result<std::vector<BenchRow>> RunSave(const BenchContext& context) {
  const uint64_t all = context.quick ? 32 : 512;  // 4 GiB
  const int repetitions = context.quick ? 1 : 3;
  const Work works[] = {
      {.name = "save.synced",
       .segments = all,
       .target = 0.4,
       .repetitions = repetitions},
      {.name = "save.written",
       .segments = all,
       .synced = false,
       .target = 0.4,
       .repetitions = repetitions},
      {.name = "save.burst",
       .before = kBeforeBurstSegments,
       .segments = kBurstSegments,
       .target = 0.7,
       .repetitions = 3 * repetitions},
      // Beside it: twice a memtable, to a daemon just started.
      {.name = "save.burst.cold",
       .segments = kTurnSegments,
       .repetitions = 2 * repetitions}};
  std::vector<BenchRow> rows;
  uint64_t peak_bytes = 0;
  for (const Work& work : works) {
    Figures figures;
    REPRISE_ASSIGN_OR_RETURN(rows.emplace_back(),
                             Measure(context, work, &figures));
    peak_bytes = std::max(peak_bytes, figures.peak_bytes);
  }
  const double over = static_cast<double>(peak_bytes) -
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
