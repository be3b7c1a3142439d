#include "tests/support/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"

namespace reprise {
namespace {

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

LoopbackServer::LoopbackServer(std::function<void(int socket)> serve)
    : serve_(std::move(serve)) {
  listener_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  REPRISE_CHECK(bind(listener_, generic, length) == 0);
  REPRISE_CHECK(listen(listener_, 64) == 0);
  REPRISE_CHECK(getsockname(listener_, generic, &length) == 0);
  endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  accepter_ = std::thread([this] { Accept(); });
}

LoopbackServer::~LoopbackServer() {
  StopListening();
  CutAll();
  for (std::thread& thread : threads_) thread.join();
  close(listener_);
}

void LoopbackServer::StopListening() {
  shutdown(listener_, SHUT_RDWR);
  if (accepter_.joinable()) accepter_.join();
}

void LoopbackServer::CutAll() {
  std::lock_guard lock(mutex_);
  for (int socket : open_) shutdown(socket, SHUT_RDWR);
}

void LoopbackServer::Accept() {
  for (;;) {
    const int socket = accept(listener_, nullptr, nullptr);
    if (socket < 0) return;
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ++connections_;
    std::lock_guard lock(mutex_);
    open_.insert(socket);
    threads_.emplace_back([this, socket] {
      serve_(socket);
      std::lock_guard closing(mutex_);
      open_.erase(socket);
      close(socket);
    });
  }
}

int ConnectLoopback(const std::string& endpoint) {
  const int port = std::stoi(endpoint.substr(endpoint.rfind(':') + 1));
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(static_cast<uint16_t>(port));
  if (connect(socket_fd, reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) == 0) {
    const int on = 1;
    setsockopt(socket_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return socket_fd;
  }
  close(socket_fd);
  return -1;
}

bool SendAll(int socket, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  return true;
}

bool ReceiveAll(int socket, MutableByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t got = recv(socket, bytes.data(), bytes.size(), 0);
    if (got <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(got));
  }
  return true;
}

}  // namespace reprise
