#include "api/handler.h"

#include <algorithm>
#include <utility>

#include "api/handler_call.h"
#include "base/check.h"

namespace reprise {
namespace {

// Before Hello nobody knows who is there.
constexpr MessageLimits kLimitsBeforeHello = {.meta_bytes = 16 << 10,
                                              .body_bytes = 0};

// Verifies the metadata as Table and calls `function` with it.
template <typename Table>
HandlerReply Run(const HandlerCall& call,
                 Result<HandlerReply> (*function)(const HandlerCall&,
                                                  const Table&)) {
  Result<const Table*> table = VerifiedMeta<Table>(call.request.meta.view());
  if (!table.ok()) {
    // The bytes are damaged, or made to do damage.
    Answer answer = call.Failed(table.status());
    answer.close = true;
    return {std::move(answer), nullptr};
  }
  Result<HandlerReply> reply = function(call, **table);
  if (!reply.ok()) return {call.Failed(reply.status()), nullptr};
  return *std::move(reply);
}

HandlerReply Dispatch(const HandlerCall& call) {
  switch (call.type()) {
    case MessageType::kHello:
      return Run(call, HandleHello);
    case MessageType::kPutModel:
      return Run(call, HandlePutModel);
    case MessageType::kGetModel:
      return Run(call, HandleGetModel);
    case MessageType::kPutProfile:
      return Run(call, HandlePutProfile);
    case MessageType::kGetProfile:
      return Run(call, HandleGetProfile);
    case MessageType::kMatch:
      return Run(call, HandleMatch);
    case MessageType::kPutFrames:
      return Run(call, HandlePutFrames);
    case MessageType::kPublish:
      return Run(call, HandlePublish);
    case MessageType::kCommit:
      return Run(call, HandleCommit);
    case MessageType::kFetch:
      return Run(call, HandleFetch);
    case MessageType::kFork:
      return Run(call, HandleFork);
    case MessageType::kRewind:
      return Run(call, HandleRewind);
    case MessageType::kRemove:
      return Run(call, HandleRemove);
    case MessageType::kDescribe:
      return Run(call, HandleDescribe);
    case MessageType::kList:
      return Run(call, HandleList);
    case MessageType::kLease:
      return Run(call, HandleLease);
    case MessageType::kStats:
      return Run(call, HandleStats);
    case MessageType::kJob:
      return Run(call, HandleJob);
    case MessageType::kSetPolicy:
      return Run(call, HandleSetPolicy);
    case MessageType::kPin:
      return Run(call, HandlePin);
    case MessageType::kCancel:
      break;
  }
  return {call.Failed(InternalError("request: type without a handler")),
          nullptr};
}

// Types whose requests carry a body.
bool HasBody(MessageType type) {
  return type == MessageType::kPutModel || type == MessageType::kPutProfile ||
         type == MessageType::kPutFrames || type == MessageType::kCommit;
}

}  // namespace

ConnectionHandler::ConnectionHandler(HandlerContext* context)
    : context_(context), state_(std::make_unique<ConnectionState>()) {}

ConnectionHandler::~ConnectionHandler() {
  context_->profile_upload_bytes -= state_->upload.total_bytes;
}

bool ConnectionHandler::greeted() const { return state_->greeted; }

MessageLimits ConnectionHandler::message_limits() const {
  return state_->greeted ? MessageLimits{} : kLimitsBeforeHello;
}

Status ConnectionHandler::Admit(const MessageHeader& header) {
  bool is_hello = header.type == MessageType::kHello;
  if (is_hello == state_->greeted) {
    return FailedPreconditionError(
        is_hello
            ? "hello: sent twice"
            : "request: type " + std::to_string(static_cast<int>(header.type)) +
                  " came before hello");
  }
  // Not answered, so never open.
  if (header.type == MessageType::kCancel) return Status::Ok();
  std::lock_guard lock(mutex_);
  if (open_.size() >= context_->limits.open_requests) {
    return ResourceExhaustedError(
        "request: " + std::to_string(open_.size()) +
        " are open on this connection, the limit is " +
        std::to_string(context_->limits.open_requests));
  }
  auto flag = std::make_shared<std::atomic<bool>>(false);
  if (!open_.emplace(header.request, std::move(flag)).second) {
    return InvalidArgumentError(
        "request: id " + std::to_string(header.request) + " is still open");
  }
  return Status::Ok();
}

bool ConnectionHandler::IsOrdered(MessageType type) {
  return type == MessageType::kHello || type == MessageType::kPutProfile;
}

CancelFlag ConnectionHandler::FlagOf(uint64_t request) {
  std::lock_guard lock(mutex_);
  auto it = open_.find(request);
  return it == open_.end() ? nullptr : it->second;
}

HandlerReply ConnectionHandler::Handle(const HandlerRequest& request) {
  HandlerCall call{*context_, *state_, request, FlagOf(request.header.request)};
  REPRISE_CHECK(call.cancelled != nullptr);
  if (!HasBody(request.header.type) && request.body.size() != 0) {
    return {
        call.Failed(InvalidArgumentError(
            "request: body is " + std::to_string(request.body.size()) +
            " bytes, type " +
            std::string(MessageTypeName(request.header.type)) + " has none")),
        nullptr};
  }
  HandlerReply reply = Dispatch(call);
  // A client that this daemon can't greet has nothing more to say.
  if (!state_->greeted) reply.first.close = true;
  return reply;
}

std::unique_ptr<Answer> ConnectionHandler::HandleCancel(
    const HandlerRequest& request) {
  auto cancel = VerifiedMeta<wire::Cancel>(request.meta.view());
  if (!cancel.ok()) {
    return std::make_unique<Answer>(
        MalformedAnswer(request.header, cancel.status()));
  }
  // One that is over, or never was, is no error: the two may cross.
  if (CancelFlag flag = FlagOf((*cancel)->request())) *flag = true;
  return nullptr;
}

void ConnectionHandler::Finish(uint64_t request) {
  std::lock_guard lock(mutex_);
  open_.erase(request);
}

void ConnectionHandler::CancelAll() {
  std::lock_guard lock(mutex_);
  for (auto& [request, flag] : open_) *flag = true;
}

Answer ConnectionHandler::MalformedAnswer(const MessageHeader& header,
                                          const Status& status) {
  wire::ErrorT error;
  error.code = static_cast<uint8_t>(status.code());
  error.message = status.message();
  Answer answer;
  answer.head = PackMessage(header.type, kFlagReply | kFlagEnd | kFlagError,
                            header.request, error);
  answer.code = status.code();
  answer.close = true;
  return answer;
}

}  // namespace reprise
