// Servers on the loopback that misbehave on purpose: plain sockets and one
// thread a connection.
#ifndef REPRISE_TESTS_SUPPORT_LOOPBACK_H_
#define REPRISE_TESTS_SUPPORT_LOOPBACK_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"

namespace reprise {

// Runs `serve` for each connection, on a thread of its own; the socket is
// closed when it returns. Sockets are shut down when the server goes, so that
// every read and write ends.
class LoopbackServer {
 public:
  explicit LoopbackServer(std::function<void(int socket)> serve);
  ~LoopbackServer();
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  const std::string& endpoint() const { return endpoint_; }
  int connections() const { return connections_; }
  // Ends every connection that is open now.
  void CutAll();
  // Connections are refused from now on.
  void StopListening();

 private:
  void Accept();

  const std::function<void(int)> serve_;
  int listener_ = -1;
  std::string endpoint_;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::set<int> open_;
  std::vector<std::thread> threads_;
  std::thread accepter_;
};

// A socket connected to "127.0.0.1:PORT", or -1.
int ConnectLoopback(const std::string& endpoint);
// All of it, or false.
bool SendAll(int socket, ByteView bytes);
bool ReceiveAll(int socket, MutableByteView bytes);

}  // namespace reprise

#endif  // REPRISE_TESTS_SUPPORT_LOOPBACK_H_
