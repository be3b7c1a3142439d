#include "tools/sensitivity.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace reprise {
namespace {

namespace fs = std::filesystem;

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool IsThere(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::string FindProgram() {
  const std::string given = FromEnvironment("REPRISE_CALIBRATE");
  if (!given.empty()) return given;
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const fs::path here = self.parent_path();
  const fs::path places[] = {
      here / "calibrate",
      fs::path(self.string() + ".runfiles") / "reprise" / "tools" / "calibrate",
      fs::path("tools") / "calibrate"};
  for (const fs::path& place : places) {
    const fs::path program = place / "calibrate.py";
    if (IsThere(program)) return program.string();
  }
  return "";
}

std::string FindPython() {
  const std::string given = FromEnvironment("REPRISE_PYTHON");
  if (!given.empty()) return given;
  std::string cache = FromEnvironment("XDG_CACHE_HOME");
  if (cache.empty()) cache = FromEnvironment("HOME") + "/.cache";
  const fs::path own =
      fs::path(cache) / "reprise" / "calibrate-venv" / "bin" / "python";
  return IsThere(own) ? own.string() : "python3";
}

// The program's exit status; 127 when it can't be run.
int RunProgram(const std::vector<std::string>& words, bool quiet) {
  std::vector<char*> arguments;
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    // Our own stdout is for the result.
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (quiet) {
      close(STDOUT_FILENO);
      close(STDERR_FILENO);
    }
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

}  // namespace

Status TrainWithSensitivity(const SensitivityRequest& request) {
  const std::string program = FindProgram();
  if (program.empty()) {
    return FailedPreconditionError(
        "calibrate: tools/calibrate/calibrate.py is not beside this program; "
        "REPRISE_CALIBRATE may say where it is");
  }
  const std::string python = FindPython();
  constexpr char kImports[] =
      "import torch, numpy, gguf, tokenizers, safetensors";
  if (RunProgram({python, "-c", kImports}, /*quiet=*/true) != 0) {
    return FailedPreconditionError(
        "calibrate: " + python + " lacks what gradients need (" + kImports +
        "): `./dev calibrate --help` installs it into the cache; or pip "
        "install -r tools/calibrate/requirements.txt and set REPRISE_PYTHON");
  }
  std::vector<std::string> words = {
      python, program, "--model", request.model_file, "--out", request.out};
  if (request.tokens != 0) {
    words.insert(words.end(), {"--tokens", std::to_string(request.tokens)});
  }
  if (request.layers != 0) {
    words.insert(words.end(),
                 {"--group-layers", std::to_string(request.layers)});
  }
  if (!request.texts.empty()) {
    words.push_back("--text");
    words.insert(words.end(), request.texts.begin(), request.texts.end());
  }
  const int status = RunProgram(words, /*quiet=*/false);
  if (status == 0) return Status();
  return InternalError("calibrate: " + program + " ended with " +
                       std::to_string(status));
}

}  // namespace reprise
