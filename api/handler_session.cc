// Sessions by name: fork, rewind, remove, describe, list; and leases.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "api/handler_call.h"
#include "api/wire_records.h"

namespace reprise {
namespace {

// The history of a session from its head on, at most `count` commits.
Status AddHistory(const HandlerCall& call, const SessionRecord& record,
                  uint32_t count, wire::DescribeReplyT* reply) {
  CommitId id = record.head;
  while (!id.IsZero() && reply->history.size() < count) {
    Result<CommitRecord> commit =
        call.catalogue()->GetCommit(record.domain, id);
    if (!commit.ok()) {
      // Only recent commits are kept: what is older may have gone.
      bool gone = commit.status().Is(StatusCode::kNotFound);
      return gone && !reply->history.empty() ? Status::Ok() : commit.status();
    }
    auto line = std::make_unique<wire::CommitLineT>();
    line->commit = OptionalIdToWire(id);
    line->parent = OptionalIdToWire(commit->parent);
    line->token_count = commit->token_count;
    line->segment_count = static_cast<uint32_t>(commit->segments.size());
    line->end = static_cast<uint8_t>(commit->end);
    line->pending_count = static_cast<uint32_t>(commit->pending.size());
    line->time_ms = commit->time_ms;
    reply->history.push_back(std::move(line));
    id = commit->parent;
  }
  return Status::Ok();
}

Status AddSizes(const HandlerCall& call, std::string_view name,
                wire::DescribeReplyT* reply) {
  REPRISE_ASSIGN_OR_RETURN(
      Catalogue::SessionSize size,
      call.catalogue()->MeasureSession(call.tenant(), name));
  reply->raw_bytes = size.raw_bytes;
  reply->values = size.values;
  reply->frame_bytes = size.frame_bytes;
  reply->record_bytes = size.record_bytes;
  reply->profile_bytes = size.profile_bytes;
  reply->segments_by_tier.assign(std::begin(size.segments_by_tier),
                                 std::end(size.segments_by_tier));
  reply->other_weights_segments = size.other_weights_segments;
  return Status::Ok();
}

}  // namespace

Result<HandlerReply> HandleFork(const HandlerCall& call,
                                const wire::Fork& fork) {
  REPRISE_ASSIGN_OR_RETURN(std::string_view from,
                           CheckName("fork: from", fork.from()));
  REPRISE_ASSIGN_OR_RETURN(std::string_view to,
                           CheckName("fork: to", fork.to()));
  REPRISE_ASSIGN_OR_RETURN(
      CommitOutcome outcome,
      call.catalogue()->Fork(call.tenant(), from,
                             IdFromWire<CommitId>(fork.commit()), to));
  return CommitAnswer(call, outcome);
}

Result<HandlerReply> HandleRewind(const HandlerCall& call,
                                  const wire::Rewind& rewind) {
  REPRISE_ASSIGN_OR_RETURN(std::string_view name,
                           CheckName("rewind", rewind.session()));
  Catalogue::RewindTarget target;
  target.commit = IdFromWire<CommitId>(rewind.commit());
  target.token_count = rewind.token_count();
  if (rewind.pending() != nullptr) {
    if (rewind.pending()->size() > kMaxPendingTokens) {
      return OverLimit("rewind: pending tokens", rewind.pending()->size(),
                       kMaxPendingTokens);
    }
    target.pending.assign(rewind.pending()->begin(), rewind.pending()->end());
  }
  REPRISE_ASSIGN_OR_RETURN(
      CommitOutcome outcome,
      call.catalogue()->Rewind(call.tenant(), name,
                               rewind.expected_incarnation(),
                               rewind.expected_version(), target));
  return CommitAnswer(call, outcome);
}

Result<HandlerReply> HandleRemove(const HandlerCall& call,
                                  const wire::Remove& remove) {
  REPRISE_ASSIGN_OR_RETURN(std::string_view name,
                           CheckName("remove", remove.session()));
  REPRISE_RETURN_IF_ERROR(call.catalogue()->RemoveSession(call.tenant(), name));
  return call.Only(wire::RemoveReplyT());
}

Result<HandlerReply> HandleDescribe(const HandlerCall& call,
                                    const wire::Describe& describe) {
  REPRISE_ASSIGN_OR_RETURN(std::string_view name,
                           CheckName("describe", describe.session()));
  REPRISE_ASSIGN_OR_RETURN(SessionInfo info,
                           call.catalogue()->GetSession(call.tenant(), name));
  wire::DescribeReplyT reply;
  reply.session = SessionToWire(info);
  reply.effective = EffectivePolicyOf(call, info.record);
  uint32_t commits =
      std::min(describe.commits(), call.context.limits.describe_commits);
  REPRISE_RETURN_IF_ERROR(AddHistory(call, info.record, commits, &reply));
  if (describe.with_sizes()) {
    REPRISE_RETURN_IF_ERROR(AddSizes(call, name, &reply));
  }
  return call.Only(reply);
}

Result<HandlerReply> HandleList(const HandlerCall& call,
                                const wire::List& list) {
  // A prefix or cursor that is longer than any name finds nothing.
  for (const flatbuffers::String* text : {list.prefix(), list.cursor()}) {
    if (size_t size = TextFromWire(text).size(); size > kMaxSessionNameBytes) {
      return OverLimit("list: bytes of the prefix or cursor", size,
                       kMaxSessionNameBytes);
    }
  }
  uint32_t most = call.context.limits.list_sessions;
  uint32_t limit = list.limit() == 0 ? most : std::min(list.limit(), most);
  REPRISE_ASSIGN_OR_RETURN(
      std::vector<SessionInfo> sessions,
      call.catalogue()->ListSessions(call.tenant(), TextFromWire(list.prefix()),
                                     TextFromWire(list.cursor()), limit));
  wire::ListReplyT reply;
  for (const SessionInfo& info : sessions) {
    reply.sessions.push_back(SessionToWire(info));
  }
  return call.Only(reply);
}

Result<HandlerReply> HandleLease(const HandlerCall& call,
                                 const wire::Lease& lease) {
  if (lease.lease() == 0) return InvalidArgumentError("lease: id is 0");
  REPRISE_RETURN_IF_ERROR(CheckLeaseMs(lease.lease_ms()));
  LeaseBook& book = call.connection.leases;
  if (lease.lease_ms() == 0) {
    REPRISE_RETURN_IF_ERROR(call.catalogue()->ReleaseLease(lease.lease()));
    book.Drop(lease.lease());
  } else {
    REPRISE_RETURN_IF_ERROR(
        call.catalogue()->RenewLease(lease.lease(), lease.lease_ms()));
    book.Renew(lease.lease(), call.now_ms() + lease.lease_ms());
  }
  return call.Only(wire::LeaseReplyT());
}

}  // namespace reprise
