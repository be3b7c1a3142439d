#include "client/calls.h"

#include <algorithm>

namespace reprise {
namespace {

constexpr int kPatientAttempts = 7;
constexpr int64_t kFirstPauseMs = 30;

}  // namespace

Status WaitForRetry(Connection* connection, CallContext* call, Retry retry,
                    int failures, const Status& failure) {
  const bool timed_out = failure.Is(StatusCode::kDeadlineExceeded);
  const bool again = failure.Is(StatusCode::kUnavailable) ||
                     (timed_out && retry == Retry::kPatiently &&
                      CallContext::NowNs() < call->deadline_ns());
  if (!again || call->cancelled()) return failure;
  if (retry == Retry::kOnce) return failures == 1 ? Status() : failure;
  if (failures >= kPatientAttempts) return failure;
  const int64_t pause_ms = kFirstPauseMs << (failures - 1);
  const int64_t until_ns =
      std::max(connection->retry_at_ns(), CallContext::InMs(pause_ms));
  if (until_ns >= call->deadline_ns()) return failure;
  return call->SleepUntil(until_ns);
}

Result<WireAnswer> Call(Connection* connection, const WireRequestPtr& request,
                        const std::shared_ptr<CallContext>& call,
                        int64_t timeout_ms, Retry retry) {
  for (int failures = 0;;) {
    Pending pending = connection->Start(request, call);
    Result<WireAnswer> answer = pending.Next(CallContext::InMs(timeout_ms));
    if (answer.ok()) {
      if (answer->header.end()) return answer;
      return DataLossError("answer: the only one has no end flag");
    }
    REPRISE_RETURN_IF_ERROR(WaitForRetry(connection, call.get(), retry,
                                         ++failures, answer.status()));
  }
}

}  // namespace reprise
