#include "client/connection.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

#include "api/metadata.h"

namespace reprise {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr uint64_t kHelloRequest = 1;
constexpr int64_t kFirstBackOffMs = 20;
constexpr int64_t kLastBackOffMs = 2'000;
constexpr std::string_view kUnixPrefix = "unix:";

struct HostPort {
  std::string host;
  std::string port;
};

Result<HostPort> ParseTcp(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos || colon == 0 ||
      colon + 1 == endpoint.size()) {
    return InvalidArgumentError(
        "endpoint: wanted is HOST:PORT, [ADDRESS]:PORT or unix:PATH");
  }
  HostPort out{endpoint.substr(0, colon), endpoint.substr(colon + 1)};
  if (out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  } else if (out.host.find(':') != std::string::npos) {
    return InvalidArgumentError(
        "endpoint: an IPv6 address stands in brackets: [ADDRESS]:PORT");
  }
  return out;
}

Status Lost(const char* doing, const error_code& error) {
  return UnavailableError(std::string("connection: ") + doing + ": " +
                          error.message());
}

// "connect to 127.0.0.1:7077: ...", as it was configured: a wrong one shows.
Status LostTo(const std::string& endpoint, const char* doing,
              const error_code& error) {
  return Lost((std::string(doing) + " " + endpoint).c_str(), error);
}

// What the daemon sent is no message: nothing it says counts.
Status Garbage(const Status& why) {
  return DataLossError("connection: the daemon's answer: " +
                       std::string(why.message()));
}

Status StatusOfError(const WireAnswer& answer) {
  auto error = VerifiedMeta<wire::Error>(answer.meta.view());
  if (!error.ok()) return Garbage(error.status());
  const uint8_t code = (*error)->code();
  const bool known = code >= static_cast<uint8_t>(StatusCode::kNotFound) &&
                     code <= static_cast<uint8_t>(StatusCode::kInternal);
  return Status(known ? static_cast<StatusCode>(code) : StatusCode::kInternal,
                std::string(TextFromWire((*error)->message())));
}

}  // namespace

// --- The I/O thread. ---

struct IoThread::Loop {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{
      context.get_executor()};
  std::thread thread{[this] { context.run(); }};
};

IoThread::IoThread() : loop_(std::make_unique<Loop>()) {}

IoThread::~IoThread() {
  loop_->context.stop();
  loop_->thread.join();
}

// --- A connection's state, shared with its links. ---

struct Connection::Shared : std::enable_shared_from_this<Shared> {
  IoThread::Loop* io = nullptr;
  Options options;
  TrafficCounters* traffic = nullptr;

  std::mutex mutex;  // taken before a link's, never after
  std::shared_ptr<Link> link;
  int64_t retry_at_ns = 0;
  int64_t back_off_ms = kFirstBackOffMs;
  Status last_failure;

  void OnReady();
  void OnFailed(const Link* failed, const Status& why, bool was_ready);
};

// One socket, from connecting to its end. Its coroutines run on the I/O
// thread and keep it alive; everything under mutex_ may be used from any.
class Link : public std::enable_shared_from_this<Link> {
 public:
  explicit Link(std::shared_ptr<Connection::Shared> owner)
      : owner_(std::move(owner)),
        context_(owner_->io->context),
        socket_(context_),
        resolver_(context_),
        connect_timer_(context_),
        work_signal_(context_),
        room_signal_(context_) {}

  void Run();
  // False when it takes no new requests.
  bool Add(const std::shared_ptr<Exchange>& exchange, WireRequestPtr request);
  void Forget(uint64_t id);
  // Somebody waited in vain for an answer to what began at `started_ns`.
  void OnTimeout(int64_t started_ns);
  void OnRoom() { Signal(&room_signal_); }
  void Fail(Status why);
  bool idle();

 private:
  struct Outgoing {
    HeaderBytes header;
    WireRequestPtr request;
  };

  void Signal(asio::steady_timer* timer);
  awaitable<void> Main();
  awaitable<Status> Connect();
  awaitable<Status> ConnectTcp();
  awaitable<Status> Hello(MessageReader* reader);
  awaitable<Status> ReadLoop(MessageReader* reader);
  // Reads on until a whole message is there.
  awaitable<Status> ReadMessage(MessageReader* reader, PooledBytes* body);
  awaitable<void> WriteLoop();
  awaitable<Status> Write(const Outgoing& message);
  PooledBytes TakeBody(const MessageHeader& header);
  // Waits until whoever takes the answers to `id` has taken enough.
  awaitable<void> WaitForRoom(uint64_t id);
  Status Deliver(MessageReader* reader, PooledBytes body);
  std::shared_ptr<Exchange> Find(uint64_t id);

  const std::shared_ptr<Connection::Shared> owner_;
  asio::io_context& context_;
  Socket socket_;
  asio::ip::tcp::resolver resolver_;
  asio::steady_timer connect_timer_;
  asio::steady_timer work_signal_;  // cancelled when there is something to send
  asio::steady_timer room_signal_;  // cancelled when answers were taken
  std::atomic<int64_t> last_received_ns_{0};

  std::mutex mutex_;
  std::deque<Outgoing> outgoing_;
  std::unordered_map<uint64_t, std::shared_ptr<Exchange>> exchanges_;
  uint64_t next_id_ = kHelloRequest + 1;
  bool ready_ = false;
  bool draining_ = false;
  bool failed_ = false;
};

void Link::Signal(asio::steady_timer* timer) {
  asio::post(context_, [self = shared_from_this(), timer] { timer->cancel(); });
}

void Link::Run() {
  asio::co_spawn(
      context_, [self = shared_from_this()] { return self->Main(); },
      [self = shared_from_this()](std::exception_ptr error) {
        if (error) self->Fail(InternalError("connection: the reader threw"));
      });
}

bool Link::Add(const std::shared_ptr<Exchange>& exchange,
               WireRequestPtr request) {
  {
    std::lock_guard lock(mutex_);
    if (failed_ || draining_) return false;
    exchange->link = weak_from_this();
    exchange->id = next_id_++;
    exchanges_[exchange->id] = exchange;
    const HeaderBytes header = EncodeMessageHeader(
        {.type = request->type,
         .request = exchange->id,
         .meta_bytes = static_cast<uint32_t>(request->meta.size()),
         .body_bytes = static_cast<uint32_t>(request->body_bytes()),
         .meta_checksum = MetaChecksum(request->meta)});
    outgoing_.push_back({header, std::move(request)});
  }
  Signal(&work_signal_);
  return true;
}

void Link::Forget(uint64_t id) {
  bool done = false;
  {
    std::lock_guard lock(mutex_);
    exchanges_.erase(id);
    done = draining_ && exchanges_.empty();
  }
  OnRoom();
  if (done) Fail(UnavailableError("connection: the daemon is draining"));
}

std::shared_ptr<Exchange> Link::Find(uint64_t id) {
  std::lock_guard lock(mutex_);
  const auto found = exchanges_.find(id);
  return found == exchanges_.end() ? nullptr : found->second;
}

void Link::OnTimeout(int64_t started_ns) {
  if (last_received_ns_ >= started_ns) return;
  Fail(UnavailableError(
      "connection: the daemon has been silent for " +
      std::to_string((CallContext::NowNs() - started_ns) / 1'000'000) + " ms"));
}

bool Link::idle() {
  std::lock_guard lock(mutex_);
  return ready_ && !failed_ && !draining_ && exchanges_.empty();
}

void Link::Fail(Status why) {
  std::unordered_map<uint64_t, std::shared_ptr<Exchange>> open;
  bool was_ready = false;
  {
    std::lock_guard lock(mutex_);
    if (failed_) return;
    failed_ = true;
    was_ready = ready_;
    open.swap(exchanges_);
    outgoing_.clear();
  }
  owner_->OnFailed(this, why, was_ready);
  for (auto& [id, exchange] : open) {
    {
      std::lock_guard lock(exchange->call->mutex());
      if (!exchange->ended) exchange->failure = why;
      exchange->ended = true;
    }
    exchange->call->Notify();
  }
  asio::post(context_, [self = shared_from_this()] {
    error_code ignored;
    self->socket_.close(ignored);
    self->resolver_.cancel();
    self->connect_timer_.cancel();
    self->work_signal_.cancel();
    self->room_signal_.cancel();
  });
}

// --- Coroutines. ---

awaitable<void> Link::Main() {
  connect_timer_.expires_after(
      std::chrono::milliseconds(owner_->options.connect_timeout_ms));
  connect_timer_.async_wait([self = shared_from_this()](error_code error) {
    if (error) return;
    self->Fail(UnavailableError(
        "connection: no hello within " +
        std::to_string(self->owner_->options.connect_timeout_ms) + " ms"));
  });
  MessageReader reader({.replies = true});
  Status status = co_await Connect();
  if (status.ok()) status = co_await Hello(&reader);
  if (status.ok()) {
    connect_timer_.cancel();
    {
      std::lock_guard lock(mutex_);
      ready_ = true;
    }
    owner_->OnReady();
    asio::co_spawn(
        context_, [self = shared_from_this()] { return self->WriteLoop(); },
        [self = shared_from_this()](std::exception_ptr error) {
          if (error) self->Fail(InternalError("connection: the writer threw"));
        });
    status = co_await ReadLoop(&reader);
  }
  Fail(status);
}

awaitable<Status> Link::Connect() {
  const std::string& endpoint = owner_->options.endpoint;
  if (!endpoint.starts_with(kUnixPrefix)) co_return co_await ConnectTcp();
  const std::string path = endpoint.substr(kUnixPrefix.size());
  const asio::local::stream_protocol::endpoint unix_endpoint(path);
  const asio::generic::stream_protocol::endpoint generic(unix_endpoint);
  auto [error] = co_await socket_.async_connect(generic, kNoThrow);
  if (error) co_return LostTo(endpoint, "connect to", error);
  co_return Status();
}

awaitable<Status> Link::ConnectTcp() {
  auto target = ParseTcp(owner_->options.endpoint);
  if (!target.ok()) co_return target.status();
  auto [error, found] =
      co_await resolver_.async_resolve(target->host, target->port, kNoThrow);
  if (error) co_return LostTo(owner_->options.endpoint, "resolve", error);
  error_code last = asio::error::host_not_found;
  for (const auto& entry : found) {
    error_code ignored;
    socket_.close(ignored);
    const asio::generic::stream_protocol::endpoint generic(entry.endpoint());
    auto [connect_error] = co_await socket_.async_connect(generic, kNoThrow);
    last = connect_error;
    if (last == asio::error::operation_aborted) break;
    if (!last) {
      socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
      co_return Status();
    }
  }
  co_return LostTo(owner_->options.endpoint, "connect to", last);
}

awaitable<Status> Link::Hello(MessageReader* reader) {
  wire::HelloT hello;
  hello.version_min = kWireVersion;
  hello.version_max = kWireVersion;
  hello.token = owner_->options.token;
  hello.client = owner_->options.name;
  const MessageHead head =
      PackMessage(MessageType::kHello, 0, kHelloRequest, hello);
  auto request = std::make_shared<WireRequest>();
  request->meta.assign(head.meta_view().begin(), head.meta_view().end());
  const Outgoing message{head.header, std::move(request)};
  Status status = co_await Write(message);
  PooledBytes body;
  if (status.ok()) status = co_await ReadMessage(reader, &body);
  if (!status.ok()) co_return status;

  WireAnswer answer{reader->header(), reader->TakeMeta(), std::move(body)};
  if (answer.header.error()) co_return StatusOfError(answer);
  auto reply = VerifiedMeta<wire::HelloReply>(answer.meta.view());
  if (!reply.ok()) co_return Garbage(reply.status());
  if (answer.header.type != MessageType::kHello ||
      (*reply)->version() != kWireVersion) {
    co_return FailedPreconditionError("connection: the daemon speaks version " +
                                      std::to_string((*reply)->version()) +
                                      ", this library " +
                                      std::to_string(kWireVersion));
  }
  Status next = reader->NextMessage();
  co_return next.ok() ? next : Garbage(next);
}

awaitable<Status> Link::ReadMessage(MessageReader* reader, PooledBytes* body) {
  while (reader->step() != MessageReader::Step::kMessage) {
    Status status;
    if (reader->step() == MessageReader::Step::kHeader) {
      status = reader->ReadMeta();
    } else if (reader->step() == MessageReader::Step::kMeta) {
      co_await WaitForRoom(reader->header().request);
      *body = TakeBody(reader->header());
      reader->ReadBody(body->span());
    } else {
      const MutableByteView space = reader->Space();
      const asio::mutable_buffer buffer(space.data(), space.size());
      auto [error, count] = co_await socket_.async_read_some(buffer, kNoThrow);
      if (error) co_return Lost("read", error);
      owner_->traffic->received_bytes += count;
      last_received_ns_ = CallContext::NowNs();
      status = reader->Advance(count);
    }
    if (!status.ok()) co_return Garbage(status);
  }
  co_return Status();
}

PooledBytes Link::TakeBody(const MessageHeader& header) {
  const std::shared_ptr<Exchange> exchange = Find(header.request);
  std::shared_ptr<BodyMemory> memory;
  if (exchange != nullptr) {
    std::lock_guard lock(exchange->call->mutex());
    memory = exchange->bodies;
  }
  if (memory != nullptr && header.body_bytes > 0) {
    PooledBytes body = memory->TryTake(header.body_bytes);
    if (body.size() > 0) return body;
  }
  return owner_->options.buffers->Take(header.body_bytes);
}

awaitable<void> Link::WaitForRoom(uint64_t id) {
  for (;;) {
    const std::shared_ptr<Exchange> exchange = Find(id);
    if (exchange == nullptr) co_return;
    {
      std::lock_guard lock(exchange->call->mutex());
      exchange->reader_waits =
          exchange->queued_bytes >= owner_->options.max_queued_bytes;
      if (!exchange->reader_waits) co_return;
    }
    room_signal_.expires_at(asio::steady_timer::time_point::max());
    co_await room_signal_.async_wait(kNoThrow);
  }
}

awaitable<Status> Link::ReadLoop(MessageReader* reader) {
  for (;;) {
    PooledBytes body;
    Status status = co_await ReadMessage(reader, &body);
    if (status.ok()) status = Deliver(reader, std::move(body));
    if (!status.ok()) co_return status;
    status = reader->NextMessage();
    if (!status.ok()) co_return Garbage(status);
  }
}

Status Link::Deliver(MessageReader* reader, PooledBytes body) {
  WireAnswer answer{reader->header(), reader->TakeMeta(), std::move(body)};
  const MessageHeader header = answer.header;
  if (header.request == 0) {
    if (header.error()) return StatusOfError(answer);
    return DataLossError("connection: an answer to request 0");
  }
  std::shared_ptr<Exchange> exchange;
  {
    std::lock_guard lock(mutex_);
    if ((header.flags & kFlagDraining) != 0) draining_ = true;
    const auto found = exchanges_.find(header.request);
    if (found == exchanges_.end()) return Status();  // forgotten meanwhile
    exchange = found->second;
  }
  if (header.type != exchange->type) {
    return DataLossError("connection: an answer of type " +
                         std::to_string(static_cast<int>(header.type)) +
                         " to a request of " +
                         std::to_string(static_cast<int>(exchange->type)));
  }
  {
    std::lock_guard lock(exchange->call->mutex());
    exchange->queued_bytes += answer.body.size();
    exchange->answers.push_back(std::move(answer));
    if (header.end()) exchange->ended = true;
  }
  exchange->call->Notify();
  if (header.end()) Forget(header.request);
  return Status();
}

awaitable<void> Link::WriteLoop() {
  for (;;) {
    Outgoing message;
    {
      std::lock_guard lock(mutex_);
      if (failed_) co_return;
      if (!outgoing_.empty()) {
        message = std::move(outgoing_.front());
        outgoing_.pop_front();
      }
    }
    if (message.request != nullptr) {
      const Status status = co_await Write(message);
      if (!status.ok()) {
        Fail(status);
        co_return;
      }
      continue;
    }
    work_signal_.expires_at(asio::steady_timer::time_point::max());
    co_await work_signal_.async_wait(kNoThrow);
  }
}

awaitable<Status> Link::Write(const Outgoing& message) {
  std::vector<asio::const_buffer> buffers;
  buffers.reserve(2 + message.request->body.size());
  buffers.emplace_back(message.header.data(), message.header.size());
  buffers.emplace_back(message.request->meta.data(),
                       message.request->meta.size());
  for (const ByteView part : message.request->body) {
    buffers.emplace_back(part.data(), part.size());
  }
  auto [error, count] = co_await asio::async_write(socket_, buffers, kNoThrow);
  owner_->traffic->sent_bytes += count;
  if (error) co_return Lost("write", error);
  co_return Status();
}

// --- Connection. ---

void Connection::Shared::OnReady() {
  std::lock_guard lock(mutex);
  back_off_ms = kFirstBackOffMs;
  retry_at_ns = 0;
}

void Connection::Shared::OnFailed(const Link* failed, const Status& why,
                                  bool was_ready) {
  std::lock_guard lock(mutex);
  if (link.get() != failed) return;
  link = nullptr;
  last_failure = why;
  if (was_ready) return;  // it was there: try again at once
  retry_at_ns = CallContext::InMs(back_off_ms);
  back_off_ms = std::min(2 * back_off_ms, kLastBackOffMs);
}

Connection::Connection(IoThread* io, const Options& options,
                       TrafficCounters* traffic)
    : shared_(std::make_shared<Shared>()) {
  shared_->io = io->loop();
  shared_->options = options;
  if (shared_->options.buffers == nullptr) {
    shared_->options.buffers = BufferPool::Make(options.max_queued_bytes);
  }
  shared_->traffic = traffic;
}

Connection::~Connection() { Close(); }

Pending Connection::Start(WireRequestPtr request,
                          std::shared_ptr<CallContext> call) {
  auto exchange = std::make_shared<Exchange>();
  exchange->call = std::move(call);
  exchange->type = request->type;
  exchange->started_ns = CallContext::NowNs();
  std::lock_guard lock(shared_->mutex);
  if (shared_->link != nullptr && shared_->link->Add(exchange, request)) {
    return Pending(std::move(exchange));
  }
  if (exchange->started_ns < shared_->retry_at_ns) {
    exchange->ended = true;
    exchange->failure = shared_->last_failure;
    return Pending(std::move(exchange));
  }
  shared_->link = std::make_shared<Link>(shared_);
  shared_->link->Add(exchange, std::move(request));
  shared_->link->Run();
  return Pending(std::move(exchange));
}

int64_t Connection::retry_at_ns() {
  std::lock_guard lock(shared_->mutex);
  return shared_->retry_at_ns;
}

bool Connection::idle() {
  std::lock_guard lock(shared_->mutex);
  return shared_->link != nullptr && shared_->link->idle();
}

void Connection::Close() {
  std::shared_ptr<Link> link;
  {
    std::lock_guard lock(shared_->mutex);
    link = std::move(shared_->link);
    shared_->link = nullptr;
  }
  if (link != nullptr) link->Fail(UnavailableError("connection: closed"));
}

// --- Pending. ---

uint64_t WireRequest::body_bytes() const {
  uint64_t sum = 0;
  for (const ByteView part : body) sum += part.size();
  return sum;
}

Pending::Pending(std::shared_ptr<Exchange> exchange)
    : exchange_(std::move(exchange)) {}

Pending::~Pending() { Forget(); }

Pending& Pending::operator=(Pending&& other) noexcept {
  Forget();
  exchange_ = std::move(other.exchange_);
  return *this;
}

void Pending::Forget() {
  if (exchange_ == nullptr) return;
  if (auto link = exchange_->link.lock()) link->Forget(exchange_->id);
  exchange_ = nullptr;
}

void Pending::ReceiveInto(std::shared_ptr<BodyMemory> memory) {
  if (exchange_ == nullptr) return;
  std::lock_guard lock(exchange_->call->mutex());
  exchange_->bodies = std::move(memory);
}

bool Pending::Ready() const {
  return !exchange_->answers.empty() || exchange_->ended;
}

Result<WireAnswer> Pending::Next(int64_t deadline_ns) {
  WireAnswer answer;
  bool reader_waits = false;
  {
    std::unique_lock lock(exchange_->call->mutex());
    Status status =
        exchange_->call->Wait(lock, deadline_ns, [this] { return Ready(); });
    if (!status.ok()) {
      lock.unlock();
      const auto link = exchange_->link.lock();
      if (link != nullptr && status.Is(StatusCode::kDeadlineExceeded)) {
        link->OnTimeout(exchange_->started_ns);
      }
      return status;
    }
    if (exchange_->answers.empty()) {
      if (!exchange_->failure.ok()) return exchange_->failure;
      return InternalError("connection: no answer after the last one");
    }
    answer = std::move(exchange_->answers.front());
    exchange_->answers.pop_front();
    exchange_->queued_bytes -= answer.body.size();
    reader_waits = std::exchange(exchange_->reader_waits, false);
  }
  if (reader_waits) {
    if (auto link = exchange_->link.lock()) link->OnRoom();
  }
  if (answer.header.error()) return StatusOfError(answer);
  return answer;
}

Status CheckEndpoint(const std::string& endpoint) {
  if (!endpoint.starts_with(kUnixPrefix)) return ParseTcp(endpoint).status();
  const size_t path_bytes = endpoint.size() - kUnixPrefix.size();
  constexpr size_t kMaxPathBytes = 107;  // sun_path holds 108 with its zero
  if (path_bytes >= 1 && path_bytes <= kMaxPathBytes) return Status();
  return InvalidArgumentError("endpoint: path is " +
                              std::to_string(path_bytes) + " bytes, 1 to " +
                              std::to_string(kMaxPathBytes) + " are possible");
}

}  // namespace reprise
