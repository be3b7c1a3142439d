#include "tests/client/test_daemon.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "api/admin_json.h"
#include "api/session_census.h"
#include "base/check.h"
#include "base/clock.h"
#include "store/memory_engine.h"

namespace reprise {
namespace {

constexpr int64_t kCollectWaitMs = 50;

}  // namespace

TestDaemon::TestDaemon(std::unique_ptr<Engine> engine)
    : engine_(engine != nullptr ? std::move(engine)
                                : OpenMemoryEngine(MakeMemoryStore())) {
  auto catalogue = Catalogue::Open(engine_.get(), &SystemClock(), {});
  REPRISE_CHECK(catalogue.ok());
  catalogue_ = *std::move(catalogue);
  Start();
}

TestDaemon::~TestDaemon() { Stop(); }

void TestDaemon::Start() {
  context_ = std::make_unique<HandlerContext>();
  context_->catalogue = catalogue_.get();
  context_->clock = &SystemClock();
  context_->metrics = &metrics_;
  context_->limits.fetch_message_bytes = fetch_message_bytes_;
  JobsOptions jobs;
  jobs.collect_interval_ms = 0;
  jobs.collector.wait_ms = kCollectWaitMs;
  jobs_ = std::make_unique<Jobs>(catalogue_.get(), &SystemClock(), jobs);
  context_->jobs = jobs_.get();
  SessionCensus::Options fresh;
  fresh.max_age_ms = 0;
  auto census =
      std::make_shared<SessionCensus>(engine_.get(), &SystemClock(), fresh);
  context_->stats_json = [this, census] {
    StatsInput input;
    input.metrics = &metrics_;
    input.engine = engine_->name();
    input.engine_stats = engine_->GetStats();
    input.sessions = census->Get();
    input.health = engine_->Health();
    return StatsJson(input);
  };
  ServerOptions options;
  options.listen = {endpoint_};
  options.io_threads = 1;
  options.store_threads = 2;
  auto server = Server::Start(context_.get(), options);
  REPRISE_CHECK(server.ok());
  server_ = *std::move(server);
  endpoint_ = server_->endpoints()[0];
}

void TestDaemon::set_fetch_message_bytes(uint32_t bytes) {
  fetch_message_bytes_ = bytes;
  context_->limits.fetch_message_bytes = bytes;
}

void TestDaemon::Stop() {
  server_ = nullptr;
  jobs_ = nullptr;
}

std::unique_ptr<Client> TestDaemon::Connect(ClientOptions options) {
  options.endpoint = endpoint_;
  auto client = Client::Connect(options);
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
  }
  REPRISE_CHECK(client.ok());
  return *std::move(client);
}

}  // namespace reprise
