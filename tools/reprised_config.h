// What the daemon is told: by flags, by REPRISE_* variables, by the config file
// and by defaults; what comes first in this order wins.
#ifndef REPRISE_TOOLS_REPRISED_CONFIG_H_
#define REPRISE_TOOLS_REPRISED_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "store/policy_rules.h"
#include "store/watermarks.h"

namespace reprise {

// A file in a store's directory by which somebody says that the store is a copy
// to try things on: there sessions may sink ahead of their time.
inline constexpr char kRehearsalFile[] = "REHEARSAL";

struct ReprisedConfig {
  std::string engine = "rocksdb";  // or "memory"
  std::string dir;                 // of the store; needed by rocksdb
  std::string durability = "synced";
  uint64_t block_cache_bytes = 256ull << 20;
  uint64_t memtable_bytes = 256ull << 20;
  Watermarks space;

  std::vector<std::string> listen = {"127.0.0.1:7077"};
  std::string admin = "127.0.0.1:7078";  // empty: none
  bool admin_is_default = true;
  std::string port_file;

  uint32_t io_threads = 2;
  uint32_t store_threads = 4;
  uint32_t max_connections = 1024;
  uint64_t upload_bytes = 512ull << 20;
  uint64_t connection_upload_bytes = 64ull << 20;
  uint64_t send_queue_bytes = 8ull << 20;

  int64_t idle_timeout_s = 600;
  int64_t message_timeout_s = 60;
  int64_t write_timeout_s = 60;
  int64_t drain_timeout_s = 30;
  int64_t collect_interval_s = 600;
  int64_t max_commit_s = 60;
  int64_t compact_interval_s = 3600;
  uint64_t compact_bytes_per_s = 64ull << 20;
  uint32_t compact_threads = 1;
  uint64_t profile_memory_bytes = 0;

  // Default policy and TTL of sessions, and changes to the ladders, as text.
  std::string policy{kDefaultPolicyText};
  std::string ttl = "never";
  std::vector<std::string> ladder;  // "series.near=tsc:bits=8"
  // What these three say together.
  PolicyRules policies;

  std::string log_level = "info";
};

struct ReprisedCommand {
  bool run = false;  // else print and leave
  std::string text;  // for stdout, or for stderr when exit_code is not 0
  int exit_code = 0;
  ReprisedConfig config;
};

// Everything wrong with the command line, the file or the environment ends up
// in `text`: an unknown key or variable, a value outside its range, each with
// its name. Not thread-safe: reads the environment.
ReprisedCommand ParseReprisedCommand(int argc, const char* const* argv);

}  // namespace reprise

#endif  // REPRISE_TOOLS_REPRISED_CONFIG_H_
