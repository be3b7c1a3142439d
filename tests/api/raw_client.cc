#include "tests/api/raw_client.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "api/listen_address.h"
#include "base/check.h"

namespace reprise {
namespace {

int Connect(const std::string& endpoint) {
  Result<ListenAddress> address = ParseListenAddress(endpoint);
  REPRISE_CHECK(address.ok());
  int fd = ::socket(address->is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
  REPRISE_CHECK(fd >= 0);
  int result = -1;
  if (address->is_unix) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path, address->path.c_str(), sizeof(to.sun_path) - 1);
    result = ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to));
  } else {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(address->port);
    REPRISE_CHECK(::inet_pton(AF_INET, address->host.c_str(), &to.sin_addr) ==
                  1);
    result = ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to));
  }
  REPRISE_CHECK(result == 0);
  return fd;
}

}  // namespace

StatusCode RawMessage::code() const {
  if (!header.error()) return StatusCode::kOk;
  auto error = VerifiedMeta<wire::Error>(meta.view());
  REPRISE_CHECK(error.ok());
  return static_cast<StatusCode>((*error)->code());
}

std::string RawMessage::error_message() const {
  if (!header.error()) return "";
  auto error = VerifiedMeta<wire::Error>(meta.view());
  REPRISE_CHECK(error.ok());
  return std::string(TextFromWire((*error)->message()));
}

RawClient::RawClient(const std::string& endpoint)
    : fd_(Connect(endpoint)), reader_({.replies = true}) {
  SetReceiveTimeoutMs(20'000);
}

RawClient::~RawClient() { ::close(fd_); }

bool RawClient::SendBytes(ByteView bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  return true;
}

std::optional<RawMessage> RawClient::Receive() {
  RawMessage message;
  while (reader_.step() != MessageReader::Step::kMessage) {
    switch (reader_.step()) {
      case MessageReader::Step::kBytes: {
        MutableByteView space = reader_.Space();
        ssize_t got = ::recv(fd_, space.data(), space.size(), 0);
        if (got <= 0 || !reader_.Advance(static_cast<size_t>(got)).ok()) {
          return std::nullopt;
        }
        break;
      }
      case MessageReader::Step::kHeader:
        if (!reader_.ReadMeta().ok()) return std::nullopt;
        break;
      case MessageReader::Step::kMeta:
        message.body.resize(reader_.header().body_bytes);
        reader_.ReadBody(message.body);
        break;
      case MessageReader::Step::kMessage:
        break;
    }
  }
  message.header = reader_.header();
  message.meta = reader_.TakeMeta();
  if (!reader_.NextMessage().ok()) return std::nullopt;
  return message;
}

std::optional<RawMessage> RawClient::SayHello() {
  wire::HelloT hello;
  hello.version_min = kWireVersion;
  hello.version_max = kWireVersion;
  hello.client = "raw";
  return Call(MessageType::kHello, hello);
}

bool RawClient::AtEnd() {
  uint8_t byte = 0;
  return ::recv(fd_, &byte, 1, 0) <= 0;
}

void RawClient::ShutdownSend() { ::shutdown(fd_, SHUT_WR); }

void RawClient::SetReceiveTimeoutMs(int64_t ms) {
  timeval timeout{.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

void RawClient::SetReceiveBuffer(int bytes) {
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

}  // namespace reprise
