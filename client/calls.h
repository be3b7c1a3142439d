// Typed calls: a table in, a verified table out. Here the client meets the
// protocol's FlatBuffers; everything above works on plain structs.
#ifndef REPRISE_CLIENT_CALLS_H_
#define REPRISE_CLIENT_CALLS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/metadata.h"
#include "base/bytes.h"
#include "base/status.h"
#include "client/call_context.h"
#include "client/connection.h"
#include "codec/tier.h"

namespace reprise {

// `body`: Bytes or PooledBytes, to be sent one after the other.
template <typename Native, typename Part = Bytes>
WireRequestPtr MakeRequest(MessageType type, const Native& native,
                           std::vector<Part> body = {}) {
  // Id and sizes of the header are the connection's to fill in.
  const MessageHead head = PackMessage(type, 0, 1, native);
  auto request = std::make_shared<WireRequest>();
  request->type = type;
  request->meta.assign(head.meta_view().begin(), head.meta_view().end());
  const auto parts = std::make_shared<std::vector<Part>>(std::move(body));
  for (const Part& part : *parts) {
    request->body.emplace_back(part.data(), part.size());
  }
  request->body_owner = parts;
  return request;
}

inline wire::Id16 IdToWire(const RenditionId& id) {
  return wire::Id16(flatbuffers::span<const uint8_t, 16>(id.bytes));
}

// An answer and the table in it.
template <typename Table>
struct WireReply {
  WireAnswer answer;
  const Table* table = nullptr;  // lives in the answer

  const Table* operator->() const { return table; }
};

// kDataLoss when the metadata is no such table.
template <typename Table>
Result<WireReply<Table>> ReadReply(Result<WireAnswer> answer) {
  if (!answer.ok()) return std::move(answer).status();
  auto table = VerifiedMeta<Table>(answer->meta.view());
  if (!table.ok()) {
    return DataLossError("answer: " + std::string(table.status().message()));
  }
  WireReply<Table> reply;
  reply.answer = *std::move(answer);
  reply.table = *table;
  return reply;
}

// How often a call is made when the daemon cannot be reached. Every request
// of the protocol may be sent twice.
enum class Retry {
  // Once more when a connection breaks: it may have gone stale while idle.
  kOnce,
  // Several times with growing pauses: for what a save has put work into.
  kPatiently,
};
// After failure number `failures` (from 1 on): OK when the call should be made
// again, now; else why not.
Status WaitForRetry(Connection* connection, CallContext* call, Retry retry,
                    int failures, const Status& failure);

// Sends and waits for the only answer. kUnavailable, kDeadlineExceeded,
// kDataLoss, and what the daemon answers.
Result<WireAnswer> Call(Connection* connection, const WireRequestPtr& request,
                        const std::shared_ptr<CallContext>& call,
                        int64_t timeout_ms, Retry retry);

template <typename Table, typename Native>
Result<WireReply<Table>> CallFor(Connection* connection, MessageType type,
                                 const Native& native,
                                 const std::shared_ptr<CallContext>& call,
                                 int64_t timeout_ms,
                                 Retry retry = Retry::kOnce) {
  return ReadReply<Table>(
      Call(connection, MakeRequest(type, native), call, timeout_ms, retry));
}

}  // namespace reprise

#endif  // REPRISE_CLIENT_CALLS_H_
