// A daemon that says what a test tells it to: garbage, nothing, half a
// message, or well-formed lies.
#ifndef REPRISE_TESTS_SUPPORT_FAKE_DAEMON_H_
#define REPRISE_TESTS_SUPPORT_FAKE_DAEMON_H_

#include <functional>
#include <memory>
#include <string>

#include "api/framing.h"
#include "api/metadata.h"
#include "base/bytes.h"
#include "tests/support/loopback.h"

namespace reprise {

// A message as it came.
struct FakeRequest {
  MessageHeader header;
  AlignedBytes meta;
  Bytes body;
};

// One connection of the fake, on its own thread.
class FakeConnection {
 public:
  explicit FakeConnection(int socket) : socket_(socket) {}

  // False at the end of the connection.
  bool Receive(FakeRequest* request);
  bool SendRaw(ByteView bytes) { return SendAll(socket_, bytes); }
  // A well-formed answer.
  template <typename Native>
  bool Answer(const FakeRequest& request, const Native& native,
              uint16_t flags = kFlagReply | kFlagEnd, ByteView body = {}) {
    const MessageHead head =
        PackMessage(request.header.type, flags, request.header.request, native,
                    static_cast<uint32_t>(body.size()));
    return SendRaw(head.header_view()) && SendRaw(head.meta_view()) &&
           SendRaw(body);
  }
  bool AnswerHello(const FakeRequest& request);

 private:
  const int socket_;
};

class FakeDaemon {
 public:
  // What it does with each request after a Hello, which it answers by itself.
  // False ends the connection.
  using Handler =
      std::function<bool(FakeConnection& connection, const FakeRequest&)>;
  explicit FakeDaemon(Handler handler);
  // Also without a Hello: the whole connection is the test's.
  static std::unique_ptr<LoopbackServer> Raw(
      std::function<void(FakeConnection& connection)> serve);

  const std::string& endpoint() const { return server_.endpoint(); }
  int connections() const { return server_.connections(); }

 private:
  LoopbackServer server_;
};

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_FAKE_DAEMON_H_
