// One connection: reads requests, has them handled, writes the answers. All
// memory is bounded: by the bytes of requests that are not answered, by the
// bytes of answers that wait to be sent, and by how many requests are worked
// on at once. When one of these is reached the session stops reading.
#ifndef REPRISE_API_SESSION_H_
#define REPRISE_API_SESSION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "api/byte_budget.h"
#include "api/framing.h"
#include "api/handler.h"
#include "api/session_transport.h"

namespace reprise {

struct SessionOptions {
  int64_t hello_timeout_ms = 10'000;
  // Between messages, while no request is open.
  int64_t idle_timeout_ms = 10 * 60 * 1000;
  // From the first byte of a message to its last.
  int64_t message_timeout_ms = 60'000;
  // Without any progress of a write.
  int64_t write_timeout_ms = 60'000;
  // For the peer to close after we have.
  int64_t linger_ms = 1'000;
  // A drained session waits so long for another request before it closes.
  int64_t drain_idle_ms = 250;
  // Answers waiting to be sent, and what of streams is being read for them: a
  // stream goes on when its next message fits, or nothing else is there. First
  // answers, whose size nobody knows before, begin below the limit.
  uint64_t send_queue_bytes = 8ull << 20;
  // Requests of one connection that are worked on at the same time.
  uint32_t concurrent_requests = 8;
};

// What all sessions of a server share; outlives them.
struct SessionShared {
  HandlerContext* context = nullptr;
  boost::asio::thread_pool* store_pool = nullptr;  // blocking calls run here
  ByteBudget* upload_budget = nullptr;
  SessionOptions options;
};

// Something that coroutines of one strand wait for. One event is waited for
// with Wait, by any number, or with WaitFor, by one.
class StrandEvent {
 public:
  explicit StrandEvent(const boost::asio::any_io_executor& executor)
      : timer_(executor, boost::asio::steady_timer::time_point::max()) {}
  boost::asio::awaitable<void> Wait();
  // At most `ms` milliseconds.
  boost::asio::awaitable<void> WaitFor(int64_t ms);
  void NotifyAll() { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;
};

// Lives, by itself, until the connection has ended. Everything private runs
// on the transport's executor.
class Session final : public std::enable_shared_from_this<Session> {
 public:
  Session(std::unique_ptr<Transport> transport, SessionShared* shared);

  // `on_end` is called once, on the transport's executor.
  void Start(std::function<void()> on_end);
  // Thread-safe: close as soon as no request is open.
  void Drain();
  // Thread-safe: close at once.
  void Abort();

 private:
  using Request = std::shared_ptr<HandlerRequest>;

  // Ends when the connection has ended; the other coroutines serve it.
  boost::asio::awaitable<void> Run();
  boost::asio::awaitable<void> ReadLoop();
  boost::asio::awaitable<void> WriteLoop();
  boost::asio::awaitable<void> Serve(Request request);
  boost::asio::awaitable<void> ServeRest(uint64_t request,
                                         std::unique_ptr<AnswerStream> rest,
                                         StatusCode* code);

  // Reads into the reader once, or throws away what comes while closing.
  boost::asio::awaitable<bool> ReadOnce(Status* status);
  boost::asio::awaitable<Status> TakeStep();
  boost::asio::awaitable<void> WaitForUploadRoom(uint64_t bytes);
  boost::asio::awaitable<void> Accept();
  boost::asio::awaitable<bool> WriteBatch();
  // Until a request may be worked on and its answer has room.
  boost::asio::awaitable<void> TakeSlot(uint64_t answer_bytes);
  void GiveSlot(uint64_t answer_bytes);
  bool HasSlot(uint64_t answer_bytes) const;

  void Send(Answer answer);
  // Keep queued_bytes_.
  void AddQueued(uint64_t bytes);
  void TakeQueued(uint64_t bytes);
  void ReleaseUpload(uint64_t bytes);
  void BeginClose();
  void CloseNow();
  void CheckDeadlines();
  // Of reading; REQUIRES: a read is under way.
  void CheckReadDeadlines(int64_t now_ms);
  // How often to look at the deadlines.
  int64_t TickMs() const;
  bool ending() const { return closing_ || input_over_ || draining_; }
  bool AllAnswered() const;
  int64_t NowMs() const;

  std::unique_ptr<Transport> transport_;
  SessionShared* shared_;
  HandlerContext* context_;
  ConnectionHandler handler_;
  std::function<void()> on_end_;

  // Reading.
  MessageReader reader_;
  AlignedBytes body_;
  bool reading_ = false;          // a read is under way
  int64_t message_began_ms_ = 0;  // 0: between messages
  int64_t last_active_ms_ = 0;
  bool input_over_ = false;
  uint64_t upload_bytes_ = 0;
  StrandEvent upload_event_;

  // Working.
  uint32_t open_requests_ = 0;
  uint32_t slots_used_ = 0;
  uint64_t slot_bytes_ = 0;  // that they are about to queue
  StrandEvent slot_event_;

  // Writing.
  std::deque<Answer> queue_;
  std::vector<Answer> batch_;
  std::vector<boost::asio::const_buffer> buffers_;
  uint64_t queued_bytes_ = 0;   // batch_ included
  int64_t write_began_ms_ = 0;  // 0: no write under way
  bool writer_over_ = false;
  StrandEvent queue_event_;

  // Ending.
  bool draining_ = false;
  bool closing_ = false;     // no more requests; what is open is still answered
  bool closed_ = false;      // the transport is closed
  int64_t shutdown_ms_ = 0;  // when our end was shut; 0: not yet
  StrandEvent run_event_;
};

}  // namespace reprise

#endif  // REPRISE_API_SESSION_H_
