// What the daemon does with a request: bytes in, answers out, no I/O but the
// store's. A session (api/session.h) reads requests, runs them here on a
// thread that may block, and writes what comes back.
//
// A request has one answer, or a first answer and a stream of more, which is
// pulled one message at a time when there is room for it: nothing is read
// from the store long before the socket can take it.
#ifndef REPRISE_API_HANDLER_H_
#define REPRISE_API_HANDLER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/compaction_control.h"
#include "api/framing.h"
#include "api/jobs.h"
#include "api/metadata.h"
#include "api/metrics.h"
#include "api/model_shapes.h"
#include "api/space_guard.h"
#include "base/clock.h"
#include "base/status.h"
#include "store/catalogue.h"
#include "store/engine.h"
#include "store/policy_rules.h"

namespace reprise {

struct HandlerLimits {
  // Of one connection's requests that are not answered yet.
  uint64_t in_flight_bytes = 64ull << 20;
  uint32_t open_requests = 256;
  // A fetch is sent in messages of about so many bytes.
  uint32_t fetch_message_bytes = 2u << 20;
  // Of profiles that are being put together, all connections together.
  uint64_t profile_upload_bytes = 512ull << 20;
  uint32_t list_sessions = 1000;
  uint32_t describe_commits = 1000;
};

// What all connections share. Members are not owned and outlive the handlers.
struct HandlerContext {
  Catalogue* catalogue = nullptr;
  const Clock* clock = nullptr;
  ServerMetrics* metrics = nullptr;
  Jobs* jobs = nullptr;                     // null: jobs answer kUnimplemented
  CompactionControl* compaction = nullptr;  // the same, of compactions
  SpaceGuard* space = nullptr;  // null: as much as the file system takes
  std::function<std::string()> stats_json;
  Durability default_durability = Durability::kSynced;
  HandlerLimits limits;
  // Default policy and TTL, and the ladders.
  PolicyRules policies;
  std::string server_name = "reprised";
  std::atomic<bool> draining{false};

  ModelShapes shapes;
  std::atomic<uint64_t> profile_upload_bytes{0};
};

struct HandlerRequest {
  MessageHeader header;
  AlignedBytes meta;
  AlignedBytes body;
};

// One message back. The body's pieces are pinned, not copied.
struct Answer {
  MessageHead head;
  std::vector<PinnedBytes> body;
  StatusCode code = StatusCode::kOk;
  bool end = true;     // carries kEnd
  bool close = false;  // the connection ends after it

  uint64_t total_bytes() const { return head.total_bytes(); }
};

// The answers after the first. Used by one thread at a time, any thread.
class AnswerStream {
 public:
  virtual ~AnswerStream() = default;
  // The next answer; the last has `end` and is followed by none. May block.
  virtual Answer Next() = 0;
  // At most so many bytes of body has what Next says next.
  virtual uint64_t next_body_bytes() const { return 0; }
  // Next has nothing to say before this time (Clock::MonotonicMs); 0: it has.
  virtual int64_t not_before_ms() const { return 0; }
};

struct HandlerReply {
  Answer first;
  std::unique_ptr<AnswerStream> rest;  // null when first.end
};

// Set from another thread to end a stream early.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

struct ConnectionState;

// One connection's requests. Admit, Cancel and Finish are quick and belong on
// the thread that reads; Handle blocks. All are thread-safe, except that the
// first request (Hello) must be handled before the next is admitted.
class ConnectionHandler {
 public:
  explicit ConnectionHandler(HandlerContext* context);
  ~ConnectionHandler();
  ConnectionHandler(const ConnectionHandler&) = delete;
  ConnectionHandler& operator=(const ConnectionHandler&) = delete;

  bool greeted() const;
  // What a message may hold now: little before Hello.
  MessageLimits message_limits() const;

  // Whether a request may be read on, by its header alone: kFailedPrecondition
  // before Hello and for a second one, kInvalidArgument for a request id that
  // is open, kResourceExhausted for too many open requests. A request that is
  // not admitted ends the connection. One that is counts as open until Finish.
  Status Admit(const MessageHeader& header);

  // Whether a request must be answered before the next one is read: others
  // may run beside each other.
  static bool IsOrdered(MessageType type);

  // REQUIRES: admitted. Cancel requests have no answer of their own: use
  // HandleCancel for them.
  HandlerReply Handle(const HandlerRequest& request);
  // Malformed metadata comes back as an answer; else nothing does.
  std::unique_ptr<Answer> HandleCancel(const HandlerRequest& request);
  void Finish(uint64_t request);
  // Ends every open stream at its next message.
  void CancelAll();

  // The one answer to a message that could not be read; closes.
  static Answer MalformedAnswer(const MessageHeader& header,
                                const Status& status);

 private:
  CancelFlag FlagOf(uint64_t request);

  HandlerContext* context_;
  std::unique_ptr<ConnectionState> state_;
  std::mutex mutex_;
  std::map<uint64_t, CancelFlag> open_;
};

}  // namespace reprise

#endif  // REPRISE_API_HANDLER_H_
