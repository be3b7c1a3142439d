#include "api/session.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <string>
#include <utility>

namespace reprise {
namespace {

namespace asio = boost::asio;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// As many as Asio hands to one system call.
constexpr size_t kBuffersAWrite = 64;
// Small answers share a write.
constexpr uint64_t kBatchBytes = 256 << 10;

// Runs a function that blocks on the pool, and comes back to this executor.
template <typename Function>
asio::awaitable<std::invoke_result_t<Function>> OnPool(asio::thread_pool* pool,
                                                       Function function) {
  co_return co_await asio::co_spawn(
      *pool,
      [function = std::move(function)]() mutable
      -> asio::awaitable<std::invoke_result_t<Function>> {
        co_return function();
      },
      asio::use_awaitable);
}

void AddBuffer(ByteView bytes, std::vector<asio::const_buffer>* buffers) {
  if (!bytes.empty()) buffers->emplace_back(bytes.data(), bytes.size());
}

}  // namespace

asio::awaitable<void> StrandEvent::Wait() {
  // Setting the time anew would wake the others.
  co_await timer_.async_wait(kTuple);
}

asio::awaitable<void> StrandEvent::WaitFor(int64_t ms) {
  timer_.expires_after(std::chrono::milliseconds(ms));
  co_await timer_.async_wait(kTuple);
}

Session::Session(std::unique_ptr<Transport> transport, SessionShared* shared)
    : transport_(std::move(transport)),
      shared_(shared),
      context_(shared->context),
      handler_(shared->context),
      reader_({.replies = false, .limits = handler_.message_limits()}),
      last_active_ms_(NowMs()),
      upload_event_(transport_->executor()),
      slot_event_(transport_->executor()),
      queue_event_(transport_->executor()),
      run_event_(transport_->executor()) {}

int64_t Session::NowMs() const { return context_->clock->MonotonicMs(); }

void Session::Start(std::function<void()> on_end) {
  on_end_ = std::move(on_end);
  auto self = shared_from_this();
  asio::co_spawn(
      transport_->executor(), [self] { return self->Run(); }, asio::detached);
}

void Session::Drain() {
  asio::post(transport_->executor(), [self = shared_from_this()] {
    self->draining_ = true;
    self->run_event_.NotifyAll();
  });
}

void Session::Abort() {
  asio::post(transport_->executor(),
             [self = shared_from_this()] { self->CloseNow(); });
}

// --- Life. ---

asio::awaitable<void> Session::Run() {
  auto self = shared_from_this();
  auto executor = transport_->executor();
  context_->metrics->connections_open++;
  asio::co_spawn(
      executor, [self] { return self->ReadLoop(); }, asio::detached);
  asio::co_spawn(
      executor, [self] { return self->WriteLoop(); }, asio::detached);
  while (!closed_) {
    CheckDeadlines();
    bool over = input_over_ || closing_;
    if (over && AllAnswered() && shutdown_ms_ == 0) {
      transport_->ShutdownSend();
      shutdown_ms_ = NowMs();
    }
    if (shutdown_ms_ != 0 && input_over_) CloseNow();
    if (!closed_) co_await run_event_.WaitFor(TickMs());
  }
  while (open_requests_ > 0 || !input_over_ || !writer_over_) {
    co_await run_event_.WaitFor(TickMs());
  }
  ReleaseUpload(upload_bytes_);
  TakeQueued(queued_bytes_);
  context_->metrics->connections_open--;
  on_end_();
}

bool Session::AllAnswered() const {
  return open_requests_ == 0 && queued_bytes_ == 0;
}

void Session::BeginClose() {
  closing_ = true;
  handler_.CancelAll();
  run_event_.NotifyAll();
}

void Session::CloseNow() {
  closed_ = true;
  handler_.CancelAll();
  transport_->Close();
  run_event_.NotifyAll();
  upload_event_.NotifyAll();
  slot_event_.NotifyAll();
  queue_event_.NotifyAll();
}

int64_t Session::TickMs() const {
  const SessionOptions& options = shared_->options;
  int64_t shortest =
      std::min({options.hello_timeout_ms, options.idle_timeout_ms,
                options.message_timeout_ms, options.write_timeout_ms,
                options.linger_ms, options.drain_idle_ms});
  return std::clamp<int64_t>(shortest / 2, 5, 1'000);
}

void Session::CheckDeadlines() {
  const SessionOptions& options = shared_->options;
  int64_t now_ms = NowMs();
  if (write_began_ms_ != 0 &&
      now_ms - write_began_ms_ >= options.write_timeout_ms) {
    context_->metrics->deadlines_missed++;
    CloseNow();
  } else if (shutdown_ms_ != 0) {
    if (now_ms - shutdown_ms_ >= options.linger_ms) CloseNow();
  } else if (reading_ && !closing_) {
    CheckReadDeadlines(now_ms);
  }
}

void Session::CheckReadDeadlines(int64_t now_ms) {
  const SessionOptions& options = shared_->options;
  if (message_began_ms_ != 0) {
    if (now_ms - message_began_ms_ < options.message_timeout_ms) return;
    context_->metrics->deadlines_missed++;
    Send(ConnectionHandler::MalformedAnswer(
        reader_.header(),
        DeadlineExceededError("message: not complete after " +
                              std::to_string(options.message_timeout_ms) +
                              " ms")));
    BeginClose();
    return;
  }
  if (open_requests_ > 0) return;
  int64_t idle_ms = draining_            ? options.drain_idle_ms
                    : handler_.greeted() ? options.idle_timeout_ms
                                         : options.hello_timeout_ms;
  if (now_ms - last_active_ms_ >= idle_ms) BeginClose();
}

// --- Reading. ---

asio::awaitable<void> Session::ReadLoop() {
  auto self = shared_from_this();
  Status status;
  while (!closed_) {
    if (closing_ || reader_.step() == MessageReader::Step::kBytes) {
      if (!co_await ReadOnce(&status)) break;
    } else {
      status = co_await TakeStep();
    }
    if (!status.ok() && !closing_) {
      context_->metrics->malformed_messages++;
      Send(ConnectionHandler::MalformedAnswer(reader_.header(), status));
      BeginClose();
    }
  }
  input_over_ = true;
  run_event_.NotifyAll();
}

asio::awaitable<bool> Session::ReadOnce(Status* status) {
  reading_ = true;
  // Whatever a closing session is sent is dropped, into any buffer.
  std::array<uint8_t, 4096> dropped;
  bool drop = closing_;
  MutableByteView space = dropped;
  if (!drop) space = reader_.Space();
  Transport::Done done = co_await transport_->ReadSome(space);
  reading_ = false;
  if (done.error || done.bytes == 0) co_return false;
  context_->metrics->received_bytes += done.bytes;
  last_active_ms_ = NowMs();
  if (drop || closing_) co_return true;
  if (message_began_ms_ == 0) message_began_ms_ = NowMs();
  *status = reader_.Advance(done.bytes);
  co_return true;
}

asio::awaitable<Status> Session::TakeStep() {
  const MessageHeader& header = reader_.header();
  switch (reader_.step()) {
    case MessageReader::Step::kBytes:
      break;
    case MessageReader::Step::kHeader:
      if (Status s = handler_.Admit(header); !s.ok()) co_return s;
      co_await WaitForUploadRoom(uint64_t{header.meta_bytes} +
                                 header.body_bytes);
      if (closed_) break;
      message_began_ms_ = NowMs();
      co_return reader_.ReadMeta();
    case MessageReader::Step::kMeta:
      body_ = AlignedBytes(header.body_bytes);
      reader_.ReadBody(body_.span());
      break;
    case MessageReader::Step::kMessage:
      message_began_ms_ = 0;
      co_await Accept();
      if (closed_ || closing_) break;
      reader_.set_limits(handler_.message_limits());
      if (Status s = reader_.NextMessage(); !s.ok()) co_return s;
      if (!reader_.between_messages()) message_began_ms_ = NowMs();
      break;
  }
  co_return Status::Ok();
}

asio::awaitable<void> Session::WaitForUploadRoom(uint64_t bytes) {
  uint64_t limit = context_->limits.in_flight_bytes;
  auto retry = [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr) return;
    asio::post(self->transport_->executor(),
               [self] { self->upload_event_.NotifyAll(); });
  };
  while (!closed_) {
    bool fits = upload_bytes_ == 0 || upload_bytes_ + bytes <= limit;
    if (fits && shared_->upload_budget->TryTake(bytes, retry)) {
      upload_bytes_ += bytes;
      context_->metrics->upload_bytes_held += static_cast<int64_t>(bytes);
      co_return;
    }
    co_await upload_event_.Wait();
  }
}

void Session::ReleaseUpload(uint64_t bytes) {
  upload_bytes_ -= bytes;
  context_->metrics->upload_bytes_held -= static_cast<int64_t>(bytes);
  shared_->upload_budget->GiveBack(bytes);
  upload_event_.NotifyAll();
}

asio::awaitable<void> Session::Accept() {
  auto request = std::make_shared<HandlerRequest>();
  request->header = reader_.header();
  request->meta = reader_.TakeMeta();
  request->body = std::move(body_);
  if (request->header.type == MessageType::kCancel) {
    if (auto answer = handler_.HandleCancel(*request)) {
      Send(std::move(*answer));
    }
    ReleaseUpload(request->meta.size() + request->body.size());
    co_return;
  }
  open_requests_++;
  context_->metrics->requests_open++;
  if (ConnectionHandler::IsOrdered(request->header.type)) {
    co_await Serve(std::move(request));
    co_return;
  }
  asio::co_spawn(
      transport_->executor(),
      [self = shared_from_this(), request = std::move(request)]() mutable {
        return self->Serve(std::move(request));
      },
      asio::detached);
}

// --- Working. ---

bool Session::HasSlot(uint64_t answer_bytes) const {
  if (slots_used_ >= shared_->options.concurrent_requests) return false;
  const uint64_t limit = shared_->options.send_queue_bytes;
  const uint64_t taken = queued_bytes_ + slot_bytes_;
  // What is larger than the whole queue comes through alone.
  return taken == 0 || (taken < limit && answer_bytes <= limit - taken);
}

asio::awaitable<void> Session::TakeSlot(uint64_t answer_bytes) {
  while (!closed_ && !HasSlot(answer_bytes)) co_await slot_event_.Wait();
  slots_used_++;
  slot_bytes_ += answer_bytes;
}

void Session::GiveSlot(uint64_t answer_bytes) {
  slots_used_--;
  slot_bytes_ -= answer_bytes;
  slot_event_.NotifyAll();
}

asio::awaitable<void> Session::Serve(Request request) {
  auto self = shared_from_this();
  const MessageHeader header = request->header;
  int64_t began_ns = context_->clock->MonotonicNs();
  co_await TakeSlot(0);
  HandlerReply reply;
  if (!closed_) {
    reply = co_await OnPool(shared_->store_pool, [this, &request] {
      return handler_.Handle(*request);
    });
  }
  GiveSlot(0);
  ReleaseUpload(request->meta.size() + request->body.size());
  request.reset();
  StatusCode code = reply.first.code;
  // Once its last answer is on its way the client may use the id again.
  if (reply.first.end) handler_.Finish(header.request);
  Send(std::move(reply.first));
  if (reply.rest != nullptr) {
    co_await ServeRest(header.request, std::move(reply.rest), &code);
  }
  context_->metrics->RecordRequest(header.type, code,
                                   context_->clock->MonotonicNs() - began_ns);
  context_->metrics->requests_open--;
  open_requests_--;
  last_active_ms_ = NowMs();
  if (ending()) run_event_.NotifyAll();
}

asio::awaitable<void> Session::ServeRest(uint64_t request,
                                         std::unique_ptr<AnswerStream> rest,
                                         StatusCode* code) {
  bool end = false;
  while (!end && !closed_) {
    if (int64_t wait_ms = rest->not_before_ms() - NowMs(); wait_ms > 0) {
      co_await StrandEvent(transport_->executor()).WaitFor(wait_ms);
    }
    const uint64_t bytes = rest->next_body_bytes();
    co_await TakeSlot(bytes);
    Answer answer;
    if (!closed_) {
      answer = co_await OnPool(shared_->store_pool,
                               [&rest] { return rest->Next(); });
    }
    GiveSlot(bytes);
    if (closed_) break;
    end = answer.end;
    *code = answer.code;
    if (end) handler_.Finish(request);
    Send(std::move(answer));
  }
  // It may give back a lease, which blocks.
  co_await OnPool(shared_->store_pool, [&rest] {
    rest.reset();
    return true;
  });
}

// --- Writing. ---

void Session::AddQueued(uint64_t bytes) {
  queued_bytes_ += bytes;
  context_->metrics->send_bytes_held += static_cast<int64_t>(bytes);
}

void Session::TakeQueued(uint64_t bytes) {
  queued_bytes_ -= bytes;
  context_->metrics->send_bytes_held -= static_cast<int64_t>(bytes);
}

void Session::Send(Answer answer) {
  if (closed_) return;
  bool close = answer.close;
  AddQueued(answer.total_bytes());
  queue_.push_back(std::move(answer));
  queue_event_.NotifyAll();
  if (close) BeginClose();
}

asio::awaitable<void> Session::WriteLoop() {
  auto self = shared_from_this();
  while (!closed_) {
    if (queue_.empty()) {
      co_await queue_event_.Wait();
    } else if (!co_await WriteBatch()) {
      CloseNow();
    }
  }
  queue_.clear();
  writer_over_ = true;
  run_event_.NotifyAll();
}

asio::awaitable<bool> Session::WriteBatch() {
  batch_.clear();
  buffers_.clear();
  uint64_t bytes = 0;
  while (!queue_.empty() && bytes < kBatchBytes) {
    batch_.push_back(std::move(queue_.front()));
    queue_.pop_front();
    bytes += batch_.back().total_bytes();
  }
  for (const Answer& answer : batch_) {
    AddBuffer(answer.head.header_view(), &buffers_);
    AddBuffer(answer.head.meta_view(), &buffers_);
    for (const PinnedBytes& piece : answer.body) {
      AddBuffer(piece.view(), &buffers_);
    }
  }
  std::span<asio::const_buffer> left(buffers_);
  while (!left.empty() && !closed_) {
    write_began_ms_ = NowMs();
    Transport::Done done = co_await transport_->WriteSome(
        left.first(std::min(left.size(), kBuffersAWrite)));
    write_began_ms_ = 0;
    if (done.error) co_return false;
    context_->metrics->sent_bytes += done.bytes;
    size_t taken = done.bytes;
    while (!left.empty() && taken >= left.front().size()) {
      taken -= left.front().size();
      left = left.subspan(1);
    }
    if (taken > 0) left.front() += taken;
  }
  batch_.clear();
  TakeQueued(bytes);
  slot_event_.NotifyAll();
  if (ending()) run_event_.NotifyAll();
  co_return true;
}

}  // namespace reprise
