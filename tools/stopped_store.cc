#include "tools/stopped_store.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "store/rocks_engine.h"
#include "tools/reprised_config.h"

namespace reprise {

Result<StoppedStore> OpenStopped(const std::string& dir) {
  RocksOptions options;
  options.directory = dir;
  options.create_if_missing = false;
  StoppedStore store;
  REPRISE_ASSIGN_OR_RETURN(store.engine, OpenRocksEngine(options));
  REPRISE_ASSIGN_OR_RETURN(
      store.catalogue, Catalogue::Open(store.engine.get(), &SystemClock(), {}));
  return store;
}

Status CheckRehearsal(const std::string& dir) {
  const std::filesystem::path file =
      std::filesystem::path(dir) / kRehearsalFile;
  std::error_code error;
  if (std::filesystem::exists(file, error)) return Status();
  return FailedPreconditionError(
      "compact: --idle-plus lets sessions sink ahead of their time, for good, "
      "and is for copies to try that on; if " +
      dir + " is one, say so by a file in it: touch " + file.string());
}

CLI::Option* AddDirOption(CLI::App* command, std::string* dir) {
  return command->add_option(
      "--dir", *dir,
      "a store whose daemon is stopped; else the daemon does it");
}

void AddRulesOptions(CLI::App* command, CLI::Option* dir,
                     RulesArguments* arguments) {
  command
      ->add_option("--config", arguments->config,
                   "the daemon's config file: policies and ladders")
      ->check(CLI::ExistingFile)
      ->needs(dir);
  command->add_option("--policy", arguments->policy,
                      "another default policy than the daemon's");
  command->add_option("--ladder", arguments->ladder,
                      "NAME.TIER=CODEC, as the daemon takes it; several");
}

Result<PolicyRules> ReadRules(const std::string& dir,
                              const RulesArguments& arguments) {
  std::vector<std::string> words = {"reprised", "--dir", dir};
  const auto add = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    words.push_back(name);
    words.push_back(value);
  };
  add("--config", arguments.config);
  add("--policy", arguments.policy);
  for (const std::string& tier : arguments.ladder) add("--ladder", tier);
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  ReprisedCommand command =
      ParseReprisedCommand(static_cast<int>(argv.size()), argv.data());
  if (!command.run) return InvalidArgumentError("compact: " + command.text);
  return std::move(command.config.policies);
}

}  // namespace reprise
