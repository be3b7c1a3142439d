// Whether the kernels do on this machine's device what they do on the host
// executor, and how fast: one binary, to be carried to a machine with a GPU.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "bench/gpu_frames.h"
#include "bench/gpu_speed.h"
#include "bench/nvcomp_reference.h"
#include "bench/nvcomp_speed.h"
#include "gpu/device.h"
#include "gpu/host_device.h"
#include "gpu/kernel_facts.h"

namespace reprise::bench {
namespace {

struct Arguments {
  bool kernels = false;
  bool host = false;
  bool no_conformance = false;
  int device = 0;
  double seconds = 0.5;
  std::vector<std::string> codecs = MeasuredCodings();
  std::vector<uint32_t> batches;
  std::string nvcomp = "libnvcomp.so.6";
  std::string json;
};

int PrintKernels() {
  nlohmann::json rows = nlohmann::json::array();
  for (const KernelFacts& facts : AllKernelFacts()) {
    rows.push_back({{"name", facts.name},
                    {"decodes", facts.decodes},
                    {"threads", facts.threads},
                    {"shared_bytes", facts.shared_bytes},
                    {"min_blocks", facts.min_blocks}});
  }
  std::printf("%s\n", rows.dump(1).c_str());
  return 0;
}

// "1.540 x", raw bytes by the frames'.
std::string RatioText(const GpuSpeed& speed) {
  if (speed.frame_bytes == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.3f x",
                static_cast<double>(speed.raw_bytes) /
                    static_cast<double>(speed.frame_bytes));
  return text;
}

void PrintSpeed(const GpuSpeed& speed, double device_copy) {
  std::printf(
      "%-14s %-15s %6u %5u %6u %5s %9.3f KiB %9s %8.2f GB/s %5.1f %% %6.3f "
      "of "
      "copy\n",
      speed.codec.c_str(), speed.what.c_str(), speed.tokens, speed.heads,
      speed.batch,
      speed.multiprocessors == 0
          ? "all"
          : std::to_string(speed.multiprocessors).c_str(),
      static_cast<double>(speed.frame_bytes) / 1024, RatioText(speed).c_str(),
      speed.gb_per_second, 100 * speed.spread,
      speed.gb_per_second / device_copy);
  std::fflush(stdout);
}

nlohmann::json ToJson(const GpuSpeed& speed) {
  return {{"codec", speed.codec},
          {"what", speed.what},
          {"tokens", speed.tokens},
          {"batch", speed.batch},
          {"heads", speed.heads},
          {"multiprocessors", speed.multiprocessors},
          {"frame_bytes", speed.frame_bytes},
          {"raw_bytes", speed.raw_bytes},
          {"gb_per_second", speed.gb_per_second},
          {"spread", speed.spread}};
}

// nvCOMP, or why it is not measured.
struct Reference {
  std::shared_ptr<const Nvcomp> nvcomp;
  std::string missing;
};

Reference FindReference(const Arguments& arguments) {
  if (arguments.nvcomp.empty()) return {.missing = "no library was named"};
  const Result<std::shared_ptr<const Nvcomp>> nvcomp =
      Nvcomp::Load(arguments.nvcomp);
  if (!nvcomp.ok()) {
    return {.missing = std::string(nvcomp.status().message())};
  }
  if (arguments.host) return {.missing = "the host executor is no GPU"};
  if (arguments.device != 0) {
    return {.missing = "it works on device 0: let CUDA_VISIBLE_DEVICES name " +
                       std::to_string(arguments.device) + " alone"};
  }
  return {.nvcomp = *nvcomp};
}

void PrintReference(const Reference& reference) {
  if (reference.nvcomp == nullptr) {
    std::printf("nvCOMP: not measured: %s\n", reference.missing.c_str());
  } else {
    std::printf("nvCOMP: %s, %s\n", reference.nvcomp->version().c_str(),
                reference.nvcomp->path().c_str());
  }
}

// A session of an 8B-class model, and what is restored of it.
struct Restored {
  uint32_t tokens = 0;
  uint32_t layers = 0;
  uint16_t heads = 0;
};
constexpr uint32_t kLayers = 32;
// Of a launch; more go in several.
constexpr uint32_t kMostFrames = 4096;

// All figures of one device, printed and kept.
class Figures {
 public:
  Figures(const Arguments& arguments, const GpuSpeedOptions& options,
          Reference reference)
      : arguments_(arguments),
        options_(options),
        reference_(std::move(reference)) {}

  // The copies, then each codec, then nvCOMP, in batches of frames.
  Status MeasureCodecs();
  // `exact` and nvCOMP on whole sessions and on one layer of them, all heads
  // and a shard of an eighth.
  Status MeasureSessions();

  nlohmann::json ToJson() const;

 private:
  bool IsWanted(const std::string& codec) const;
  void Keep(const GpuSpeed& speed);
  void Keep(const GpuSpeed& speed, const Restored& what);
  Status MeasureRestored(const Restored& what);
  // Nothing once it failed: that is said, and no reason to end.
  std::vector<GpuSpeed> MeasureReference(const GpuSpeedOptions& options);

  const Arguments& arguments_;
  const GpuSpeedOptions options_;
  Reference reference_;
  double device_copy_ = 1;  // GB/s
  nlohmann::json rows_ = nlohmann::json::array();
};

bool Figures::IsWanted(const std::string& codec) const {
  const std::vector<std::string>& wanted = arguments_.codecs;
  return std::find(wanted.begin(), wanted.end(), codec) != wanted.end();
}

void Figures::Keep(const GpuSpeed& speed) {
  PrintSpeed(speed, device_copy_);
  rows_.push_back(bench::ToJson(speed));
}

void Figures::Keep(const GpuSpeed& speed, const Restored& what) {
  std::printf(
      "%-14s %-8s %7u %6u %5u %6u %9.3f KiB %9s %8.2f GB/s %5.1f %%\n",
      speed.codec.c_str(), speed.what.c_str(), what.tokens, what.layers,
      what.heads, speed.batch, static_cast<double>(speed.frame_bytes) / 1024,
      RatioText(speed).c_str(), speed.gb_per_second, 100 * speed.spread);
  std::fflush(stdout);
  nlohmann::json row = bench::ToJson(speed);
  row["session_tokens"] = what.tokens;
  row["session_layers"] = what.layers;
  rows_.push_back(row);
}

std::vector<GpuSpeed> Figures::MeasureReference(
    const GpuSpeedOptions& options) {
  if (reference_.nvcomp == nullptr) return {};
  const Result<std::vector<GpuSpeed>> speeds =
      MeasureNvcomp(reference_.nvcomp, options);
  if (speeds.ok()) return *speeds;
  reference_ = {.missing = std::string(speeds.status().message())};
  PrintReference(reference_);
  return {};
}

Status Figures::MeasureCodecs() {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<GpuSpeed> copies,
                           MeasureGpuCopies(options_));
  device_copy_ = copies[0].gb_per_second;
  std::printf("%-14s %-15s %6s %5s %6s %5s %13s %9s %13s %7s\n", "codec",
              "what", "tokens", "heads", "batch", "SMs", "frames", "ratio",
              "median", "spread");
  for (const GpuSpeed& speed : copies) Keep(speed);
  for (const std::string& name : MeasuredCodings()) {
    if (!IsWanted(name)) continue;
    REPRISE_ASSIGN_OR_RETURN(const std::vector<GpuSpeed> speeds,
                             MeasureGpuCodec(name, options_));
    for (const GpuSpeed& speed : speeds) Keep(speed);
  }
  if (reference_.nvcomp == nullptr) PrintReference(reference_);
  for (const GpuSpeed& speed : MeasureReference(options_)) Keep(speed);
  return Status();
}

Status Figures::MeasureRestored(const Restored& what) {
  GpuSpeedOptions options = options_;
  options.multiprocessors = {0};
  options.heads = what.heads;
  options.batches = {std::min(what.tokens / kSegmentTokens * what.layers,
                              arguments_.host ? 2 : kMostFrames)};
  for (const char* name : {"ExactProfile", "Exact"}) {
    if (!IsWanted(name)) continue;
    REPRISE_ASSIGN_OR_RETURN(const std::vector<GpuSpeed> speeds,
                             MeasureGpuCodec(name, options));
    for (const GpuSpeed& speed : speeds) Keep(speed, what);
  }
  for (const GpuSpeed& speed : MeasureReference(options)) Keep(speed, what);
  return Status();
}

Status Figures::MeasureSessions() {
  std::printf("\n%-14s %-8s %7s %6s %5s %6s %13s %9s %13s %7s\n", "codec",
              "what", "session", "layers", "heads", "batch", "frames", "ratio",
              "median", "spread");
  for (const uint32_t tokens : {1u << 10, 8u << 10, 128u << 10}) {
    for (const uint32_t layers : {1u, kLayers}) {
      for (const uint16_t heads : {kMeasuredHeads, uint16_t{1}}) {
        REPRISE_RETURN_IF_ERROR(MeasureRestored({tokens, layers, heads}));
      }
    }
  }
  return Status();
}

nlohmann::json Figures::ToJson() const {
  nlohmann::json nvcomp;
  if (reference_.nvcomp != nullptr) {
    nvcomp["version"] = reference_.nvcomp->version();
    nvcomp["path"] = reference_.nvcomp->path();
  } else {
    nvcomp["not_measured"] = reference_.missing;
  }
  return {{"device", options_.device->info().name},
          {"rows", rows_},
          {"nvcomp", nvcomp}};
}

int Fail(const Status& status) {
  std::fprintf(stderr, "gpu_selftest: %s\n", status.ToString().c_str());
  return 1;
}

Result<GpuSpeedOptions> OptionsFor(const Arguments& arguments) {
  GpuSpeedOptions options;
  options.seconds = arguments.seconds;
  if (arguments.host) {
    options.device = MakeHostDevice({.memory_bytes = 8ull << 30});
    options.batches = {2};
    options.multiprocessors = {1, 0};
  } else {
    REPRISE_ASSIGN_OR_RETURN(options.device, OpenDevice(arguments.device));
    options.batches = {1, 32, 1024};
    options.multiprocessors = {8, 16, 32, 0};
  }
  if (!arguments.batches.empty()) options.batches = arguments.batches;
  return options;
}

// Whatever was measured, also when something failed after it.
Status WriteJson(const Arguments& arguments, const Figures& figures) {
  if (arguments.json.empty()) return Status();
  std::ofstream out(arguments.json);
  out << figures.ToJson().dump(1) << "\n";
  if (out.flush()) return Status();
  return InternalError("cannot write " + arguments.json);
}

int Run(const Arguments& arguments) {
  const Reference reference = FindReference(arguments);
  const Result<GpuSpeedOptions> options = OptionsFor(arguments);
  if (!options.ok()) {
    std::printf("gpu_selftest: no device to test: %s\n",
                std::string(options.status().message()).c_str());
    PrintReference(reference);
    return 3;
  }
  const DeviceInfo& info = options->device->info();
  std::printf("device: %s, sm_%u, %u multiprocessors, %.1f GiB\n",
              info.name.c_str(), info.compute_capability, info.multiprocessors,
              static_cast<double>(info.memory_bytes) / (1ull << 30));
  if (reference.nvcomp != nullptr) PrintReference(reference);
  if (!arguments.no_conformance && RUN_ALL_TESTS() != 0) return 1;
  Figures figures(arguments, *options, reference);
  Status status = figures.MeasureCodecs();
  if (status.ok()) status = figures.MeasureSessions();
  const Status written = WriteJson(arguments, figures);
  if (!status.ok()) return Fail(status);
  return written.ok() ? 0 : Fail(written);
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Runs the conformance suite of the GPU kernels on a device, then prints "
      "how fast they are. Exit status: 0 all is well, 1 a test failed or the "
      "device did, 3 there is no device.");
  app.add_option("--device", arguments.device, "ordinal");
  app.add_option("--seconds", arguments.seconds, "of each figure");
  app.add_option("--json", arguments.json, "the figures, to this file");
  app.add_option("--batches", arguments.batches,
                 "frames of a launch: 1,32,1024")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("--codecs", arguments.codecs, "some of the codecs only")
      ->delimiter(',')
      ->check(CLI::IsMember(MeasuredCodings()));
  app.add_option("--nvcomp", arguments.nvcomp,
                 "the library of nvCOMP 6, measured beside `exact`; '': none")
      ->capture_default_str();
  app.add_flag("--host", arguments.host,
               "on the host executor: says whether, not how fast");
  app.add_flag("--no-conformance", arguments.no_conformance, "figures only");
  app.add_flag("--kernels", arguments.kernels,
               "prints what blocks the kernels want, and ends");
  CLI11_PARSE(app, argc, argv);
  if (arguments.kernels) return PrintKernels();
  return Run(arguments);
}

}  // namespace
}  // namespace reprise::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return reprise::bench::Main(argc, argv);
}
