// A daemon inside the test's process, over a store in memory. It collects only
// on request, and does not wait long for commits under way.
#ifndef REPRISE_TESTS_CLIENT_TEST_DAEMON_H_
#define REPRISE_TESTS_CLIENT_TEST_DAEMON_H_

#include <memory>
#include <string>

#include "api/handler.h"
#include "api/jobs.h"
#include "api/metrics.h"
#include "api/server.h"
#include "client/client.h"
#include "store/catalogue.h"
#include "store/engine.h"

namespace reprise {

class TestDaemon {
 public:
  // Over an engine in memory, or over the one given. Aborts when it cannot
  // listen.
  explicit TestDaemon(std::unique_ptr<Engine> engine = nullptr);
  ~TestDaemon();

  const std::string& endpoint() const { return endpoint_; }
  Catalogue* catalogue() { return catalogue_.get(); }
  Engine* engine() { return engine_.get(); }

  // Frames go into one message up to so many bytes, at least one.
  void set_fetch_message_bytes(uint32_t bytes);

  // Goes away, and comes back on the same port with the same store.
  void Stop();
  void Start();

  // A client of it. Aborts when it cannot connect.
  std::unique_ptr<Client> Connect(ClientOptions options = {});

 private:
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Catalogue> catalogue_;
  ServerMetrics metrics_;
  std::unique_ptr<Jobs> jobs_;
  std::unique_ptr<HandlerContext> context_;
  std::unique_ptr<Server> server_;
  uint32_t fetch_message_bytes_ = HandlerLimits().fetch_message_bytes;
  std::string endpoint_ = "127.0.0.1:0";
};

}  // namespace reprise

#endif  // REPRISE_TESTS_CLIENT_TEST_DAEMON_H_
