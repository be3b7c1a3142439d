#include "tests/client/test_daemon.h"

#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "store/memory_engine.h"

namespace reprise {

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
  ServerOptions options;
  options.listen = {endpoint_};
  options.io_threads = 1;
  options.store_threads = 2;
  auto server = Server::Start(context_.get(), options);
  REPRISE_CHECK(server.ok());
  server_ = *std::move(server);
  endpoint_ = server_->endpoints()[0];
}

void TestDaemon::Stop() { server_ = nullptr; }

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
