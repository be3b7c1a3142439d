#include "api/server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "api/byte_budget.h"
#include "api/listen_address.h"
#include "api/session.h"
#include "api/session_transport.h"
#include "base/log.h"

namespace reprise {
namespace {

namespace asio = boost::asio;
using Protocol = asio::generic::stream_protocol;
using Acceptor = asio::basic_socket_acceptor<Protocol>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

Status ListenError(const ListenAddress& address, std::string_view what,
                   const boost::system::error_code& error) {
  return UnavailableError("listen on " + ToString(address) + ": " +
                          std::string(what) + ": " + error.message());
}

Result<Protocol::endpoint> TcpEndpoint(const ListenAddress& address) {
  boost::system::error_code error;
  auto ip = asio::ip::make_address(address.host, error);
  if (error) {
    return InvalidArgumentError("listen on " + ToString(address) +
                                ": the host is no IP address");
  }
  if (!ip.is_loopback()) {
    return FailedPreconditionError(
        "listen on " + ToString(address) +
        ": the address is beyond loopback, which needs TLS and tokens, and "
        "this build has neither: use 127.0.0.1, [::1] or unix:/path");
  }
  return Protocol::endpoint(asio::ip::tcp::endpoint(ip, address.port));
}

// A socket file that nobody listens on is left over from a crash.
Status RemoveStaleSocket(asio::io_context* io, const ListenAddress& address) {
  struct stat info;
  if (::lstat(address.path.c_str(), &info) != 0) return Status::Ok();
  if (!S_ISSOCK(info.st_mode)) {
    return FailedPreconditionError("listen on " + ToString(address) +
                                   ": the file is there and is no socket");
  }
  asio::local::stream_protocol::socket probe(*io);
  boost::system::error_code error;
  probe.connect(asio::local::stream_protocol::endpoint(address.path), error);
  if (!error) {
    return UnavailableError("listen on " + ToString(address) +
                            ": another process listens there");
  }
  ::unlink(address.path.c_str());
  return Status::Ok();
}

std::string BoundName(const ListenAddress& address, const Acceptor& acceptor) {
  if (address.is_unix) return ToString(address);
  asio::ip::tcp::endpoint bound;
  auto local = acceptor.local_endpoint();
  bound.resize(local.size());
  std::memcpy(bound.data(), local.data(), local.size());
  ListenAddress name = address;
  name.port = bound.port();
  return ToString(name);
}

class ServerImpl final : public Server {
 public:
  ServerImpl(HandlerContext* context, const ServerOptions& options)
      : context_(context),
        options_(options),
        io_(static_cast<int>(options.io_threads)),
        work_(asio::make_work_guard(io_)),
        store_pool_(options.store_threads),
        upload_budget_(options.upload_bytes) {
    shared_.context = context_;
    shared_.store_pool = &store_pool_;
    shared_.upload_budget = &upload_budget_;
    shared_.options.hello_timeout_ms = options.timeouts.hello_ms;
    shared_.options.idle_timeout_ms = options.timeouts.idle_ms;
    shared_.options.message_timeout_ms = options.timeouts.message_ms;
    shared_.options.write_timeout_ms = options.timeouts.write_ms;
    shared_.options.send_queue_bytes = options.send_queue_bytes;
  }

  ~ServerImpl() override {
    StopAccepting();
    AbortSessions();
    WaitForSessions(nullptr);
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
    store_pool_.join();
    for (const std::string& path : unix_paths_) ::unlink(path.c_str());
  }

  Status Listen() {
    for (const std::string& text : options_.listen) {
      REPRISE_ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(text));
      REPRISE_RETURN_IF_ERROR(ListenOn(address));
    }
    for (auto& acceptor : acceptors_) {
      asio::co_spawn(
          acceptor->get_executor(),
          [this, a = acceptor.get()] { return AcceptLoop(a); }, asio::detached);
    }
    for (uint32_t i = 0; i < options_.io_threads; i++) {
      threads_.emplace_back([this] { io_.run(); });
    }
    return Status::Ok();
  }

  const std::vector<std::string>& endpoints() const override {
    return endpoints_;
  }

  void Drain() override {
    context_->draining = true;
    StopAccepting();
    ForEachSession([](Session& session) { session.Drain(); });
    auto deadline = std::chrono::steady_clock::now() +
                    std::chrono::milliseconds(options_.drain_timeout_ms);
    if (WaitForSessions(&deadline)) return;
    REPRISE_LOG_WARN("drain: requests still open after {} ms, closing",
                     options_.drain_timeout_ms);
    AbortSessions();
    WaitForSessions(nullptr);
  }

 private:
  Status ListenOn(const ListenAddress& address) {
    Protocol::endpoint endpoint;
    if (address.is_unix) {
      REPRISE_RETURN_IF_ERROR(RemoveStaleSocket(&io_, address));
      endpoint = asio::local::stream_protocol::endpoint(address.path);
    } else {
      REPRISE_ASSIGN_OR_RETURN(endpoint, TcpEndpoint(address));
    }
    auto acceptor = std::make_unique<Acceptor>(asio::make_strand(io_));
    boost::system::error_code error;
    acceptor->open(endpoint.protocol(), error);
    if (error) return ListenError(address, "open", error);
    acceptor->set_option(asio::socket_base::reuse_address(true), error);
    acceptor->bind(endpoint, error);
    if (error) return ListenError(address, "bind", error);
    // Whoever may connect may read every session.
    if (address.is_unix) ::chmod(address.path.c_str(), 0600);
    acceptor->listen(asio::socket_base::max_listen_connections, error);
    if (error) return ListenError(address, "listen", error);
    endpoints_.push_back(BoundName(address, *acceptor));
    if (address.is_unix) unix_paths_.push_back(address.path);
    acceptors_.push_back(std::move(acceptor));
    return Status::Ok();
  }

  asio::awaitable<void> AcceptLoop(Acceptor* acceptor) {
    for (;;) {
      Protocol::socket socket(asio::make_strand(io_));
      auto [error] = co_await acceptor->async_accept(socket, kTuple);
      if (!acceptor->is_open()) co_return;
      if (error) {
        // Out of file descriptors, most likely: let some close.
        asio::steady_timer pause(acceptor->get_executor(),
                                 std::chrono::milliseconds(100));
        co_await pause.async_wait(kTuple);
        continue;
      }
      StartSession(std::move(socket));
    }
  }

  void StartSession(Protocol::socket socket) {
    boost::system::error_code ignored;  // a unix socket has no such option
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    std::unique_lock lock(mutex_);
    if (stopping_ || sessions_.size() >= options_.max_connections) {
      context_->metrics->connections_refused++;
      return;
    }
    context_->metrics->connections_accepted++;
    auto session = std::make_shared<Session>(
        MakeSocketTransport(std::move(socket)), &shared_);
    sessions_.emplace(session.get(), session);
    lock.unlock();
    session->Start([this, key = session.get()] { EndSession(key); });
  }

  void EndSession(Session* ended) {
    std::lock_guard lock(mutex_);
    sessions_.erase(ended);
    if (sessions_.empty()) all_ended_.notify_all();
  }

  void StopAccepting() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    for (auto& acceptor : acceptors_) {
      asio::post(acceptor->get_executor(), [a = acceptor.get()] {
        boost::system::error_code ignored;
        a->close(ignored);
      });
    }
  }

  template <typename Function>
  void ForEachSession(Function function) {
    std::lock_guard lock(mutex_);
    for (const auto& [key, session] : sessions_) function(*session);
  }
  void AbortSessions() {
    ForEachSession([](Session& session) { session.Abort(); });
  }

  // True when all have ended; false at the deadline.
  bool WaitForSessions(const std::chrono::steady_clock::time_point* deadline) {
    std::unique_lock lock(mutex_);
    auto ended = [this] { return sessions_.empty(); };
    if (deadline != nullptr) {
      return all_ended_.wait_until(lock, *deadline, ended);
    }
    all_ended_.wait(lock, ended);
    return true;
  }

  HandlerContext* context_;
  ServerOptions options_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::thread_pool store_pool_;
  ByteBudget upload_budget_;
  SessionShared shared_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::vector<std::string> endpoints_;
  std::vector<std::string> unix_paths_;
  std::vector<std::thread> threads_;

  std::mutex mutex_;
  std::condition_variable all_ended_;
  bool stopping_ = false;
  std::unordered_map<Session*, std::shared_ptr<Session>> sessions_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(HandlerContext* context,
                                              const ServerOptions& options) {
  auto server = std::make_unique<ServerImpl>(context, options);
  REPRISE_RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace reprise
