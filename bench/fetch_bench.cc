// `fetch.loopback`: a streamed restore, verified, from a warm store, against a
// bare sender and receiver of the same bytes.
#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/loopback_reference.h"
#include "bench/plain_file.h"
#include "bench/synthetic_kv.h"
#include "client/client.h"

namespace reprise::bench {
namespace {

constexpr char kSession[] = "fetch";
constexpr uint64_t kWriteBytes = 1 << 20;

struct Setup {
  ModelSpec spec = EightBillionSpec();
  OnePageKv kv{spec};
  std::unique_ptr<DaemonProcess> daemon;
  std::unique_ptr<Client> client;
  Model model;

  Status Connect(const std::string& dir) {
    client.reset();
    daemon.reset();
    REPRISE_ASSIGN_OR_RETURN(daemon, DaemonProcess::Start(dir, {}));
    REPRISE_ASSIGN_OR_RETURN(client,
                             Client::Connect({.endpoint = daemon->endpoint()}));
    REPRISE_ASSIGN_OR_RETURN(model, client->RegisterModel(spec));
    return Status();
  }

  Status Restore(uint64_t token_count) {
    RestoreRequest request;
    request.model = model;
    request.make_sink = [&](const RestoreInfo&) -> Result<KvSink> {
      return kv.Sink(0, token_count);
    };
    REPRISE_ASSIGN_OR_RETURN(RestoreResult result,
                             client->Restore(kSession, request));
    if (result.valid_end == token_count) return Status();
    return DataLossError("fetch: restored to token " +
                         std::to_string(result.valid_end) + " of " +
                         std::to_string(token_count));
  }
};

Result<std::vector<BenchRow>> RunFetch(const BenchContext& context) {
  const uint64_t token_count = (context.quick ? 4 : 64) * kSegmentTokens;
  const std::string dir = context.work_dir + "/store";
  Setup setup;
  REPRISE_RETURN_IF_ERROR(setup.Connect(dir));
  const auto tokens = RandomTokens(token_count, 1);
  SaveRequest save;
  save.model = setup.model;
  save.tokens = tokens;
  save.kv = setup.kv.View(0, token_count);
  save.codec = "raw";
  REPRISE_ASSIGN_OR_RETURN(SaveResult saved,
                           setup.client->Save(kSession, save));
  const uint64_t bytes = saved.frame_bytes;

  Status status;
  const auto ours = [&] {
    if (Status s = setup.Restore(token_count); !s.ok()) status = s;
  };
  const auto bare = [&] { SendOverLoopback(bytes, kWriteBytes); };
  const Paired warm = TimeInTurn(context.quick ? 2 : 9, ours, bare);

  std::vector<double> cold;
  for (int i = 0; i < 3; ++i) {
    setup.client.reset();
    setup.daemon.reset();
    ForgetFiles(FilesOf(dir));
    REPRISE_RETURN_IF_ERROR(setup.Connect(dir));
    const double seconds = SecondsOf(ours);
    cold.push_back(warm.theirs_seconds / seconds);
  }
  REPRISE_RETURN_IF_ERROR(status);
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  const std::string text = "bare Asio over loopback, GB/s";
  const double reference = gigabytes / warm.theirs_seconds;
  const Spread cold_spread = MedianOf(cold);
  return std::vector<BenchRow>{
      {.name = "fetch.loopback",
       .value = warm.ratio.median,
       .spread = warm.ratio.relative,
       .unit = "x",
       .reference = text,
       .reference_value = reference,
       .target = 0.8,
       .has_target = true,
       .note = std::to_string(bytes >> 20) + " MiB in frames of 256 KiB"},
      {.name = "fetch.loopback.cold",
       .value = cold_spread.median,
       .spread = cold_spread.relative,
       .unit = "x",
       .reference = text,
       .reference_value = reference}};
}

const bool kRegistered =
    Register({"fetch.loopback",
              "streamed restore over a bare loopback transfer", RunFetch});

}  // namespace
}  // namespace reprise::bench
