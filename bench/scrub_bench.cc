// `scrub.rate`: bytes that a scrub verifies a second against reading the same
// files from beginning to end, both without anything in the page cache.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/plain_file.h"
#include "bench/synthetic_kv.h"
#include "client/client.h"
#include "store/rocks_engine.h"
#include "store/scrub_job.h"

namespace reprise::bench {
namespace {

constexpr uint64_t kTurnSegments = 16;  // 128 MiB of EightBillionSpec
constexpr uint64_t kNoLimit = 1ull << 40;

// Sessions of one turn each, so that what a worker holds is bounded.
Status Fill(const std::string& dir, uint64_t segments) {
  REPRISE_ASSIGN_OR_RETURN(auto daemon, DaemonProcess::Start(dir, {}));
  REPRISE_ASSIGN_OR_RETURN(auto client,
                           Client::Connect({.endpoint = daemon->endpoint()}));
  const ModelSpec spec = EightBillionSpec();
  REPRISE_ASSIGN_OR_RETURN(Model model, client->RegisterModel(spec));
  OnePageKv kv(spec);
  for (uint64_t done = 0; done < segments; done += kTurnSegments) {
    const uint64_t count = kTurnSegments * kSegmentTokens;
    const auto tokens = RandomTokens(count, done + 1);
    SaveRequest save;
    save.model = model;
    save.tokens = tokens;
    save.kv = kv.View(0, count);
    save.codec = "raw";
    const auto saved = client->Save("s" + std::to_string(done), save);
    if (!saved.ok()) return saved.status();
  }
  return Status();
}

Result<uint64_t> Scrub(Catalogue* catalogue) {
  REPRISE_ASSIGN_OR_RETURN(
      const auto job, ScrubJob::Start(catalogue, {.bytes_per_s = kNoLimit,
                                                  .has_store_alone = true}));
  while (!job->ended()) REPRISE_RETURN_IF_ERROR(job->Step());
  if (job->report().finding_count > 0) {
    return DataLossError("scrub: " + job->report().findings[0].what);
  }
  return job->report().bytes_read;
}

Result<std::vector<BenchRow>> RunScrub(const BenchContext& context) {
  const std::string dir = context.work_dir + "/store";
  std::filesystem::remove_all(dir);
  REPRISE_RETURN_IF_ERROR(Fill(dir, context.quick ? 64 : 256));
  RocksOptions options;
  options.directory = dir;
  options.create_if_missing = false;
  REPRISE_ASSIGN_OR_RETURN(const auto engine, OpenRocksEngine(options));
  REPRISE_ASSIGN_OR_RETURN(const auto catalogue,
                           Catalogue::Open(engine.get(), &SystemClock(), {}));
  std::vector<BenchRow> rows;
  for (const bool cold : {true, false}) {
    Status status;
    uint64_t scrubbed = 0;
    uint64_t read = 0;
    const auto files = FilesOf(dir);
    const Paired paired = TimeInTurn(
        context.quick ? 3 : 7,
        [&] {
          if (cold) ForgetFiles(files);
          const Result<uint64_t> bytes = Scrub(catalogue.get());
          if (bytes.ok()) scrubbed = *bytes;
          if (!bytes.ok()) status = bytes.status();
        },
        [&] {
          if (cold) ForgetFiles(files);
          read = ReadFiles(files);
        });
    REPRISE_RETURN_IF_ERROR(status);
    // Of what each of them read: files hold garbage too.
    const double share =
        static_cast<double>(scrubbed) / static_cast<double>(read);
    rows.push_back(
        {.name = cold ? "scrub.rate" : "scrub.rate.cached",
         .value = paired.ratio.median * share,
         .spread = paired.ratio.relative,
         .unit = "x",
         .reference = cold ? "sequential read of the files, cold, GB/s"
                           : "the same from the page cache, GB/s",
         .reference_value =
             static_cast<double>(read) / 1e9 / paired.theirs_seconds,
         .target = cold ? 0.5 : 0,
         .has_target = cold,
         .note = std::to_string(scrubbed >> 20) + " MiB in frames of 256 KiB"});
  }
  return rows;
}

const bool kRegistered =
    Register({"scrub", "a scrub against reading the store's files", RunScrub});

}  // namespace
}  // namespace reprise::bench
