#include "tools/reprised_config.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <istream>
#include <iterator>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/listen_address.h"
#include "base/duration.h"
#include "store/policy.h"
#include "tools/ladder_config.h"

namespace reprise {
namespace {

constexpr char kAbout[] =
    "reprised keeps the KV cache of conversations: compressed, durable and "
    "verified.\n\n"
    "  reprised --dir /var/lib/reprise\n\n"
    "serves clients on 127.0.0.1:7077, and /metrics, /healthz, /readyz and\n"
    "/api/stats over HTTP on 127.0.0.1:7078. SIGTERM lets open requests\n"
    "finish, then ends the daemon. Every option can stand in a config file\n"
    "(--config FILE, as key = value) and, as REPRISE_ and its name in "
    "capitals,\nin the environment: flags win over variables, they over the "
    "file, and it\nover defaults. Sizes take units: 512MiB, 2GiB.";

constexpr std::string_view kPrefix = "REPRISE_";
// Those of Reprise's variables that are for other programs than the daemon and
// may well be set beside it: the command line's and the golden tests'.
constexpr std::string_view kOthersVariables[] = {
    "REPRISE_SERVER", "REPRISE_TOKEN", "REPRISE_WRITE_GOLDEN"};

// "block-cache" becomes "REPRISE_BLOCK_CACHE".
std::string VariableOf(std::string_view option) {
  std::string name(kPrefix);
  for (char c : option) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  }
  return name;
}

// Empty for one that is not set, or to nothing.
std::string ValueOf(const std::string& variable) {
  const char* value = std::getenv(variable.c_str());
  return value == nullptr ? std::string() : std::string(value);
}

constexpr char kLadder[] = "ladder";
constexpr int64_t kMostCommitS = 600;

// Settings of ladders have a form of their own in a file: a key `near` in a
// section [ladder.series], or `ladder.series.near`. To CLI11 it is one option
// with a list, "series.near=...".
std::vector<CLI::ConfigItem> WithLadders(std::vector<CLI::ConfigItem> items) {
  CLI::ConfigItem ladder;
  ladder.name = kLadder;
  std::erase_if(items, [&](const CLI::ConfigItem& item) {
    const bool is_list = item.parents.empty() && item.name == kLadder;
    const bool is_below = !item.parents.empty() && item.parents[0] == kLadder;
    if (is_list) {
      std::ranges::copy_if(item.inputs, std::back_inserter(ladder.inputs),
                           [](const auto& text) { return !text.empty(); });
      return true;
    }
    // Where a section begins and ends.
    if (is_below && (item.name == "++" || item.name == "--")) return true;
    if (!is_below || item.parents.size() != 2) return false;
    std::string text = item.parents[1] + "." + item.name + "=";
    // A text with commas outside of quotes has been taken for a list.
    for (const std::string& part : item.inputs) {
      text += (&part == &item.inputs.front() ? "" : ",") + part;
    }
    ladder.inputs.push_back(std::move(text));
    return true;
  });
  if (!ladder.inputs.empty()) items.push_back(std::move(ladder));
  return items;
}

// CLI11 asks the environment only for what neither command line nor file gave.
// A variable is to win over the file: so the file does not give its key.
class FileBelowEnvironment final : public CLI::ConfigTOML {
 public:
  std::vector<CLI::ConfigItem> from_config(std::istream& file) const override {
    std::vector<CLI::ConfigItem> settings =
        WithLadders(CLI::ConfigTOML::from_config(file));
    std::erase_if(settings, [](const CLI::ConfigItem& item) {
      return item.parents.empty() && !ValueOf(VariableOf(item.name)).empty();
    });
    return settings;
  }
};

// Names of variables that look like settings and are none, each with a comma
// before it.
std::string UnknownVariables(const CLI::App& app) {
  std::set<std::string_view> known(std::begin(kOthersVariables),
                                   std::end(kOthersVariables));
  const auto options = app.get_options();
  std::vector<std::string> names;
  for (const CLI::Option* option : options) {
    names.push_back(option->get_envname());
  }
  known.insert(names.begin(), names.end());
  std::string unknown;
  for (char** entry = environ; *entry != nullptr; entry++) {
    const std::string_view variable(*entry);
    const std::string_view name = variable.substr(0, variable.find('='));
    if (!name.starts_with(kPrefix) || known.contains(name)) continue;
    unknown += ", ";
    unknown += name;
  }
  return unknown;
}

std::string CheckAddress(const std::string& text) {
  Result<ListenAddress> address = ParseListenAddress(text);
  return address.ok() ? std::string() : std::string(address.status().message());
}

class Options {
 public:
  Options(CLI::App* app, ReprisedConfig* config) : app_(app), config_(config) {
    AddStore();
    AddPolicies();
    AddNetwork();
    AddLimits();
    AddTimes();
  }

 private:
  template <typename T>
  CLI::Option* Add(const std::string& name, T* value, const std::string& help) {
    return app_->add_option("--" + name, *value, help)
        ->capture_default_str()
        ->envname(VariableOf(name));
  }
  void AddSize(const std::string& name, uint64_t* value,
               const std::string& help) {
    Add(name, value, help)->transform(CLI::AsSizeValue(false));
  }
  void AddSeconds(const std::string& name, int64_t* value, int64_t least,
                  const std::string& help) {
    Add(name, value, help + ", in seconds")
        ->check(CLI::Range(least, int64_t{30} * 24 * 3600));
  }
  template <typename T>
  void AddCount(const std::string& name, T* value, T most,
                const std::string& help) {
    Add(name, value, help)->check(CLI::Range(T{1}, most));
  }

  void AddStore() {
    Add("engine", &config_->engine, "Where state is kept: rocksdb or memory")
        ->check(CLI::IsMember({"rocksdb", "memory"}));
    Add("dir", &config_->dir, "Directory of the store (rocksdb)");
    Add("durability", &config_->durability,
        "What an acknowledged commit survives: written (kill -9) or synced "
        "(power loss)")
        ->check(CLI::IsMember({"written", "synced"}));
    AddSize("block-cache", &config_->block_cache_bytes,
            "Memory for blocks read from disk");
    AddSize("memtable", &config_->memtable_bytes,
            "Memory for writes not yet in files");
    AddSize("max-bytes", &config_->space.max_bytes,
            "What the store may take on its file system (0: no limit)");
    AddCount("high-watermark", &config_->space.high_percent, 100u,
             "From so many percent of max-bytes on, sessions sink for space");
    AddCount("low-watermark", &config_->space.low_percent, 100u,
             "Down to so many percent");
    AddSeconds("collect-interval", &config_->collect_interval_s, 0,
               "Between collections of garbage (0: only on request)");
    Add("max-commit", &config_->max_commit_s,
        "What a commit may take at most, in seconds; a collection waits twice "
        "for longer than that")
        ->check(CLI::Range(int64_t{1}, kMostCommitS));
    AddSeconds("compact-interval", &config_->compact_interval_s, 0,
               "Between runs by which sessions sink and expired ones go (0: "
               "only on request)");
    AddSize("compact-rate", &config_->compact_bytes_per_s,
            "Bytes that such a run reads and writes a second (0: no limit)");
    AddCount("compact-threads", &config_->compact_threads, 256u,
             "Threads on which it decodes and encodes");
    AddSize("profile-memory", &config_->profile_memory_bytes,
            "Memory to train profiles in that tiers lack (0: train none)");
  }

  void AddPolicies() {
    Add("policy", &config_->policy,
        "How far sessions sink that have no policy of their own");
    Add("ttl", &config_->ttl,
        "Remove them after so much idle time: 2y, or never");
    Add(kLadder, &config_->ladder,
        "Which codec makes a tier: NAME.TIER=CODEC; several")
        ->default_str("");  // an empty list is printed as one that is refused
  }

  void AddNetwork() {
    Add("listen", &config_->listen,
        "Addresses to serve: HOST:PORT or unix:/PATH; port 0 picks one")
        ->check(CLI::Validator(CheckAddress, "ADDRESS"));
    Add("admin", &config_->admin,
        "Address of the HTTP listener; empty for none");
    Add("port-file", &config_->port_file,
        "Write the addresses that were bound here, one a line");
  }

  void AddLimits() {
    AddCount("io-threads", &config_->io_threads, 64u,
             "Threads that move bytes");
    AddCount("store-threads", &config_->store_threads, 256u,
             "Threads that wait for the store");
    AddCount("max-connections", &config_->max_connections, 65'536u,
             "Connections at once; more are closed at once");
    AddSize("upload-bytes", &config_->upload_bytes,
            "Requests not yet answered, of all connections");
    AddSize("connection-upload-bytes", &config_->connection_upload_bytes,
            "The same, of one connection");
    AddSize("send-queue-bytes", &config_->send_queue_bytes,
            "Answers of one connection that wait to be sent");
    Add("log-level", &config_->log_level,
        "trace, debug, info, warn, error or off")
        ->check(
            CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
  }

  void AddTimes() {
    AddSeconds("idle-timeout", &config_->idle_timeout_s, 1,
               "Close a connection without requests after this");
    AddSeconds("message-timeout", &config_->message_timeout_s, 1,
               "From a message's first byte to its last");
    AddSeconds("write-timeout", &config_->write_timeout_s, 1,
               "Close a connection that takes no bytes after this");
    AddSeconds("drain-timeout", &config_->drain_timeout_s, 0,
               "After SIGTERM, close what is still open after this");
  }

  CLI::App* app_;
  ReprisedConfig* config_;
};

// Policy, TTL and ladders hang together: read as a whole.
Status ReadPolicies(ReprisedConfig* config) {
  PolicyRules rules;
  REPRISE_ASSIGN_OR_RETURN(
      rules.ladders, SetLadderTiers(std::move(rules.ladders), config->ladder));
  REPRISE_ASSIGN_OR_RETURN(rules.policy, ParsePolicy(config->policy));
  REPRISE_RETURN_IF_ERROR(CheckPolicy(rules, rules.policy));
  if (config->ttl != "never") {
    const Result<int64_t> ttl_ms = ParseDuration(config->ttl);
    if (!ttl_ms.ok()) return ttl_ms.status().WithContext("ttl");
    rules.ttl_ms = *ttl_ms;
  }
  config->policies = std::move(rules);
  return Status();
}

// What no single option can check.
std::string CheckTogether(const CLI::App& app, const ReprisedConfig& config) {
  if (std::string unknown = UnknownVariables(app); !unknown.empty()) {
    return "unknown in the environment: " + unknown.substr(2) +
           " (--help names every option)";
  }
  if (config.engine == "rocksdb" && config.dir.empty()) {
    return "--dir is missing: the directory of the store";
  }
  if (const Status marks = CheckWatermarks(config.space); !marks.ok()) {
    return std::string(marks.message());
  }
  return config.admin.empty() ? std::string() : CheckAddress(config.admin);
}

ReprisedCommand Refused(std::string text) {
  ReprisedCommand command;
  command.text = std::move(text);
  command.exit_code = 2;
  return command;
}

}  // namespace

ReprisedCommand ParseReprisedCommand(int argc, const char* const* argv) {
  CLI::App app(kAbout, "reprised");
  ReprisedCommand command;
  Options options(&app, &command.config);
  bool check_only = false;
  bool print = false;
  // CLI11 reads the file before it looks at variables.
  const std::string file = ValueOf("REPRISE_CONFIG");
  app.set_config("--config", file, "Config file (TOML)",
                 /*config_required=*/!file.empty())
      ->envname("REPRISE_CONFIG");
  app.config_formatter(std::make_shared<FileBelowEnvironment>());
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_flag("--check-config", check_only,
               "Check everything said here and leave")
      ->configurable(false);
  app.add_flag("--print-config", print,
               "Print the config that would be used and leave")
      ->configurable(false);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    int code = app.exit(error, out, err);
    if (code != 0) return Refused("reprised: " + err.str());
    command.text = out.str();
    return command;
  }
  command.config.admin_is_default = app.count("--admin") == 0;
  if (print) {
    command.text = app.config_to_str(/*default_also=*/true,
                                     /*write_description=*/true);
    return command;
  }
  if (std::string wrong = CheckTogether(app, command.config); !wrong.empty()) {
    return Refused("reprised: " + wrong + "\n");
  }
  if (const Status read = ReadPolicies(&command.config); !read.ok()) {
    return Refused("reprised: " + std::string(read.message()) + "\n");
  }
  if (check_only) {
    command.text = "the configuration is good\n";
    return command;
  }
  command.run = true;
  return command;
}

}  // namespace reprise
