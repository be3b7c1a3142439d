// A connection to the daemon: requests are pipelined and answered by id. It
// connects by itself when a request is made, again after it was lost, and not
// before a back-off is over when the daemon could not be reached.
//
// All sockets of a client are served by one I/O thread. Exceptions of Asio
// stop in connection.cc.
#ifndef REPRISE_CLIENT_CONNECTION_H_
#define REPRISE_CLIENT_CONNECTION_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/framing.h"
#include "base/bytes.h"
#include "base/status.h"
#include "client/buffer_pool.h"
#include "client/call_context.h"

namespace reprise {

// A request, whole, so that it can be sent again.
struct WireRequest {
  MessageType type = MessageType::kHello;
  Bytes meta;
  std::vector<ByteView> body;  // sent one after the other
  std::shared_ptr<const void> body_owner;

  uint64_t body_bytes() const;
  // On the wire: header, metadata and body.
  uint64_t wire_bytes() const {
    return kMessageHeaderBytes + meta.size() + body_bytes();
  }
};
using WireRequestPtr = std::shared_ptr<const WireRequest>;

struct WireAnswer {
  MessageHeader header;
  AlignedBytes meta;
  PooledBytes body;
};

struct TrafficCounters {
  std::atomic<uint64_t> sent_bytes{0};
  std::atomic<uint64_t> received_bytes{0};
};

// The thread and its reactor. Destroy after every Connection.
class IoThread {
 public:
  IoThread();
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  struct Loop;
  Loop* loop() { return loop_.get(); }

 private:
  std::unique_ptr<Loop> loop_;
};

class Link;

// The answers to one request, as they come. Guarded by its call's mutex.
struct Exchange {
  std::shared_ptr<CallContext> call;
  MessageType type = MessageType::kHello;
  std::weak_ptr<Link> link;
  uint64_t id = 0;
  int64_t started_ns = 0;
  std::deque<WireAnswer> answers;
  uint64_t queued_bytes = 0;           // of bodies
  std::shared_ptr<BodyMemory> bodies;  // where they are read into first
  bool reader_waits = false;
  bool ended = false;  // no more answers will come
  Status failure;      // why not, when it was no answer with kEnd
};

// The holder's end of an exchange. When it goes, later answers are dropped.
// Movable; one thread at a time.
class Pending {
 public:
  Pending() = default;
  explicit Pending(std::shared_ptr<Exchange> exchange);
  ~Pending();
  Pending(Pending&&) noexcept = default;
  Pending& operator=(Pending&& other) noexcept;

  // The next answer. After one with end() there is none.
  // An answer of type Error comes back as its Status. kUnavailable when the
  // connection fails or the call is cancelled, kDeadlineExceeded, kDataLoss
  // when what came is no message.
  Result<WireAnswer> Next(int64_t deadline_ns);

  // Bodies of answers that come from now on are read into `memory` where it has
  // room, else into a pool's. May be null.
  void ReceiveInto(std::shared_ptr<BodyMemory> memory);

  // Next would not block. REQUIRES: the call's mutex is held.
  bool Ready() const;

 private:
  void Forget();

  std::shared_ptr<Exchange> exchange_;
};

class Connection {
 public:
  struct Options {
    std::string endpoint;
    std::string token;
    std::string name;
    int64_t connect_timeout_ms = 2'000;
    // Bodies that came and were not taken yet: reading stops above it.
    uint64_t max_queued_bytes = 8ull << 20;
    // Where bodies are read into; null: a pool of its own.
    std::shared_ptr<BufferPool> buffers = nullptr;
  };
  // `io` and `traffic` must outlive it.
  Connection(IoThread* io, const Options& options, TrafficCounters* traffic);
  ~Connection();  // closes

  // Sends, after connecting where needed. Never blocks: what fails shows in
  // the first Next.
  Pending Start(WireRequestPtr request, std::shared_ptr<CallContext> call);

  // When a Start may reach the daemon again.
  int64_t retry_at_ns();
  // Connected, and nothing is open on it.
  bool idle();
  // What is open fails with kUnavailable. A later Start connects anew.
  void Close();

 private:
  friend class Link;
  struct Shared;  // outlives the connection while a link of it runs

  std::shared_ptr<Shared> shared_;
};

// kInvalidArgument unless `endpoint` is of a form that ClientOptions names.
Status CheckEndpoint(const std::string& endpoint);

}  // namespace reprise

#endif  // REPRISE_CLIENT_CONNECTION_H_
