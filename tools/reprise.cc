// `reprise`: what a person does to a store of conversations.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>

#include "tools/reprise_command.h"

namespace reprise {
namespace {

constexpr char kFooter[] = R"(Examples:
  reprise status                       is the daemon well, and how full is it?
  reprise ls chat-                     sessions whose names start with chat-
  reprise show chat-42                 one session: history, tiers, every byte
  reprise fork chat-42 experiment      a second session on the same state
  reprise rewind experiment --tokens 512
  reprise verify chat-42               read and decode all of it
  reprise export chat-42 chat-42.rpx   one file, for another store
  reprise calibrate pq:d=4             train a codec on what is stored
  reprise profile put klt M.klt        use a profile that was made elsewhere
  reprise plan --context 131072 --memory 80GB
  reprise fsck --dir /var/lib/reprise  check a store whose daemon is stopped
  reprise scrub --rate 32MB            read and verify all, beside live traffic
  reprise compact run --dir /var/lib/reprise
                                       let idle sessions sink
  reprise eval --help                  what codecs cost in quality, on a model
  reprise probe-weights M.gguf         do its layers' weights resemble?

Results go to stdout, as JSON with --json; errors go to stderr. The exit
status is 0 when all went well, 1 when it did not, 2 for a wrong command.)";

// What the user can do about an error, by its code.
const char* Hint(StatusCode code, bool connected) {
  switch (code) {
    case StatusCode::kUnavailable:
      return "is reprised running, and is --server right?";
    case StatusCode::kDeadlineExceeded:
      return "a longer --timeout-ms may help; `reprise status` says if the "
             "daemon is well";
    case StatusCode::kNotFound:
      return connected ? "`reprise ls` lists the sessions" : nullptr;
    case StatusCode::kDataLoss:
      return "`reprise fsck` says what else is damaged";
    default:
      return nullptr;
  }
}

int Report(const Status& status, const CommandContext& context) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "reprise: %s\n", status.ToString().c_str());
  if (const char* hint = Hint(status.code(), context.connected())) {
    std::fprintf(stderr, "         %s\n", hint);
  }
  return 1;
}

// Commands that are programs of their own, since they need libllama.
struct SideProgram {
  std::string_view command;
  const char* file;
  const char* target;
};
constexpr SideProgram kSidePrograms[] = {
    {"eval", "reprise-eval", "//tools/eval:reprise-eval"},
    {"probe-weights", "reprise-probe-weights", "//tools:reprise-probe-weights"},
};

// Found beside this program, as an installation has it, or in eval/, as a
// build does. Returns only when it can't be run.
int RunSideProgram(const SideProgram& program, char** argv) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& path :
       {here / program.file, here / "eval" / program.file}) {
    if (access(path.c_str(), X_OK) == 0) execv(path.c_str(), argv);
  }
  const std::string command(program.command);
  std::fprintf(stderr,
               "reprise: %s needs %s beside %s, which is built where libllama "
               "is there\n         third_party/llama/fetch.sh fetches it, "
               "then: bazel build %s\n",
               command.c_str(), program.file, here.c_str(), program.target);
  return 1;
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  for (const auto& program : reprise::kSidePrograms) {
    if (argc > 1 && program.command == argv[1]) {
      return reprise::RunSideProgram(program, argv + 1);
    }
  }
  CLI::App app("Sessions of conversations in a Reprise store");
  app.footer(reprise::kFooter);
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::help);
  reprise::CommandContext context;
  app.add_option("--server", context.server,
                 "the daemon: HOST:PORT or unix:PATH")
      ->envname("REPRISE_SERVER")
      ->capture_default_str();
  app.add_option("--token", context.token, "the tenant's token")
      ->envname("REPRISE_TOKEN");
  app.add_option("--timeout-ms", context.timeout_ms,
                 "how long a request may take")
      ->capture_default_str();
  app.add_flag("--json", context.json, "print JSON");
  // So that `reprise ls --json` works as `reprise --json ls` does.
  app.fallthrough();
  reprise::AddSessionCommands(&app, &context);
  reprise::AddPolicyCommands(&app, &context);
  reprise::AddTransferCommands(&app, &context);
  reprise::AddStoreCommands(&app, &context);
  reprise::AddScrubCommands(&app, &context);
  reprise::AddModelCommands(&app, &context);
  reprise::AddCalibrateCommand(&app, &context);
  reprise::AddProfileCommands(&app, &context);
  auto* compact =
      app.add_subcommand("compact", "let sessions shrink that nobody uses");
  compact->require_subcommand(1);
  reprise::AddCompactPlanCommands(compact, &context);
  reprise::AddCompactCommands(compact, &context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return reprise::Report(context.run(), context);
}
