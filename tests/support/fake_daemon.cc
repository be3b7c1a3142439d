#include "tests/support/fake_daemon.h"

#include <utility>

namespace reprise {

bool FakeConnection::Receive(FakeRequest* request) {
  HeaderBytes header;
  if (!ReceiveAll(socket_, header)) return false;
  if (!ParseMessageHeader(header, /*replies=*/false, {}, &request->header)
           .ok()) {
    return false;
  }
  request->meta = AlignedBytes(request->header.meta_bytes);
  request->body.resize(request->header.body_bytes);
  return ReceiveAll(socket_, request->meta.span()) &&
         ReceiveAll(socket_, request->body);
}

bool FakeConnection::AnswerHello(const FakeRequest& request) {
  wire::HelloReplyT reply;
  reply.version = kWireVersion;
  reply.server = "fake";
  return Answer(request, reply);
}

FakeDaemon::FakeDaemon(Handler handler)
    : server_([handler = std::move(handler)](int socket) {
        FakeConnection connection(socket);
        FakeRequest request;
        while (connection.Receive(&request)) {
          const bool go_on = request.header.type == MessageType::kHello
                                 ? connection.AnswerHello(request)
                                 : handler(connection, request);
          if (!go_on) return;
        }
      }) {}

std::unique_ptr<LoopbackServer> FakeDaemon::Raw(
    std::function<void(FakeConnection& connection)> serve) {
  return std::make_unique<LoopbackServer>(
      [serve = std::move(serve)](int socket) {
        FakeConnection connection(socket);
        serve(connection);
      });
}

}  // namespace reprise
