// Jobs over the whole store: progress while they run, the report at the end.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "api/handler_call.h"

namespace reprise {
namespace {

class JobStream final : public AnswerStream {
 public:
  JobStream(const HandlerCall& call, JobHandle job)
      : id_(call.id()),
        context_(call.context),
        cancelled_(call.cancelled),
        job_(std::move(job)) {}

  Answer Next() override {
    JobState::Progress progress = job_->Get();
    not_before_ms_ = context_.clock->MonotonicMs() + kPauseMs;
    // The job itself goes on: others may wait for it too.
    bool end = progress.finished || *cancelled_;
    uint16_t flags = kFlagReply;
    if (end) flags |= kFlagEnd;
    if (context_.draining) flags |= kFlagDraining;
    Answer answer;
    answer.end = end;
    if (!progress.status.ok()) {
      answer.code = progress.status.code();
      wire::ErrorT error;
      error.code = static_cast<uint8_t>(answer.code);
      error.message = progress.status.message();
      answer.head =
          PackMessage(MessageType::kJob, flags | kFlagError, id_, error);
      return answer;
    }
    wire::JobReplyT reply;
    reply.done = progress.done;
    reply.total = progress.total;
    reply.json = std::move(progress.json);
    reply.progress = std::move(progress.detail);
    answer.head = PackMessage(MessageType::kJob, flags, id_, reply);
    return answer;
  }
  int64_t not_before_ms() const override { return not_before_ms_; }

 private:
  static constexpr int64_t kPauseMs = 100;

  uint64_t id_;
  HandlerContext& context_;
  CancelFlag cancelled_;
  JobHandle job_;
  int64_t not_before_ms_ = 0;
};

constexpr uint32_t kMaxLadderSettings = 64;

Result<CompactionRequest> CompactionOf(const wire::Job& job) {
  CompactionRequest request;
  if (job.action() < wire::CompactAction::MIN ||
      job.action() > wire::CompactAction::MAX) {
    return OverLimit("job: action", static_cast<uint8_t>(job.action()),
                     static_cast<uint8_t>(wire::CompactAction::MAX));
  }
  request.action = static_cast<CompactionAction>(job.action());
  if (job.bytes_per_s() < -1 || job.at_ms() < 0 || job.idle_plus_ms() < 0) {
    return InvalidArgumentError(
        "job: rate " + std::to_string(job.bytes_per_s()) + ", time " +
        std::to_string(job.at_ms()) + " and idle time " +
        std::to_string(job.idle_plus_ms()) + " must be 0 at least (rate: -1)");
  }
  if (job.bytes_per_s() >= 0) {
    request.bytes_per_s = static_cast<uint64_t>(job.bytes_per_s());
  }
  request.threads = job.threads();
  request.until_below_bytes = job.until_below_bytes();
  request.policy = TextFromWire(job.policy());
  if (const auto* ladders = job.ladders(); ladders != nullptr) {
    if (ladders->size() > kMaxLadderSettings) {
      return OverLimit("job: ladder settings", ladders->size(),
                       kMaxLadderSettings);
    }
    for (const auto* ladder : *ladders) {
      request.ladders.emplace_back(TextFromWire(ladder));
    }
  }
  request.at_ms = job.at_ms();
  request.idle_plus_ms = job.idle_plus_ms();
  request.encode_bytes_per_s = job.encode_bytes_per_s();
  return request;
}

Result<JobHandle> StartCompaction(const HandlerCall& call,
                                  const wire::Job& job) {
  if (call.context.compaction == nullptr) {
    return UnimplementedError("job: this daemon runs no compactions");
  }
  REPRISE_ASSIGN_OR_RETURN(const CompactionRequest request, CompactionOf(job));
  return call.context.compaction->Start(request);
}

Result<JobHandle> StartScrub(const HandlerCall& call, const wire::Job& job) {
  ScrubRequest request;
  request.action = static_cast<ScrubAction>(job.action());
  switch (request.action) {
    case ScrubAction::kRun:
    case ScrubAction::kStatus:
    case ScrubAction::kPause:
    case ScrubAction::kResume:
    case ScrubAction::kCancel:
      break;
    default:
      return InvalidArgumentError(
          "job: a scrub has no action " +
          std::to_string(static_cast<unsigned>(job.action())));
  }
  if (job.bytes_per_s() > 0) {
    request.bytes_per_s = static_cast<uint64_t>(job.bytes_per_s());
  }
  return call.context.jobs->StartScrub(request);
}

Result<JobHandle> Start(const HandlerCall& call, const wire::Job& job) {
  if (call.context.jobs == nullptr) {
    return UnimplementedError("job: this daemon runs none");
  }
  switch (job.kind()) {
    case wire::JobKind::kFsck:
      return call.context.jobs->StartCheck(job.read_frames());
    case wire::JobKind::kCollect:
      return call.context.jobs->StartCollection();
    case wire::JobKind::kScrub:
      return StartScrub(call, job);
    case wire::JobKind::kCompact:
      return StartCompaction(call, job);
  }
  return OverLimit("job: kind", static_cast<uint8_t>(job.kind()),
                   static_cast<uint8_t>(wire::JobKind::MAX));
}

}  // namespace

Result<HandlerReply> HandleJob(const HandlerCall& call, const wire::Job& job) {
  REPRISE_ASSIGN_OR_RETURN(JobHandle handle, Start(call, job));
  auto stream = std::make_unique<JobStream>(call, std::move(handle));
  Answer first = stream->Next();
  if (first.end) return HandlerReply{std::move(first), nullptr};
  return HandlerReply{std::move(first), std::move(stream)};
}

}  // namespace reprise
