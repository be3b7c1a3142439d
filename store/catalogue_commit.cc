// Commit: a session's head swings, or nothing does. Also what fork and rewind
// share with it.
#include <algorithm>
#include <string>

#include "base/limits.h"
#include "store/catalogue_impl.h"

namespace reprise {
namespace {

// How far IsAncestor looks. Older commits are kept by no root and are likely
// to be gone.
constexpr int kMaxAncestorSteps = 256;

std::string At(uint64_t incarnation, uint64_t version) {
  return "incarnation " + std::to_string(incarnation) + " version " +
         std::to_string(version);
}

Status CheckLabels(const CommitRequest& request) {
  if (request.labels.size() > kMaxLabels) {
    return InvalidArgumentError(
        "commit: " + std::to_string(request.labels.size()) +
        " labels, at most " + std::to_string(kMaxLabels));
  }
  for (const auto& [key, value] : request.labels) {
    if (key.empty() || key.size() > kMaxLabelKeyBytes ||
        value.size() > kMaxLabelValueBytes) {
      return InvalidArgumentError(
          "commit: a label has " + std::to_string(key.size()) + " and " +
          std::to_string(value.size()) + " bytes, 1 to " +
          std::to_string(kMaxLabelKeyBytes) + " and at most " +
          std::to_string(kMaxLabelValueBytes) + " are allowed");
    }
  }
  return Status();
}

// The session must be what the client last saw of it.
Status CheckExpected(const SessionRecord& session, const CommitRequest& request,
                     const CommitRecord& commit) {
  if (session.incarnation != request.expected_incarnation ||
      session.version != request.expected_version) {
    return FailedPreconditionError(
        "commit: session is at " + At(session.incarnation, session.version) +
        ", expected was " +
        At(request.expected_incarnation, request.expected_version));
  }
  if (session.model == commit.model) return Status();
  return FailedPreconditionError("commit: session is of model " +
                                 session.model.ShortHex() + ", the commit of " +
                                 commit.model.ShortHex());
}

// How many segments two commits have in common, from the start on.
size_t CommonSegments(const CommitRecord& a, const CommitRecord* b) {
  if (b == nullptr) return 0;
  const auto [end, unused] = std::ranges::mismatch(a.segments, b->segments);
  return static_cast<size_t>(end - a.segments.begin());
}

// A segment that is there must continue the chain that the commit claims.
Status CheckLink(const CommitRecord& commit, size_t index, bool is_tail,
                 const SegmentRecord& segment) {
  const SegmentId expected =
      index == 0 ? RootSegmentId(commit.model) : commit.segments[index - 1];
  if (segment.model != commit.model || segment.parent != expected ||
      segment.first_token != index * kSegmentTokens) {
    return InvalidArgumentError(
        "commit: segment " + std::to_string(index) + " begins at token " +
        std::to_string(segment.first_token) + " after " +
        segment.parent.ShortHex() + ", the commit has " + expected.ShortHex() +
        " before it");
  }
  if (!is_tail) return Status();
  const uint64_t used = commit.token_count - index * kSegmentTokens;
  const bool whole = commit.end == CommitEnd::kTail;
  const uint64_t has = segment.tokens.size();
  if (whole ? used == has : used < has) return Status();
  return InvalidArgumentError(
      "commit: its tail counts for " + std::to_string(used) +
      " tokens, the tail stored has " + std::to_string(has));
}

// Good for a session to point at: the segment, and renditions of which no frame
// is missing. What sank to tokens has none, and is whole as it is.
bool IsWhole(const StoredSegment& stored) {
  if (!stored.status.ok() || !stored.rendition_status.ok()) return false;
  for (size_t i = 0; i < stored.set.renditions.size(); ++i) {
    if (!stored.complete[i]) return false;
  }
  return true;
}

void CopySettings(const SessionRecord& from, SessionRecord* to) {
  to->policy = from.policy;
  to->ttl_ms = from.ttl_ms;
  to->pinned_until_ms = from.pinned_until_ms;
}

}  // namespace

Status CatalogueImpl::Retain(const DomainId& domain, const CommitRecord& commit,
                             const CommitRecord* reached, Epoch epoch,
                             bool needs_state,
                             std::vector<SegmentId>* missing) {
  const size_t common = CommonSegments(commit, reached);
  std::vector<SegmentRef> refs = SegmentRefsOf(commit, common);
  const bool tail_is_reached = reached != nullptr && !commit.tail.IsZero() &&
                               reached->tail == commit.tail &&
                               common == commit.segments.size() &&
                               common == reached->segments.size();
  std::vector<StoredSegment> stored;
  REPRISE_RETURN_IF_ERROR(ReadSegments(engine_, domain, refs, epoch, &stored));
  for (size_t i = 0; i < refs.size(); ++i) {
    const bool is_tail = refs[i].space == ObjectSpace::kTail;
    if (stored[i].status.ok()) {
      REPRISE_RETURN_IF_ERROR(
          CheckLink(commit, common + i, is_tail, stored[i].segment));
    }
    // Damage to what the session has already is no reason to stop it here.
    if (is_tail && tail_is_reached) continue;
    // Who saves has computed it just now, and is asked for it.
    const bool has_state = !stored[i].set.renditions.empty();
    if (!IsWhole(stored[i]) || (needs_state && !has_state)) {
      missing->push_back(refs[i].id);
    }
  }
  return Status();
}

SessionRecord CatalogueImpl::NewSession(const DomainId& domain) const {
  SessionRecord record;
  record.domain = domain;
  record.incarnation = RandomId64();
  record.created_ms = clock_->WallMs();
  return record;
}

SessionRecord CatalogueImpl::Advance(const SessionRecord& session,
                                     const CommitId& id,
                                     const CommitRecord& commit) const {
  SessionRecord next = session;
  if (!session.head.IsZero() && session.head != id) {
    std::erase(next.recent, session.head);
    next.recent.insert(next.recent.begin(), session.head);
  }
  std::erase(next.recent, id);
  if (next.recent.size() > options_.kept_commits) {
    next.recent.resize(options_.kept_commits);
  }
  next.head = id;
  next.version = session.version + 1;
  next.model = commit.model;
  next.token_count = commit.token_count;
  next.changed_ms = clock_->WallMs();
  return next;
}

Result<CommitOutcome> CatalogueImpl::Swing(
    const DomainId& tenant, std::string_view name, HeadVersion expected,
    SessionRecord next, const Begun& begun, Durability durability) {
  const std::string key = DomainKey(tenant, AsBytes(name));
  while (true) {
    const Bytes bytes = EncodeSession(next);
    REPRISE_RETURN_IF_ERROR(CheckDeadline(begun));
    const Result<HeadVersion> swapped = engine_->CompareAndSwap(
        HeadSpace::kSession, key, expected, bytes, durability);
    if (swapped.ok()) {
      return CommitOutcome{
          next.head, next.incarnation, next.version, {}, false};
    }
    if (!swapped.status().Is(StatusCode::kFailedPrecondition)) {
      return swapped.status().WithContext("swing head");
    }
    const Result<VersionedSession> now = LoadSession(tenant, name);
    const SessionRecord found = now.ok() ? now->record : SessionRecord();
    // The same step, made by another daemon or by the call before a lost
    // answer.
    if (found.head == next.head && found.version == next.version) {
      return CommitOutcome{
          found.head, found.incarnation, found.version, {}, true};
    }
    // The head did not move: somebody changed the settings.
    const bool same_head = expected != 0 &&
                           found.incarnation == next.incarnation &&
                           found.version + 1 == next.version;
    if (!same_head) {
      return FailedPreconditionError(
          "swing head: somebody else was faster: session is at " +
          At(found.incarnation, found.version) + ", wanted was " +
          At(next.incarnation, next.version));
    }
    CopySettings(found, &next);
    expected = now->version;
  }
}

Result<bool> CatalogueImpl::IsAncestor(const DomainId& domain,
                                       const CommitId& head,
                                       const CommitId& ancestor) {
  CommitId at = head;
  for (int step = 0; step < kMaxAncestorSteps && !at.IsZero(); ++step) {
    if (at == ancestor) return true;
    const Result<CommitRecord> commit = GetCommit(domain, at);
    if (commit.status().Is(StatusCode::kNotFound)) return false;
    if (!commit.ok()) return commit.status();
    at = commit->parent;
  }
  return false;
}

Result<CommitOutcome> CatalogueImpl::Commit(const DomainId& tenant,
                                            const CommitRequest& request) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(request.session));
  REPRISE_RETURN_IF_ERROR(CheckLabels(request));
  REPRISE_ASSIGN_OR_RETURN(const CommitRecord commit,
                           DecodeCommit(request.commit));
  const CommitId id = CommitIdOf(request.commit);
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());

  const Result<VersionedSession> loaded = LoadSession(tenant, request.session);
  const bool exists = loaded.ok();
  if (!exists && !loaded.status().Is(StatusCode::kNotFound)) {
    return loaded.status();
  }
  if (!exists && request.expected_incarnation != 0) {
    return loaded.status().WithContext("commit");
  }
  SessionRecord session;
  CommitRecord parent;
  if (exists) {
    session = loaded->record;
    REPRISE_ASSIGN_OR_RETURN(const bool repeated, WasCommitted(session, id));
    if (repeated) {
      return CommitOutcome{id, session.incarnation, session.version, {}, true};
    }
    REPRISE_RETURN_IF_ERROR(CheckExpected(session, request, commit));
    REPRISE_ASSIGN_OR_RETURN(parent, GetCommit(session.domain, session.head));
  } else {
    session = NewSession(request.private_domain
                             ? PrivateDomain(tenant, request.session)
                             : tenant);
    session.labels = request.labels;
  }
  if (commit.parent != session.head) {
    return FailedPreconditionError(
        "commit: its parent is " + commit.parent.ShortHex() +
        ", the session's head is " + session.head.ShortHex());
  }
  REPRISE_RETURN_IF_ERROR(LoadModel(session.domain, commit.model).status());

  CommitOutcome outcome;
  outcome.commit = id;
  outcome.incarnation = session.incarnation;
  outcome.version = session.version;
  REPRISE_RETURN_IF_ERROR(Retain(session.domain, commit,
                                 exists ? &parent : nullptr, begun.epoch,
                                 /*needs_state=*/true, &outcome.missing));
  if (!outcome.missing.empty()) return outcome;
  REPRISE_RETURN_IF_ERROR(
      PutCommit(session.domain, id, request.commit, begun.epoch));
  return Swing(tenant, request.session, exists ? loaded->version : 0,
               Advance(session, id, commit), begun, request.durability);
}

// The head, or an ancestor that is still one of the roots: then a client is
// only sending again what it was not told the answer of.
Result<bool> CatalogueImpl::WasCommitted(const SessionRecord& session,
                                         const CommitId& id) {
  if (session.head == id) return true;
  if (std::ranges::find(session.recent, id) == session.recent.end()) {
    return false;
  }
  return IsAncestor(session.domain, session.head, id);
}

Status CatalogueImpl::PutCommit(const DomainId& domain, const CommitId& id,
                                ByteView bytes, Epoch epoch) {
  const std::string key = DomainKey(domain, id.view());
  // A damaged one would keep its place for ever.
  if (GetCommit(domain, id).status().Is(StatusCode::kDataLoss)) {
    const ObjectRef ref{ObjectSpace::kCommit, key};
    REPRISE_RETURN_IF_ERROR(
        engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX).status());
  }
  const ObjectPut put{ObjectSpace::kCommit, key, bytes};
  return engine_->Put({&put, 1}, epoch, Durability::kWritten);
}

}  // namespace reprise
