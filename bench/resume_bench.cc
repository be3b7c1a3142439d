// `resume.prefill`: a conversation back from the daemon, against computing it
// again; `klt.resume`: the same from tier coarse. A real model in
// tools/llama_worker, a process of its own.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/daemon_process.h"

namespace reprise::bench {
namespace {

using Json = nlohmann::json;

constexpr char kText[] = "assets/ironclad.txt";
constexpr char kKltProfile[] = "assets/smollm2.klt";
constexpr char kModelFile[] = "/SmolLM2-135M-Instruct.Q4_1.gguf";

// Where third_party/llama/models.sh puts it.
std::string ModelPath() {
  if (const char* models = std::getenv("LLAMA_MODELS")) {
    return std::string(models) + kModelFile;
  }
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::string root = cache != nullptr  ? std::string(cache)
                           : home != nullptr ? std::string(home) + "/.cache"
                                             : "";
  return root + "/llama-cpp/models" + kModelFile;
}

std::string WorkerPath() {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  return (self.parent_path().parent_path() / "tools" / "llama_worker").string();
}

struct ClosePipe {
  void operator()(std::FILE* pipe) const { pclose(pipe); }
};

// Runs the worker; what each step printed.
Result<std::vector<Json>> RunWorker(const std::string& arguments,
                                    const std::vector<std::string>& steps) {
  std::string command = "'" + WorkerPath() + "' --model '" + ModelPath() +
                        "' --threads 1 " + arguments;
  for (const std::string& step : steps) command += " '" + step + "'";
  const std::unique_ptr<std::FILE, ClosePipe> pipe(popen(command.c_str(), "r"));
  if (pipe == nullptr) return UnavailableError("resume: can't run a shell");
  std::vector<Json> results;
  std::string line;
  for (int c = std::fgetc(pipe.get()); c != EOF; c = std::fgetc(pipe.get())) {
    if (c != '\n') {
      line.push_back(static_cast<char>(c));
      continue;
    }
    results.push_back(Json::parse(line, nullptr, /*allow_exceptions=*/false));
    line.clear();
  }
  if (results.size() != steps.size() + 1) {
    return UnavailableError("resume: the worker did " +
                            std::to_string(results.size()) + " of " +
                            std::to_string(steps.size() + 1) + " steps");
  }
  return results;
}

struct ResumeCase {
  std::string name;
  std::string arguments;  // of the worker
  double target = 0;
  std::string note;
};

Result<std::vector<BenchRow>> RunResume(const BenchContext& context,
                                        const ResumeCase& what) {
  for (const std::string& path : {WorkerPath(), ModelPath(), std::string(kText),
                                  std::string(kKltProfile)}) {
    if (!std::filesystem::exists(path)) {
      return NotFoundError("resume: no file " + path + "; ./dev setup and " +
                           "./dev bench make it where libllama is there");
    }
  }
  const std::string tokens = std::to_string(context.quick ? 256 : 2000);
  const std::string prompt = std::string("prompt=") + kText + ":" + tokens;
  const int repetitions = context.quick ? 1 : 5;
  REPRISE_ASSIGN_OR_RETURN(
      auto daemon,
      DaemonProcess::Start(context.work_dir + "/store-" + what.name, {}));
  std::vector<std::string> steps = {prompt, "save=talk", "forget",
                                    "restore=talk"};
  for (int i = 0; i < repetitions; ++i) {
    steps.insert(steps.end(), {"forget", prompt, "forget", "restore=talk"});
  }
  REPRISE_ASSIGN_OR_RETURN(
      const auto results,
      RunWorker("--daemon " + daemon->endpoint() + what.arguments, steps));
  std::vector<double> ratios, prefills, restores;
  double prefill_ms = 0;
  for (size_t i = 5; i < results.size(); ++i) {
    if (results[i].contains("prefill_ms"))
      prefill_ms = results[i].value("prefill_ms", 0.0);
    if (!results[i].contains("restore_ms")) continue;
    prefills.push_back(prefill_ms);
    restores.push_back(results[i].value("restore_ms", 0.0));
    ratios.push_back(prefill_ms / restores.back());
  }
  const Spread ratio = MedianOf(ratios);
  const double restore_ms = MedianOf(restores).median;
  return std::vector<BenchRow>{
      {.name = what.name,
       .value = ratio.median,
       .spread = ratio.relative,
       .unit = "x",
       .reference = "prefill of the same tokens on 1 thread, ms",
       .reference_value = MedianOf(prefills).median,
       .target = what.target,
       .has_target = true,
       .note = tokens + " tokens of SmolLM2-135M, f16 cache" + what.note +
               "; restore " + std::to_string(restore_ms) + " ms"}};
}

const bool kRegistered =
    Register(
        {"resume.prefill", "a real model's state restored, against its prefill",
         [](const BenchContext& context) {
           return RunResume(context, {.name = "resume.prefill", .target = 30});
         }}) &&
    Register({"klt.resume", "the same from tier coarse",
              [](const BenchContext& context) {
                return RunResume(
                    context,
                    {.name = "klt.resume",
                     .arguments = std::string(" --codec klt:tier=coarse") +
                                  " --lowest coarse --profile " + kKltProfile,
                     .target = 20,
                     .note = ", klt at coarse"});
              }});

}  // namespace
}  // namespace reprise::bench
