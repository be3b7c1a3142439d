// `compact.interference`: how much longer the slowest fetches take while the
// daemon compacts at its default rate.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/kv_file.h"
#include "bench/kv_memory.h"
#include "bench/synthetic_kv.h"
#include "client/client.h"

namespace reprise::bench {
namespace {

constexpr int kReaders = 2;
constexpr uint64_t kFetchedTokens = 256;
constexpr char kPolicy[] = "series: near";

// One connection, and memory to restore into.
struct Reader {
  std::unique_ptr<Client> client;
  Model model;
  Bytes planes;

  Status Connect(const std::string& endpoint, const KvDump& dump) {
    REPRISE_ASSIGN_OR_RETURN(client, Client::Connect({.endpoint = endpoint}));
    REPRISE_ASSIGN_OR_RETURN(model, client->RegisterModel(dump.spec));
    planes.resize(dump.planes.size());
    return Status();
  }
  Status Fetch(const std::string& session, const KvDump& dump) {
    RestoreRequest request;
    request.model = model;
    request.make_sink = [&](const RestoreInfo&) -> Result<KvSink> {
      return MemoryOver<KvSink>(dump, planes.data(), kFetchedTokens);
    };
    REPRISE_ASSIGN_OR_RETURN(const RestoreResult result,
                             client->Restore(session, request));
    if (result.valid_end == kFetchedTokens) return Status();
    return DataLossError("interference: restored to token " +
                         std::to_string(result.valid_end));
  }
};

struct Sizes {
  int fetches = 250;  // of each reader, a window
  int windows = 5;    // of each kind
  uint64_t fetched_sessions = 16;
  uint64_t sinking_sessions = 120;
};

struct Setup {
  Sizes sizes;
  KvDump dump;
  std::unique_ptr<DaemonProcess> daemon;
  Reader operator_;
  std::vector<std::unique_ptr<Reader>> readers;

  static std::string FetchedName(uint64_t i) {
    return "fetched-" + std::to_string(i);
  }

  Status Start(const BenchContext& context) {
    if (context.quick) sizes = {5, 1, 2, 8};
    REPRISE_ASSIGN_OR_RETURN(dump,
                             ReadKvDump(context.data_dir + "/" + kDumpF16B));
    REPRISE_ASSIGN_OR_RETURN(daemon,
                             DaemonProcess::Start(context.work_dir + "/store",
                                                  {"--compact-interval", "0"}));
    REPRISE_RETURN_IF_ERROR(operator_.Connect(daemon->endpoint(), dump));
    for (int i = 0; i < kReaders; ++i) {
      readers.push_back(std::make_unique<Reader>());
      REPRISE_RETURN_IF_ERROR(
          readers.back()->Connect(daemon->endpoint(), dump));
    }
    for (uint64_t i = 0; i < sizes.fetched_sessions; ++i) {
      REPRISE_RETURN_IF_ERROR(Save(FetchedName(i), kFetchedTokens, i + 1));
      REPRISE_RETURN_IF_ERROR(
          operator_.client->Pin(FetchedName(i), kForeverMs).status());
    }
    for (uint64_t i = 0; i < sizes.sinking_sessions; ++i) {
      REPRISE_RETURN_IF_ERROR(
          Save("sinking-" + std::to_string(i), dump.tokens.size(), 1'000 + i));
    }
    return Status();
  }

  Status Save(const std::string& session, uint64_t count, uint64_t seed) {
    const auto tokens = RandomTokens(count, seed);
    SaveRequest save;
    save.model = operator_.model;
    save.tokens = tokens;
    save.kv = MemoryOver<KvView>(dump, dump.planes.data(), count);
    save.synced = false;
    return operator_.client->Save(session, save).status();
  }

  // Milliseconds of the slowest hundredth of fetches, of all readers at once.
  Result<double> MeasureP99() {
    std::vector<std::vector<double>> spent(readers.size());
    std::vector<Status> status(readers.size());
    std::vector<std::thread> threads;
    for (size_t r = 0; r < readers.size(); ++r) {
      threads.emplace_back([this, r, &spent, &status] {
        for (int i = 0; i < sizes.fetches && status[r].ok(); ++i) {
          const uint64_t which =
              (r + static_cast<uint64_t>(i)) % sizes.fetched_sessions;
          spent[r].push_back(1e3 * SecondsOf([&] {
                               status[r] =
                                   readers[r]->Fetch(FetchedName(which), dump);
                             }));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::vector<double> all;
    for (size_t r = 0; r < readers.size(); ++r) {
      REPRISE_RETURN_IF_ERROR(status[r]);
      all.insert(all.end(), spent[r].begin(), spent[r].end());
    }
    std::ranges::sort(all);
    return all[all.size() * 99 / 100];
  }

  Result<bool> IsSinking() {
    REPRISE_ASSIGN_OR_RETURN(
        const std::string text,
        operator_.client->Compact({.action = CompactCall::Action::kStatus}));
    const auto report = nlohmann::json::parse(text, nullptr, false);
    return report.value("phase", "") == "running" &&
           report.value("stage", "") == "policy" &&
           !report.value("preparing", true);
  }

  // The same while the daemon compacts, from before to after.
  Result<double> MeasureBesideAJob() {
    REPRISE_ASSIGN_OR_RETURN(auto beside,
                             Client::Connect({.endpoint = daemon->endpoint()}));
    CompactCall call;
    call.action = CompactCall::Action::kRun;
    call.policy = kPolicy;
    Status of_run;
    std::atomic<bool> is_over = false;
    std::thread running([&] {
      of_run = beside->Compact(call).status();
      is_over = true;
    });
    Result<bool> is_sinking = false;
    while (!is_over && is_sinking.ok() && !*is_sinking) {
      is_sinking = IsSinking();
    }
    Result<double> p99 = MeasureP99();
    is_sinking = IsSinking();
    const bool was_long_enough = !is_over && is_sinking.ok() && *is_sinking;
    (void)operator_.client->Compact({.action = CompactCall::Action::kCancel});
    running.join();
    REPRISE_RETURN_IF_ERROR(of_run);
    if (was_long_enough || !p99.ok()) return p99;
    return InternalError("interference: the job ended before the fetches did");
  }
};

Result<std::vector<BenchRow>> RunInterference(const BenchContext& context) {
  Setup setup;
  REPRISE_RETURN_IF_ERROR(setup.Start(context));
  REPRISE_RETURN_IF_ERROR(setup.MeasureP99().status());
  std::vector<double> ratios, alone, beside;
  for (int i = 0; i < setup.sizes.windows; ++i) {
    REPRISE_ASSIGN_OR_RETURN(alone.emplace_back(), setup.MeasureP99());
    REPRISE_ASSIGN_OR_RETURN(beside.emplace_back(), setup.MeasureBesideAJob());
    ratios.push_back(beside.back() / alone.back());
  }
  const Spread ratio = MedianOf(ratios);
  char note[160];
  std::snprintf(note, sizeof note,
                "%d readers, 256 tokens of SmolLM2 a fetch; %.3g ms beside it; "
                "exact to tsc of 8 bits at 64 MiB/s",
                kReaders, MedianOf(beside).median);
  return std::vector<BenchRow>{
      {.name = "compact.interference",
       .value = ratio.median,
       .spread = ratio.relative,
       .unit = "x",
       .reference = "p99 of the same fetches alone, ms",
       .reference_value = MedianOf(alone).median,
       .target = 1.5,
       .has_target = true,
       .lower_is_better = true,
       .note = note}};
}

const bool kRegistered = Register(
    {"compact.interference", "fetches beside a compaction, over fetches alone",
     RunInterference});

}  // namespace
}  // namespace reprise::bench
