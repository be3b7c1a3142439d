// A client for tests that speaks the protocol by hand, over blocking sockets:
// it can also say what no client should.
#ifndef REPRISE_TESTS_API_RAW_CLIENT_H_
#define REPRISE_TESTS_API_RAW_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/framing.h"
#include "api/metadata.h"
#include "base/bytes.h"

namespace reprise {

struct RawMessage {
  MessageHeader header;
  AlignedBytes meta;
  Bytes body;

  // Metadata of a good answer. Aborts when it is none.
  template <typename Table>
  const Table& As() const {
    auto table = VerifiedMeta<Table>(meta.view());
    REPRISE_CHECK(!header.error() && table.ok());
    return **table;
  }
  // Of an error.
  StatusCode code() const;
  std::string error_message() const;
};

class RawClient {
 public:
  // To an endpoint as Server::endpoints() names it. Aborts when nobody is
  // there.
  explicit RawClient(const std::string& endpoint);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // False when the connection is gone.
  bool SendBytes(ByteView bytes);
  template <typename Native>
  bool Send(MessageType type, uint64_t request, const Native& native,
            ByteView body = {}) {
    return SendBytes(Encode(type, request, native, body));
  }
  template <typename Native>
  static Bytes Encode(MessageType type, uint64_t request, const Native& native,
                      ByteView body = {}) {
    MessageHead head = PackMessage(type, 0, request, native,
                                   static_cast<uint32_t>(body.size()));
    ByteWriter writer;
    writer.Raw(head.header_view());
    writer.Raw(head.meta_view());
    writer.Raw(body);
    return writer.Take();
  }

  // The next message; nothing at the end of the stream, after a timeout, or
  // when what comes is no message.
  std::optional<RawMessage> Receive();
  // Sends and waits for the one answer, with a request id of its own.
  template <typename Native>
  std::optional<RawMessage> Call(MessageType type, const Native& native,
                                 ByteView body = {}) {
    if (!Send(type, ++last_request_, native, body)) return std::nullopt;
    return Receive();
  }
  std::optional<RawMessage> SayHello();

  // True when the peer has closed; waits for it.
  bool AtEnd();
  void ShutdownSend();
  void SetReceiveTimeoutMs(int64_t ms);
  // Before bytes pile up in the kernel.
  void SetReceiveBuffer(int bytes);
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
  uint64_t last_request_ = 1000;
  MessageReader reader_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_API_RAW_CLIENT_H_
