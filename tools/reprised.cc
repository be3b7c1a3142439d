// The daemon: opens the store, serves it, and ends in good order.
#include <malloc.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "api/admin.h"
#include "api/admin_json.h"
#include "api/handler.h"
#include "api/jobs.h"
#include "api/metrics.h"
#include "api/server.h"
#include "api/session_census.h"
#include "api/space_guard.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "store/catalogue.h"
#include "store/memory_engine.h"
#include "store/rocks_engine.h"
#include "tools/compaction/daemon_compaction.h"
#include "tools/compaction/reclaim_hook.h"
#include "tools/reprised_config.h"

namespace reprise {
namespace {

// Tells systemd, when it asked to be told (sd_notify(3)).
void NotifySupervisor(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || std::strlen(path) >= sizeof(address.sun_path)) return;
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path);
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                       std::strlen(path));
  (void)::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), length);
  ::close(fd);
}

// Under its name only once it is whole.
Status WritePortFile(const std::string& path,
                     const std::vector<std::string>& endpoints) {
  std::string unfinished = path + ".new";
  {
    std::ofstream file(unfinished, std::ios::trunc);
    for (const std::string& endpoint : endpoints) file << endpoint << '\n';
    file.flush();
    if (!file) return UnavailableError("port file: can't write " + unfinished);
  }
  if (std::rename(unfinished.c_str(), path.c_str()) != 0) {
    return UnavailableError("port file: can't rename to " + path + ": " +
                            std::strerror(errno));
  }
  return Status::Ok();
}

// The signals that end the daemon, for this thread and those it makes.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

Result<std::unique_ptr<Engine>> OpenEngine(const ReprisedConfig& config) {
  if (config.engine == "memory") return OpenMemoryEngine(MakeMemoryStore());
  RocksOptions options;
  options.directory = config.dir;
  options.block_cache_bytes = config.block_cache_bytes;
  options.memtable_bytes = config.memtable_bytes;
  return OpenRocksEngine(options);
}

ServerOptions ServerOptionsOf(const ReprisedConfig& config) {
  ServerOptions options;
  options.listen = config.listen;
  options.io_threads = config.io_threads;
  options.store_threads = config.store_threads;
  options.max_connections = config.max_connections;
  options.upload_bytes = config.upload_bytes;
  options.send_queue_bytes = config.send_queue_bytes;
  options.timeouts.idle_ms = config.idle_timeout_s * 1000;
  options.timeouts.message_ms = config.message_timeout_s * 1000;
  options.timeouts.write_ms = config.write_timeout_s * 1000;
  options.drain_timeout_ms = config.drain_timeout_s * 1000;
  return options;
}

// Everything that serves, in the order in which it is made.
class Daemon {
 public:
  explicit Daemon(const ReprisedConfig& config) : config_(config) {}

  Status Start() {
    began_ms_ = SystemClock().MonotonicMs();
    REPRISE_ASSIGN_OR_RETURN(engine_, OpenEngine(config_));
    CatalogueOptions options;
    options.durability = config_.durability == "synced" ? Durability::kSynced
                                                        : Durability::kWritten;
    options.max_commit_ms = config_.max_commit_s * 1000;
    REPRISE_ASSIGN_OR_RETURN(
        catalogue_, Catalogue::Open(engine_.get(), &SystemClock(), options));
    census_ = std::make_unique<SessionCensus>(engine_.get(), &SystemClock());
    context_.catalogue = catalogue_.get();
    context_.clock = &SystemClock();
    context_.metrics = &metrics_;
    JobsOptions jobs;
    jobs.collect_interval_ms = config_.collect_interval_s * 1000;
    jobs.collector.wait_ms = CollectorWaitMs(options.max_commit_ms);
    jobs_ = std::make_unique<Jobs>(catalogue_.get(), &SystemClock(), jobs);
    context_.jobs = jobs_.get();
    StartCompaction();
    space_ = std::make_unique<SpaceGuard>(engine_.get(), &SystemClock(),
                                          config_.space.max_bytes);
    context_.space = space_.get();
    context_.stats_json = [this] { return StatsJson(Stats()); };
    context_.default_durability = options.durability;
    context_.policies = config_.policies;
    context_.limits.in_flight_bytes = config_.connection_upload_bytes;
    REPRISE_ASSIGN_OR_RETURN(
        server_, Server::Start(&context_, ServerOptionsOf(config_)));
    for (const std::string& endpoint : server_->endpoints()) {
      REPRISE_LOG_INFO("serving {} on {}", engine_->name(), endpoint);
    }
    REPRISE_RETURN_IF_ERROR(StartAdmin());
    if (config_.port_file.empty()) return Status::Ok();
    return WritePortFile(config_.port_file, server_->endpoints());
  }

  Status Stop() {
    compaction_->Stop();
    jobs_->Stop();
    server_->Drain();
    server_.reset();
    admin_.reset();
    compaction_.reset();
    return catalogue_->Flush();
  }

 private:
  void StartCompaction() {
    DaemonCompactionOptions options;
    options.rules = config_.policies;
    options.marks = config_.space;
    options.interval_ms = config_.compact_interval_s * 1000;
    options.bytes_per_s = config_.compact_bytes_per_s;
    options.threads = config_.compact_threads;
    options.profile_memory_bytes = config_.profile_memory_bytes;
    if (config_.engine == "rocksdb") {
      options.reclaim = MakeReclaimHook(
          engine_.get(),
          {config_.dir, config_.space, config_.compact_bytes_per_s});
    }
    compaction_ = std::make_unique<DaemonCompaction>(
        catalogue_.get(), jobs_.get(), std::move(options));
    context_.compaction = compaction_.get();
  }

  Status StartAdmin() {
    if (config_.admin.empty()) return Status::Ok();
    auto admin = AdminServer::Start(config_.admin, [this] { return Stats(); });
    if (admin.ok()) {
      admin_ = *std::move(admin);
      REPRISE_LOG_INFO("admin on http://{}", admin_->endpoint());
      return Status::Ok();
    }
    // A second daemon on one machine is no reason to fail, unless this very
    // address was asked for.
    if (!config_.admin_is_default) return admin.status();
    REPRISE_LOG_WARN("no admin listener: {}", admin.status().ToString());
    return Status::Ok();
  }

  StatsInput Stats() {
    StatsInput input;
    input.metrics = &metrics_;
    input.engine = engine_->name();
    input.engine_stats = engine_->GetStats();
    input.sessions = census_->Get();
    input.health = engine_->Health();
    input.draining = context_.draining;
    input.collections_finished = jobs_->collections_finished();
    input.last_collection_json = jobs_->LastCollectionJson();
    input.compaction = compaction_->Figures();
    input.uptime_ms = SystemClock().MonotonicMs() - began_ms_;
    return input;
  }

  const ReprisedConfig config_;
  int64_t began_ms_ = 0;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  std::unique_ptr<SessionCensus> census_;
  ServerMetrics metrics_;
  HandlerContext context_;
  std::unique_ptr<SpaceGuard> space_;
  std::unique_ptr<Jobs> jobs_;
  std::unique_ptr<DaemonCompaction> compaction_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<Server> server_;
};

// A copy to try things on, docs/operations/space.md: no store to serve from.
void WarnOfRehearsal(const ReprisedConfig& config) {
  std::error_code error;
  const std::filesystem::path dir(config.dir);
  if (config.dir.empty() ||
      !std::filesystem::exists(dir / kRehearsalFile, error)) {
    return;
  }
  REPRISE_LOG_WARN(
      "{} has a file {}: `reprise compact run --idle-plus` may sink its "
      "sessions ahead of their time; remove the file if the store is no copy",
      config.dir, kRehearsalFile);
}

Status RunDaemon(const ReprisedConfig& config) {
  sigset_t stop_signals = BlockStopSignals();
  Daemon daemon(config);
  REPRISE_RETURN_IF_ERROR(daemon.Start());
  WarnOfRehearsal(config);
  NotifySupervisor("READY=1");
  int signal = 0;
  sigwait(&stop_signals, &signal);
  REPRISE_LOG_INFO("{}: draining", strsignal(signal));
  // A second signal does not wait.
  pthread_sigmask(SIG_UNBLOCK, &stop_signals, nullptr);
  NotifySupervisor("STOPPING=1");
  Status stopped = daemon.Stop();
  REPRISE_LOG_INFO("stopped");
  return stopped;
}

// Messages, batches and memtables of a quarter to a few megabytes come and go
// at gigabytes a second. Memory that goes back to the kernel each time comes
// back as pages to be cleared: half the cost of receiving.
void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  reprise::ReprisedCommand command = reprise::ParseReprisedCommand(argc, argv);
  if (!command.run) {
    std::fputs(command.text.c_str(), command.exit_code == 0 ? stdout : stderr);
    return command.exit_code;
  }
  reprise::KeepFreedMemory();
  reprise::Status status = reprise::InitLog(command.config.log_level);
  if (status.ok()) status = reprise::RunDaemon(command.config);
  if (!status.ok()) {
    std::fprintf(stderr, "reprised: %s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}
