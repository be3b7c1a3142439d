// Whether the kernels do on this machine's device what they do on the host
// executor, and how fast: one binary, to be carried to a machine with a GPU.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/limits.h"
#include "bench/gpu_speed.h"
#include "gpu/device.h"
#include "gpu/host_device.h"
#include "gpu/kernel_facts.h"

namespace reprise::bench {
namespace {

constexpr const char* kCases[] = {"Raw",  "ExactProfile", "Exact",
                                  "Tsc8", "Tsc",          "VqThreshold",
                                  "Pq",   "KltArchive",   "Klt"};

struct Arguments {
  bool kernels = false;
  bool host = false;
  bool no_conformance = false;
  int device = 0;
  double seconds = 0.5;
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

void PrintSpeed(const GpuSpeed& speed, double device_copy) {
  std::printf(
      "%-14s %-15s %6u %5u %6u %5s %9.3f KiB %10.2f GB/s %6.3f of copy\n",
      speed.codec.c_str(), speed.what.c_str(), speed.tokens, speed.heads,
      speed.batch,
      speed.multiprocessors == 0
          ? "all"
          : std::to_string(speed.multiprocessors).c_str(),
      static_cast<double>(speed.frame_bytes) / 1024, speed.gb_per_second,
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
          {"gb_per_second", speed.gb_per_second}};
}

Status MeasureAll(const GpuSpeedOptions& options, nlohmann::json* rows) {
  REPRISE_ASSIGN_OR_RETURN(const std::vector<GpuSpeed> copies,
                           MeasureGpuCopies(options));
  const double device_copy = copies[0].gb_per_second;
  std::printf("%-14s %-15s %6s %5s %6s %5s %13s\n", "codec", "what", "tokens",
              "heads", "batch", "SMs", "frames");
  for (const GpuSpeed& speed : copies) {
    PrintSpeed(speed, device_copy);
    rows->push_back(ToJson(speed));
  }
  for (const char* name : kCases) {
    REPRISE_ASSIGN_OR_RETURN(const std::vector<GpuSpeed> speeds,
                             MeasureGpuCodec(name, options));
    for (const GpuSpeed& speed : speeds) {
      PrintSpeed(speed, device_copy);
      rows->push_back(ToJson(speed));
    }
  }
  return Status();
}

// What is restored of a session of an 8B-class model.
struct Restored {
  uint32_t tokens = 0;
  uint32_t layers = 0;
  uint16_t heads = 0;
};
constexpr uint32_t kLayers = 32;
// Of a launch; more go in several.
constexpr uint32_t kMostFrames = 4096;

// `exact`, with a profile and without.
Status MeasureRestored(const Restored& what, GpuSpeedOptions options,
                       nlohmann::json* rows) {
  options.heads = what.heads;
  for (const char* name : {"ExactProfile", "Exact"}) {
    REPRISE_ASSIGN_OR_RETURN(const std::vector<GpuSpeed> speeds,
                             MeasureGpuCodec(name, options));
    for (const GpuSpeed& speed : speeds) {
      std::printf("%-14s %-8s %7u %6u %5u %6u %10.2f GB/s\n", name,
                  speed.what.c_str(), what.tokens, what.layers, what.heads,
                  speed.batch, speed.gb_per_second);
      nlohmann::json row = ToJson(speed);
      row["session_tokens"] = what.tokens;
      row["session_layers"] = what.layers;
      rows->push_back(row);
    }
  }
  return Status();
}

// Whole sessions and a layer of them, all heads and a shard of an eighth.
Status MeasureSessions(GpuSpeedOptions options, uint32_t most_frames,
                       nlohmann::json* rows) {
  std::printf("\n%-14s %-8s %7s %6s %5s %6s\n", "codec", "what", "session",
              "layers", "heads", "batch");
  options.multiprocessors = {0};
  for (const uint32_t tokens : {1u << 10, 8u << 10, 128u << 10}) {
    for (const uint32_t layers : {1u, kLayers}) {
      options.batches = {
          std::min(tokens / kSegmentTokens * layers, most_frames)};
      for (const uint16_t heads : {kGpuSpeedHeads, uint16_t{1}}) {
        REPRISE_RETURN_IF_ERROR(
            MeasureRestored({tokens, layers, heads}, options, rows));
      }
    }
  }
  return Status();
}

int Fail(const Status& status) {
  std::fprintf(stderr, "gpu_selftest: %s\n", status.ToString().c_str());
  return 1;
}

int Run(const Arguments& arguments) {
  GpuSpeedOptions options;
  options.seconds = arguments.seconds;
  if (arguments.host) {
    options.device = MakeHostDevice({.memory_bytes = 8ull << 30});
    options.batches = {4};
    options.multiprocessors = {0};
  } else {
    Result<std::shared_ptr<Device>> device = OpenDevice(arguments.device);
    if (!device.ok()) {
      std::printf("gpu_selftest: no device to test: %s\n",
                  std::string(device.status().message()).c_str());
      return 3;
    }
    options.device = *device;
    options.batches = {1, 32, 1024};
    options.multiprocessors = {8, 16, 32, 0};
  }
  const DeviceInfo& info = options.device->info();
  std::printf("device: %s, sm_%u, %u multiprocessors, %.1f GiB\n",
              info.name.c_str(), info.compute_capability, info.multiprocessors,
              static_cast<double>(info.memory_bytes) / (1ull << 30));
  if (!arguments.no_conformance && RUN_ALL_TESTS() != 0) return 1;
  nlohmann::json rows = nlohmann::json::array();
  Status status = MeasureAll(options, &rows);
  const uint32_t most_frames = arguments.host ? 2 : kMostFrames;
  if (status.ok()) status = MeasureSessions(options, most_frames, &rows);
  if (!status.ok()) return Fail(status);
  if (!arguments.json.empty()) {
    std::ofstream out(arguments.json);
    out << nlohmann::json{{"device", info.name}, {"rows", rows}}.dump(1)
        << "\n";
    if (!out.flush()) {
      return Fail(InternalError("cannot write " + arguments.json));
    }
  }
  return 0;
}

}  // namespace
}  // namespace reprise::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  reprise::bench::Arguments arguments;
  CLI::App app(
      "Runs the conformance suite of the GPU kernels on a device, then prints "
      "how fast they are. Exit status: 0 all is well, 1 a test failed or the "
      "device did, 3 there is no device.");
  app.add_option("--device", arguments.device, "ordinal");
  app.add_option("--seconds", arguments.seconds, "of each figure");
  app.add_option("--json", arguments.json, "the figures, to this file");
  app.add_flag("--host", arguments.host,
               "on the host executor: says whether, not how fast");
  app.add_flag("--no-conformance", arguments.no_conformance, "figures only");
  app.add_flag("--kernels", arguments.kernels,
               "prints what blocks the kernels want, and ends");
  CLI11_PARSE(app, argc, argv);
  if (arguments.kernels) return reprise::bench::PrintKernels();
  return reprise::bench::Run(arguments);
}
