#include "api/session_transport.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace reprise {
namespace {

namespace asio = boost::asio;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

class SocketTransport final : public Transport {
 public:
  explicit SocketTransport(asio::generic::stream_protocol::socket socket)
      : socket_(std::move(socket)) {}

  asio::any_io_executor executor() override { return socket_.get_executor(); }

  asio::awaitable<Done> ReadSome(MutableByteView buffer) override {
    auto [error, bytes] = co_await socket_.async_read_some(
        asio::buffer(buffer.data(), buffer.size()), kTuple);
    co_return Done{error, bytes};
  }

  asio::awaitable<Done> WriteSome(
      std::span<const asio::const_buffer> buffers) override {
    auto [error, bytes] = co_await socket_.async_write_some(buffers, kTuple);
    co_return Done{error, bytes};
  }

  void ShutdownSend() override {
    boost::system::error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_send, ignored);
  }

  void Close() override {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  asio::generic::stream_protocol::socket socket_;
};

}  // namespace

std::unique_ptr<Transport> MakeSocketTransport(
    asio::generic::stream_protocol::socket socket) {
  return std::make_unique<SocketTransport>(std::move(socket));
}

}  // namespace reprise
