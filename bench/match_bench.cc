// `match.2048`: a match of 2,048 segments (128K tokens), one round trip, in a
// store of a million segments.
#include <algorithm>

#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/synthetic_kv.h"
#include "client/client.h"

namespace reprise::bench {
namespace {

constexpr uint64_t kMatched = 2048;
constexpr uint64_t kSessionSegments = 16384;

// Sessions of a model so small that a million of its segments fit.
Status Fill(Client* client, const Model& model, OnePageKv* kv,
            uint64_t sessions) {
  for (uint64_t i = 0; i < sessions; ++i) {
    const auto tokens = RandomTokens(kSessionSegments * kSegmentTokens, i);
    SaveRequest save;
    save.model = model;
    save.tokens = tokens;
    save.kv = kv->View(0, tokens.size());
    save.codec = "raw";
    save.synced = false;
    const auto saved = client->Save("m" + std::to_string(i), save);
    if (!saved.ok()) return saved.status();
  }
  return Status();
}

Result<double> MatchMs(Client* client, const Model& model, uint64_t session) {
  auto tokens = RandomTokens(kSessionSegments * kSegmentTokens, session);
  tokens.resize(kMatched * kSegmentTokens);
  Status status;
  uint64_t matched = 0;
  const double seconds = SecondsOf([&] {
    auto result = client->Match(model, tokens, {});
    if (result.ok()) matched = result->tokens;
    if (!result.ok()) status = result.status();
  });
  REPRISE_RETURN_IF_ERROR(status);
  if (matched != tokens.size()) {
    return DataLossError("match: " + std::to_string(matched) + " tokens of " +
                         std::to_string(tokens.size()));
  }
  return seconds * 1e3;
}

BenchRow Row(const char* name, double value, double target, bool has_target) {
  return {.name = name,
          .value = value,
          .unit = "ms",
          .reference = "the client's hashing included",
          .target = target,
          .has_target = has_target,
          .lower_is_better = true};
}

Result<std::vector<BenchRow>> RunMatch(const BenchContext& context) {
  const std::string dir = context.work_dir + "/store";
  const uint64_t sessions = context.quick ? 2 : 62;  // 1,015,808 segments
  const ModelSpec spec = SyntheticSpec(1, 1, 1, 1);
  OnePageKv kv(spec);
  {
    REPRISE_ASSIGN_OR_RETURN(auto daemon, DaemonProcess::Start(dir, {}));
    REPRISE_ASSIGN_OR_RETURN(auto client,
                             Client::Connect({.endpoint = daemon->endpoint()}));
    REPRISE_ASSIGN_OR_RETURN(Model model, client->RegisterModel(spec));
    REPRISE_RETURN_IF_ERROR(Fill(client.get(), model, &kv, sessions));
  }
  REPRISE_ASSIGN_OR_RETURN(auto daemon, DaemonProcess::Start(dir, {}));
  REPRISE_ASSIGN_OR_RETURN(auto client,
                           Client::Connect({.endpoint = daemon->endpoint()}));
  REPRISE_ASSIGN_OR_RETURN(Model model, client->RegisterModel(spec));
  std::vector<double> cold;
  std::vector<double> warm;
  for (uint64_t i = 0; i < sessions; ++i) {
    REPRISE_ASSIGN_OR_RETURN(double ms, MatchMs(client.get(), model, i));
    cold.push_back(ms);
  }
  const int rounds = context.quick ? 20 : 500;
  for (int i = 0; i < rounds; ++i) {
    REPRISE_ASSIGN_OR_RETURN(double ms,
                             MatchMs(client.get(), model, i % sessions));
    warm.push_back(ms);
  }
  std::sort(warm.begin(), warm.end());
  return std::vector<BenchRow>{
      Row("match.2048", warm[warm.size() / 2], 3, true),
      Row("match.2048.p99", warm[warm.size() * 99 / 100], 6, true),
      Row("match.2048.cold", MedianOf(cold).median, 0, false)};
}

const bool kRegistered = Register(
    {"match.2048", "match of 2,048 segments among a million", RunMatch});

}  // namespace
}  // namespace reprise::bench
