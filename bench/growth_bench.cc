// `growth`: a session that grows and is saved again and again, as the research
// series measured it: what the store holds in the end, against the sum of all
// snapshots that a whole-snapshot saver would have written (history ratio) and
// against one state (state ratio). Real KV, codec `exact`, and every byte that
// comes back is compared.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/daemon_process.h"
#include "bench/kv_file.h"
#include "bench/kv_memory.h"
#include "client/client.h"

namespace reprise::bench {
namespace {

constexpr uint64_t kLengths[] = {128, 256, 512, 1024};

struct Setup {
  KvDump train, dump;
  std::unique_ptr<DaemonProcess> daemon;
  std::unique_ptr<Client> client;
  Model model;

  Status Start(const BenchContext& context, const std::string& name) {
    REPRISE_ASSIGN_OR_RETURN(train,
                             ReadKvDump(context.data_dir + "/" + kDumpF16A));
    REPRISE_ASSIGN_OR_RETURN(dump,
                             ReadKvDump(context.data_dir + "/" + kDumpF16B));
    REPRISE_ASSIGN_OR_RETURN(
        daemon, DaemonProcess::Start(context.work_dir + "/" + name, {}));
    REPRISE_ASSIGN_OR_RETURN(client,
                             Client::Connect({.endpoint = daemon->endpoint()}));
    REPRISE_ASSIGN_OR_RETURN(model, client->RegisterModel(dump.spec));
    // Its first save fits the profile, on another text.
    return Save("train", train, train.tokens.size());
  }

  Status Save(const std::string& session, const KvDump& from, uint64_t count) {
    SaveRequest save;
    save.model = model;
    save.tokens = std::span(from.tokens).first(count);
    save.kv = MemoryOver<KvView>(from, from.planes.data(), count);
    save.synced = false;
    return client->Save(session, save).status();
  }

  // kDataLoss unless what comes back is what was saved, bit for bit.
  Status Verify(const std::string& session, uint64_t count) {
    Bytes planes(dump.planes.size());
    RestoreRequest restore;
    restore.model = model;
    restore.make_sink = [&](const RestoreInfo&) -> Result<KvSink> {
      return MemoryOver<KvSink>(dump, planes.data(), count);
    };
    REPRISE_ASSIGN_OR_RETURN(const RestoreResult result,
                             client->Restore(session, restore));
    uint64_t offset = 0;
    for (const LayerSpec& layer : dump.spec.layers) {
      for (const PlaneSpec& plane : layer.planes) {
        const uint64_t row = plane.token_bytes();
        if (result.valid_end != count ||
            std::memcmp(planes.data() + offset, dump.planes.data() + offset,
                        row * count) != 0) {
          return DataLossError("growth: other bits came back");
        }
        offset += row * dump.tokens.size();
      }
    }
    return Status();
  }
};

struct Growth {
  double history_bytes = 0;  // of all snapshots
  double state_bytes = 0;    // of the last one
  double stored_bytes = 0;   // frames and records of the head's state
  uint64_t snapshots = 0;
};

void AddRows(const std::string& name, const Growth& growth,
             std::vector<BenchRow>* rows) {
  rows->push_back({.name = name + ".history",
                   .value = growth.history_bytes / growth.stored_bytes,
                   .unit = "x",
                   .reference = "f16 snapshots",
                   .reference_value = static_cast<double>(growth.snapshots)});
  rows->push_back({.name = name + ".state",
                   .value = growth.state_bytes / growth.stored_bytes,
                   .unit = "x",
                   .reference = "one f16 state, MB",
                   .reference_value = growth.state_bytes / 1e6});
}

// Saves after every `turn` tokens.
Status Grow(const BenchContext& context, const std::string& name, uint64_t turn,
            std::vector<BenchRow>* rows) {
  Setup setup;
  REPRISE_RETURN_IF_ERROR(setup.Start(context, name));
  const uint64_t longest = context.quick ? kLengths[0] : kLengths[3];
  const auto token_bytes = static_cast<double>(setup.dump.spec.token_bytes());
  Growth growth;
  for (uint64_t count = turn; count <= longest; count += turn) {
    REPRISE_RETURN_IF_ERROR(setup.Save("grown", setup.dump, count));
    growth.state_bytes = token_bytes * static_cast<double>(count);
    growth.history_bytes += growth.state_bytes;
    ++growth.snapshots;
    const bool is_shown = std::find(std::begin(kLengths), std::end(kLengths),
                                    count) != std::end(kLengths);
    if (!is_shown) continue;
    REPRISE_RETURN_IF_ERROR(setup.Verify("grown", count));
    REPRISE_ASSIGN_OR_RETURN(const SessionDetails details,
                             setup.client->Describe("grown"));
    growth.stored_bytes =
        static_cast<double>(details.frame_bytes + details.record_bytes);
    AddRows("growth." + name + "." + std::to_string(count), growth, rows);
  }
  return Status();
}

Result<std::vector<BenchRow>> RunGrowth(const BenchContext& context) {
  std::vector<BenchRow> rows;
  REPRISE_RETURN_IF_ERROR(Grow(context, "token", 1, &rows));
  REPRISE_RETURN_IF_ERROR(Grow(context, "turn", 128, &rows));
  return rows;
}

const bool kRegistered =
    Register({"growth",
              "a session saved after every token, and every 128: "
              "history and state ratio of exact",
              RunGrowth});

}  // namespace
}  // namespace reprise::bench
