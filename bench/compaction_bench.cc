// What a compaction costs, on real KV in a store on the disk: `compact.drop`
// (layers dropped, against encoding anew), `compact.rate` (a whole job, against
// its codecs alone in memory) and `compact.space` (what the file system holds
// after a run, against what is live).
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/plain_file.h"
#include "bench/stored_kv.h"
#include "store/collector.h"
#include "store/rocks_engine.h"
#include "tools/compaction/compaction_run.h"
#include "tools/compaction/policy_wishes.h"
#include "tools/compaction/reclaim_hook.h"

namespace reprise::bench {
namespace {

constexpr char kKltProfile[] = "assets/smollm2.klt";
constexpr uint32_t kAllSegments = 16;  // of the dump

struct Store {
  ManualClock clock;
  std::string dir;
  KvDump dump;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Catalogue> catalogue;
  std::unique_ptr<StoredKv> kv;

  Status Open(const BenchContext& context) {
    dir = context.work_dir + "/store";
    REPRISE_ASSIGN_OR_RETURN(dump,
                             ReadKvDump(context.data_dir + "/" + kDumpF16B));
    REPRISE_ASSIGN_OR_RETURN(engine, OpenRocksEngine({.directory = dir}));
    REPRISE_ASSIGN_OR_RETURN(catalogue,
                             Catalogue::Open(engine.get(), &clock, {}));
    REPRISE_ASSIGN_OR_RETURN(
        kv, StoredKv::Make(catalogue.get(), &dump, kKltProfile));
    return Status();
  }
  std::string NameOf(uint64_t seed) const { return "s" + std::to_string(seed); }
};

// Sessions of one codec that sink together.
struct Batch {
  std::string_view codec;
  uint64_t sessions = 0;
  std::string_view policy;
  SinkResult expected = SinkResult::kEncoded;
};

struct JobFigures {
  double bytes_per_s = 0;    // raw ones
  uint64_t frame_bytes = 0;  // written
};

// Saves them, sinks them by a job of one thread, and removes them again. The
// figures are of the job alone.
Result<JobFigures> RunJob(Store* store, const Batch& batch, uint32_t segments,
                          uint64_t* seed) {
  REPRISE_RETURN_IF_ERROR(store->kv->Encode(batch.codec, segments));
  const uint64_t first = *seed;
  *seed += batch.sessions;
  for (uint64_t s = first; s < *seed; ++s) {
    REPRISE_RETURN_IF_ERROR(store->kv->Save(store->NameOf(s), s));
  }
  // What sinks has been idle for hours: the disk is done with it.
  REPRISE_RETURN_IF_ERROR(ReclaimRocksSpace(*store->engine, {}).status());
  PolicyRules rules;
  REPRISE_ASSIGN_OR_RETURN(rules.policy, ParsePolicy(batch.policy));
  Status status;
  CompactionTotals totals;
  const double seconds = SecondsOf([&] {
    PolicyWishes wishes(store->catalogue.get(), &rules);
    auto job = CompactionJob::Start(store->catalogue.get(), &wishes,
                                    {.holder = "bench"});
    status = job.status();
    while (status.ok() && !(*job)->ended()) status = (*job)->Step();
    if (status.ok()) totals = (*job)->Progress().totals;
  });
  REPRISE_RETURN_IF_ERROR(status);
  const uint64_t done = totals.segments[static_cast<size_t>(batch.expected)];
  if (done != batch.sessions * segments) {
    return InternalError("compact: " + std::to_string(done) +
                         " segments were " +
                         std::string(SinkResultName(batch.expected)) +
                         ", not " + std::to_string(batch.sessions * segments));
  }
  for (uint64_t s = first; s < *seed; ++s) {
    REPRISE_RETURN_IF_ERROR(
        store->catalogue->RemoveSession(store->kv->domain(), store->NameOf(s)));
  }
  const auto raw =
      static_cast<double>(batch.sessions * store->kv->session_raw_bytes());
  return JobFigures{raw / seconds, totals.bytes_written};
}

Result<std::vector<BenchRow>> RunDrop(const BenchContext& context) {
  const uint32_t segments = context.quick ? 2 : kAllSegments;
  // 1 GiB of state, and 140 MB: the slower side is given less to do, but so
  // much that what a job does once with a profile does not count.
  const Batch drop{.codec = "klt:tier=near",
                   .sessions = context.quick ? 4u : 46u,
                   .policy = "coarse",
                   .expected = SinkResult::kDerived};
  const Batch encode{.codec = "exact",
                     .sessions = context.quick ? 2u : 6u,
                     .policy = "coarse"};
  Store store;
  REPRISE_RETURN_IF_ERROR(store.Open(context));
  std::vector<double> ratios, dropped, encoded;
  uint64_t seed = 1;
  for (int i = 0; i < (context.quick ? 1 : 4); ++i) {
    REPRISE_ASSIGN_OR_RETURN(const JobFigures fast,
                             RunJob(&store, drop, segments, &seed));
    REPRISE_ASSIGN_OR_RETURN(const JobFigures slow,
                             RunJob(&store, encode, segments, &seed));
    // The first of each warms up.
    if (i == 0 && !context.quick) continue;
    dropped.push_back(fast.bytes_per_s);
    encoded.push_back(slow.bytes_per_s);
    ratios.push_back(fast.bytes_per_s / slow.bytes_per_s);
  }
  const Spread ratio = MedianOf(ratios);
  char note[120];
  std::snprintf(note, sizeof note,
                "%.3g GiB a second from near to coarse, all of the job",
                MedianOf(dropped).median / (1 << 30));
  return std::vector<BenchRow>{
      {.name = "compact.drop",
       .value = ratio.median,
       .spread = ratio.relative,
       .unit = "x",
       .reference = "a job that encodes coarse from exact, GB/s",
       .reference_value = MedianOf(encoded).median / 1e9,
       .target = 50,
       .has_target = true,
       .note = note}};
}

struct RateCase {
  const char* name;
  Batch batch;
  Tier tier;
  const char* ladder;
};

Result<BenchRow> MeasureRate(const BenchContext& context, Store* store,
                             const RateCase& what, uint64_t* seed) {
  const uint32_t segments = context.quick ? 2 : kAllSegments;
  REPRISE_RETURN_IF_ERROR(store->kv->Encode(what.batch.codec, segments));
  const auto ladders = BuiltInLadders();
  REPRISE_ASSIGN_OR_RETURN(
      const TierCodec codec,
      store->kv->CodecFor(*FindLadder(ladders, what.ladder), what.tier));
  std::vector<double> ratios, alone, disk;
  for (int i = 0; i < (context.quick ? 2 : 6); ++i) {
    Status status;
    const double seconds = SecondsOf([&] {
      for (uint64_t s = 0; s < what.batch.sessions && status.ok(); ++s) {
        status = store->kv->Recode(codec);
      }
    });
    REPRISE_RETURN_IF_ERROR(status);
    REPRISE_ASSIGN_OR_RETURN(const JobFigures job,
                             RunJob(store, what.batch, segments, seed));
    if (i == 0) continue;
    const double writing = SecondsOf([&] {
      WritePlainFile(context.work_dir + "/plain", 2 * job.frame_bytes, 0);
    });
    disk.push_back(seconds / writing);
    const auto raw = static_cast<double>(what.batch.sessions *
                                         store->kv->session_raw_bytes());
    alone.push_back(raw / seconds);
    ratios.push_back(job.bytes_per_s / alone.back());
  }
  const Spread ratio = MedianOf(ratios);
  // The store writes a frame twice: to its log and to a blob file.
  char bound[80];
  std::snprintf(bound, sizeof bound, "; writing them twice alone: %.2f x",
                MedianOf(disk).median);
  return BenchRow{.name = what.name,
                  .value = ratio.median,
                  .spread = ratio.relative,
                  .unit = "x",
                  .reference = "decode and encode in memory, GB/s",
                  .reference_value = MedianOf(alone).median / 1e9,
                  .target = 0.7,
                  .has_target = true,
                  .note = std::string(what.batch.codec) + " to " +
                          std::string(what.batch.policy) +
                          ", encoded on one thread, with one beside it that "
                          "writes, syncs, reads back, checks and publishes" +
                          bound};
}

Result<std::vector<BenchRow>> RunRate(const BenchContext& context) {
  const uint64_t sessions = context.quick ? 1 : 8;
  // 470 MB a run: of the fast codecs the time would be too short.
  const uint64_t many = context.quick ? 1 : 20;
  const RateCase cases[] = {
      {"compact.rate",
       {.codec = "exact", .sessions = sessions, .policy = "near"},
       Tier::kNear,
       "default"},
      {"compact.rate.tsc8",
       {.codec = "exact", .sessions = many, .policy = "series: near"},
       Tier::kNear,
       "series"},
      {"compact.rate.tsc4",
       {.codec = "tsc:bits=8", .sessions = many, .policy = "series: coarse"},
       Tier::kCoarse,
       "series"},
      {"compact.rate.vq",
       {.codec = "tsc:bits=4",
        .sessions = sessions,
        .policy = "series: archive"},
       Tier::kArchive,
       "series"}};
  Store store;
  REPRISE_RETURN_IF_ERROR(store.Open(context));
  REPRISE_ASSIGN_OR_RETURN(const KvDump fit,
                           ReadKvDump(context.data_dir + "/" + kDumpF16A));
  REPRISE_RETURN_IF_ERROR(store.kv->PutTrained("vq", fit));
  std::vector<BenchRow> rows;
  uint64_t seed = 1;
  for (const RateCase& each : cases) {
    REPRISE_ASSIGN_OR_RETURN(rows.emplace_back(),
                             MeasureRate(context, &store, each, &seed));
  }
  return rows;
}

// --- Space. ---

uint64_t DiskBytes(const std::string& dir) {
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(dir)) {
    bytes += file.file_size();
  }
  return bytes;
}

// Of all objects that there are; the little in records and keys counts as
// overhead.
Result<uint64_t> LiveBytes(Engine* engine) {
  uint64_t bytes = 0;
  for (const ObjectSpace space : kAllObjectSpaces) {
    std::string cursor;
    for (;;) {
      std::vector<ObjectStore::Listed> listed;
      REPRISE_RETURN_IF_ERROR(engine->List(space, "", cursor, 1000, &listed));
      if (listed.empty()) break;
      for (const auto& object : listed) bytes += object.bytes;
      cursor = listed.back().key;
    }
  }
  return bytes;
}

Status Collect(Store* store) {
  const auto collector = MakeCollector(store->catalogue.get(), {});
  while (collector->phase() != Collector::Phase::kDone) {
    const int64_t wait_ms =
        collector->wait_until_ms() - store->clock.MonotonicMs();
    if (wait_ms > 0) store->clock.AdvanceMs(wait_ms);
    REPRISE_RETURN_IF_ERROR(collector->Step());
  }
  return Status();
}

Result<std::vector<BenchRow>> RunSpace(const BenchContext& context) {
  // Every third session is pinned and stays exact, so that files hold what
  // goes beside what stays.
  const uint64_t sessions = context.quick ? 6 : 330;
  const uint32_t segments = context.quick ? 2 : kAllSegments;
  Store store;
  REPRISE_RETURN_IF_ERROR(store.Open(context));
  REPRISE_RETURN_IF_ERROR(store.kv->Encode("exact", segments));
  for (uint64_t s = 0; s < sessions; ++s) {
    REPRISE_RETURN_IF_ERROR(store.kv->Save(store.NameOf(s), s + 1));
    if (s % 3 != 0) continue;
    REPRISE_RETURN_IF_ERROR(
        store.catalogue->Pin(store.kv->domain(), store.NameOf(s), kForeverMs)
            .status());
  }
  REPRISE_RETURN_IF_ERROR(store.engine->Sync());
  const uint64_t before = DiskBytes(store.dir);
  PolicyRules rules;
  REPRISE_ASSIGN_OR_RETURN(rules.policy, ParsePolicy("series: near"));
  RunOptions options;
  options.job.holder = "bench";
  options.job.sinker.threads = 2;
  RunHooks hooks;
  hooks.collect = [&](std::atomic<bool>*) { return Collect(&store); };
  hooks.reclaim = MakeReclaimHook(store.engine.get(), {store.dir, {}, 0});
  CompactionRun run(store.catalogue.get(), rules, options, std::move(hooks));
  Status status;
  const double seconds = SecondsOf([&] { status = run.Run(); });
  REPRISE_RETURN_IF_ERROR(status);
  const uint64_t after = DiskBytes(store.dir);
  REPRISE_ASSIGN_OR_RETURN(const uint64_t live, LiveBytes(store.engine.get()));
  if (!context.quick && live < (4ull << 30)) {
    return InternalError("compact: only " + std::to_string(live) +
                         " bytes are live");
  }
  char note[160];
  std::snprintf(note, sizeof note,
                "%.0f MiB on the disk before, %.0f after; a run of %.0f s",
                static_cast<double>(before) / (1 << 20),
                static_cast<double>(after) / (1 << 20), seconds);
  return std::vector<BenchRow>{
      {.name = "compact.space",
       .value = static_cast<double>(after) / static_cast<double>(live),
       .unit = "x",
       .reference = "live bytes, GiB",
       .reference_value = static_cast<double>(live) / (1ull << 30),
       .target = 1.15,
       // A few files' fixed size is more than a few sessions.
       .has_target = !context.quick,
       .lower_is_better = true,
       .note = note}};
}

const bool kRegistered =
    Register({"compact.drop", "sinking by dropping layers, over encoding anew",
              RunDrop}) &&
    Register(
        {"compact.rate", "a compaction over its codecs in memory", RunRate}) &&
    Register({"compact.space",
              "bytes on the disk after a run, over those that are live",
              RunSpace});

}  // namespace
}  // namespace reprise::bench
