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

Result<JobHandle> Start(const HandlerCall& call, const wire::Job& job) {
  if (call.context.jobs == nullptr) {
    return UnimplementedError("job: this daemon runs none");
  }
  switch (job.kind()) {
    case wire::JobKind::kFsck:
      return call.context.jobs->StartCheck(job.read_frames());
    case wire::JobKind::kCollect:
      return call.context.jobs->StartCollection();
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
