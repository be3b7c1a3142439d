#include "bench/loopback_reference.h"

#include <algorithm>
#include <boost/asio.hpp>
#include <thread>
#include <vector>

#include "base/bytes.h"

namespace reprise::bench {

using boost::asio::ip::tcp;

void SendOverLoopback(uint64_t bytes, uint64_t write_bytes) {
  boost::asio::io_context io;
  tcp::acceptor acceptor(
      io, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  std::thread sender([&acceptor, bytes, write_bytes] {
    boost::asio::io_context own;
    tcp::socket socket(own);
    socket.connect(acceptor.local_endpoint());
    const Bytes buffer(write_bytes, 1);
    for (uint64_t sent = 0; sent < bytes; sent += write_bytes) {
      const uint64_t count = std::min(write_bytes, bytes - sent);
      boost::asio::write(socket, boost::asio::buffer(buffer.data(), count));
    }
  });
  tcp::socket socket(io);
  acceptor.accept(socket);
  Bytes buffer(write_bytes);
  for (uint64_t received = 0; received < bytes;) {
    const uint64_t count = std::min(write_bytes, bytes - received);
    received +=
        boost::asio::read(socket, boost::asio::buffer(buffer.data(), count));
  }
  sender.join();
}

}  // namespace reprise::bench
