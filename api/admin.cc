#include "api/admin.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <thread>
#include <utility>

#include "api/admin_metrics.h"
#include "api/listen_address.h"

namespace reprise {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr auto kTimeout = std::chrono::seconds(10);
constexpr uint32_t kMaxHeaderBytes = 8 << 10;
constexpr int kMaxConnections = 32;

AdminResponse Readiness(const StatsInput& stats) {
  if (stats.draining) return {.status = 503, .body = "draining\n"};
  if (!stats.health.ok()) {
    return {.status = 503, .body = stats.health.ToString() + "\n"};
  }
  return {.body = "ready\n"};
}

class AdminServerImpl final : public AdminServer {
 public:
  explicit AdminServerImpl(StatsSource stats)
      : stats_(std::move(stats)), acceptor_(io_) {}
  ~AdminServerImpl() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  Status Listen(const ListenAddress& address) {
    boost::system::error_code error;
    auto ip = asio::ip::make_address(address.host, error);
    if (address.is_unix || error) {
      return InvalidArgumentError("admin: " + ToString(address) +
                                  " is no IP address and port");
    }
    if (!ip.is_loopback()) {
      return FailedPreconditionError(
          "admin: " + ToString(address) +
          " is beyond loopback, and whoever reaches it needs no password");
    }
    asio::ip::tcp::endpoint endpoint(ip, address.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) {
      acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    }
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(kMaxConnections, error);
    if (error) {
      return UnavailableError("admin: listen on " + ToString(address) + ": " +
                              error.message());
    }
    ListenAddress bound = address;
    bound.port = acceptor_.local_endpoint().port();
    endpoint_ = ToString(bound);
    asio::co_spawn(
        io_, [this] { return AcceptLoop(); }, asio::detached);
    thread_ = std::thread([this] { io_.run(); });
    return Status::Ok();
  }

  const std::string& endpoint() const override { return endpoint_; }

 private:
  asio::awaitable<void> AcceptLoop() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(kTuple);
      if (error || connections_ >= kMaxConnections) {
        asio::steady_timer pause(io_, std::chrono::milliseconds(50));
        co_await pause.async_wait(kTuple);
        continue;
      }
      connections_++;
      asio::co_spawn(
          io_,
          [this, stream = beast::tcp_stream(std::move(socket))]() mutable {
            return Serve(std::move(stream));
          },
          asio::detached);
    }
  }

  asio::awaitable<void> Serve(beast::tcp_stream stream) {
    beast::flat_buffer buffer;
    for (bool keep = true; keep;) {
      http::request_parser<http::empty_body> parser;
      parser.header_limit(kMaxHeaderBytes);
      parser.body_limit(0);
      stream.expires_after(kTimeout);
      auto [error, bytes] =
          co_await http::async_read(stream, buffer, parser, kTuple);
      if (error) break;
      const auto& request = parser.get();
      AdminResponse answer = AnswerAdmin(
          {request.method_string().data(), request.method_string().size()},
          {request.target().data(), request.target().size()}, stats_);
      http::response<http::string_body> response(
          static_cast<http::status>(answer.status), request.version());
      response.set(http::field::content_type,
                   beast::string_view(answer.content_type.data(),
                                      answer.content_type.size()));
      response.set(http::field::cache_control, "no-store");
      response.keep_alive(request.keep_alive());
      keep = request.keep_alive();
      response.body() = std::move(answer.body);
      response.prepare_payload();
      stream.expires_after(kTimeout);
      auto [write_error, written] =
          co_await http::async_write(stream, response, kTuple);
      if (write_error) break;
    }
    connections_--;
  }

  StatsSource stats_;
  asio::io_context io_{1};
  asio::ip::tcp::acceptor acceptor_;
  std::string endpoint_;
  int connections_ = 0;  // of the one thread
  std::thread thread_;
};

}  // namespace

AdminResponse AnswerAdmin(std::string_view method, std::string_view target,
                          const StatsSource& stats) {
  if (method != "GET") return {.status = 405, .body = "only GET\n"};
  std::string_view path = target.substr(0, target.find('?'));
  if (path == "/healthz") return {.body = "ok\n"};
  if (path == "/readyz") return Readiness(stats());
  if (path == "/metrics") {
    return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
            .body = MetricsText(stats())};
  }
  if (path == "/api/stats") {
    return {.content_type = "application/json",
            .body = StatsJson(stats()) + "\n"};
  }
  return {.status = 404,
          .body = "try /metrics, /healthz, /readyz or /api/stats\n"};
}

Result<std::unique_ptr<AdminServer>> AdminServer::Start(
    const std::string& address, StatsSource stats) {
  REPRISE_ASSIGN_OR_RETURN(ListenAddress parsed, ParseListenAddress(address));
  auto server = std::make_unique<AdminServerImpl>(std::move(stats));
  REPRISE_RETURN_IF_ERROR(server->Listen(parsed));
  return std::unique_ptr<AdminServer>(std::move(server));
}

}  // namespace reprise
