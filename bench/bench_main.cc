// Runs benchmarks by name: `bench [NAME...] [--json FILE]`. A name selects
// every benchmark that starts with it. Exit status: 0 all of them ran, or were
// skipped beside others; 1 one failed; 3 all were skipped.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench.h"

namespace reprise::bench {
namespace {

constexpr int kAllSkipped = 3;

void PrintRow(const BenchRow& row) {
  std::string target = "-";
  if (row.has_target) {
    char text[64];
    std::snprintf(text, sizeof text, "%s %.4g %s",
                  row.lower_is_better ? "<=" : ">=", row.target,
                  row.Met() ? "met" : "MISSED");
    target = text;
  }
  std::printf("%-28s %10.4g %-4s +-%4.1f %%  %-16s %s (%.4g)\n",
              row.name.c_str(), row.value, row.unit.c_str(), row.spread * 100,
              target.c_str(), row.reference.c_str(), row.reference_value);
  if (!row.note.empty()) std::printf("%-28s   %s\n", "", row.note.c_str());
  std::fflush(stdout);
}

nlohmann::json ToJson(const BenchRow& row) {
  nlohmann::json json = {{"name", row.name},
                         {"value", row.value},
                         {"spread", row.spread},
                         {"unit", row.unit},
                         {"reference", row.reference},
                         {"reference_value", row.reference_value},
                         {"target", nullptr},
                         {"met", row.Met()},
                         {"note", row.note}};
  if (row.has_target) json["target"] = row.target;
  return json;
}

bool Selected(const Benchmark& benchmark,
              const std::vector<std::string>& names) {
  if (names.empty()) return true;
  for (const std::string& name : names) {
    if (benchmark.name.starts_with(name)) return true;
  }
  return false;
}

int Run(const std::vector<std::string>& names, const std::string& json_path,
        const BenchContext& context) {
  nlohmann::json rows = nlohmann::json::array();
  int failed = 0;
  int ran = 0;
  int skipped = 0;
  for (const Benchmark& benchmark : AllBenchmarks()) {
    if (!Selected(benchmark, names)) continue;
    const std::string why_not =
        benchmark.why_not ? benchmark.why_not(context) : "";
    if (!why_not.empty()) {
      ++skipped;
      std::printf("%-28s skipped: %s\n", benchmark.name.c_str(),
                  why_not.c_str());
      continue;
    }
    ++ran;
    std::filesystem::create_directories(context.work_dir);
    const auto result = benchmark.run(context);
    std::filesystem::remove_all(context.work_dir);
    if (!result.ok()) {
      ++failed;
      std::printf("%-28s failed: %s\n", benchmark.name.c_str(),
                  result.status().ToString().c_str());
      continue;
    }
    for (const BenchRow& row : *result) {
      PrintRow(row);
      rows.push_back(ToJson(row));
    }
  }
  if (!json_path.empty()) std::ofstream(json_path) << rows.dump(1) << "\n";
  if (ran == 0 && skipped > 0) return kAllSkipped;
  if (ran == 0) std::fprintf(stderr, "no benchmark has such a name\n");
  return failed == 0 && ran > 0 ? 0 : 1;
}

}  // namespace
}  // namespace reprise::bench

int main(int argc, char** argv) {
  using namespace reprise::bench;
  CLI::App app("Benchmarks of Reprise: ratios against what a user would pick");
  std::vector<std::string> names;
  std::string json_path;
  BenchContext context;
  bool list = false;
  context.work_dir =
      (std::filesystem::temp_directory_path() / "reprise-bench").string();
  app.add_option("name", names, "benchmarks to run (prefixes; default: all)");
  app.add_option("--json", json_path, "write the rows to this file as JSON");
  app.add_option("--data", context.data_dir, "folder of KV dumps (kv_dump)");
  app.add_option("--work", context.work_dir,
                 "scratch folder on the disk to measure; it is removed");
  app.add_flag("--quick", context.quick, "small sizes: only to see it run");
  app.add_option("--device", context.device, "ordinal, for what wants a GPU");
  app.add_flag("--host-device", context.host_device,
               "without a GPU, what wants one on the host executor: says "
               "whether it runs, nothing of speed");
  app.add_flag("--list", list, "list the benchmarks");
  CLI11_PARSE(app, argc, argv);
  if (list) {
    for (const Benchmark& benchmark : AllBenchmarks()) {
      std::printf("%-20s %s\n", benchmark.name.c_str(), benchmark.what.c_str());
    }
    return 0;
  }
  return Run(names, json_path, context);
}
