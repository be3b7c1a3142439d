// The daemon's network side: listeners, their sessions, and the threads that
// both run on.
#ifndef REPRISE_API_SERVER_H_
#define REPRISE_API_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/handler.h"
#include "base/status.h"

namespace reprise {

struct SessionTimeouts {
  int64_t hello_ms = 10'000;
  int64_t idle_ms = 10 * 60 * 1000;  // between messages, nothing open
  int64_t message_ms = 60'000;       // from a message's first byte to its last
  int64_t write_ms = 60'000;         // without progress
};

struct ServerOptions {
  std::vector<std::string> listen;  // see api/listen_address.h
  uint32_t io_threads = 2;
  uint32_t store_threads = 4;  // for calls that block on the store
  uint32_t max_connections = 1024;
  // Requests that are not answered, of all connections together.
  uint64_t upload_bytes = 512ull << 20;
  // Answers of one connection that wait to be sent.
  uint64_t send_queue_bytes = 8ull << 20;
  SessionTimeouts timeouts;
  // Drain closes what is still open after so long.
  int64_t drain_timeout_ms = 30'000;
};

// Thread-safe.
class Server {
 public:
  // Listens and serves until Drain. `context` outlives the server.
  // kFailedPrecondition for an address beyond loopback: there is neither TLS
  // nor a token yet. kUnavailable, with the reason, for one that can't be
  // listened on.
  static Result<std::unique_ptr<Server>> Start(HandlerContext* context,
                                               const ServerOptions& options);
  // Closes everything at once, unless drained before.
  virtual ~Server() = default;

  // As bound: with the port that was picked for port 0. In the order of
  // ServerOptions::listen.
  virtual const std::vector<std::string>& endpoints() const = 0;

  // Stops accepting, lets open requests finish, then closes every session:
  // by force after drain_timeout_ms. Blocks until all are closed. Answers say
  // kDraining meanwhile.
  virtual void Drain() = 0;
};

}  // namespace reprise

#endif  // REPRISE_API_SERVER_H_
