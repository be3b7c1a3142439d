// Sessions: reading, listing, forking, rewinding, removing, last use.
#include <algorithm>
#include <string>

#include "base/limits.h"
#include "store/catalogue_impl.h"

namespace reprise {
namespace {

// MarkUsed writes what was gathered once this old.
constexpr int64_t kLastUseFlushMs = 5'000;
constexpr uint32_t kMaxListed = 10'000;

int64_t LastUseOf(const HeadRecord& record) {
  if (record.version == 0) return 0;
  // For show, so a damaged one is worth no error. Who removes by it asks
  // CatalogueImpl::LastUse.
  const Result<int64_t> time_ms = DecodeLastUse(record.value.view());
  return time_ms.ok() ? *time_ms : 0;
}

}  // namespace

Result<CatalogueImpl::VersionedSession> CatalogueImpl::LoadSession(
    const DomainId& tenant, std::string_view name) const {
  const std::string key = DomainKey(tenant, AsBytes(name));
  const Result<HeadRecord> read = engine_->GetHead(HeadSpace::kSession, key);
  if (read.status().Is(StatusCode::kNotFound)) {
    return NotFoundError("session does not exist");
  }
  if (!read.ok()) return read.status().WithContext("read session");
  REPRISE_ASSIGN_OR_RETURN(SessionRecord record,
                           DecodeSession(read->value.view()));
  return VersionedSession{std::move(record), read->version};
}

Result<SessionInfo> CatalogueImpl::GetSession(const DomainId& tenant,
                                              std::string_view name) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(name));
  REPRISE_ASSIGN_OR_RETURN(VersionedSession session, LoadSession(tenant, name));
  SessionInfo info;
  info.name = name;
  info.record = std::move(session.record);
  const std::string key = DomainKey(tenant, AsBytes(name));
  const std::string_view view = key;
  std::vector<HeadRecord> last_use;
  REPRISE_RETURN_IF_ERROR(
      engine_->GetHeads(HeadSpace::kLastUse, {&view, 1}, &last_use));
  info.last_use_ms = LastUseOf(last_use[0]);
  return info;
}

Result<std::vector<SessionInfo>> CatalogueImpl::ListSessions(
    const DomainId& tenant, std::string_view prefix, std::string_view cursor,
    uint32_t limit) {
  if (limit == 0 || limit > kMaxListed) {
    return InvalidArgumentError("list sessions: limit is " +
                                std::to_string(limit) + ", 1 to " +
                                std::to_string(kMaxListed) + " are allowed");
  }
  std::vector<HeadStore::ListedHead> listed;
  REPRISE_RETURN_IF_ERROR(engine_->ListHeads(
      HeadSpace::kSession, DomainKey(tenant, AsBytes(prefix)),
      cursor.empty() ? "" : DomainKey(tenant, AsBytes(cursor)), limit,
      &listed));
  std::vector<SessionInfo> sessions(listed.size());
  std::vector<std::string_view> keys;
  for (size_t i = 0; i < listed.size(); ++i) {
    keys.push_back(listed[i].key);
    sessions[i].name = listed[i].key.substr(kDomainBytes);
    Result<SessionRecord> record = DecodeSession(listed[i].record.value.view());
    if (record.ok()) sessions[i].record = *std::move(record);
  }
  std::vector<HeadRecord> last_use;
  REPRISE_RETURN_IF_ERROR(
      engine_->GetHeads(HeadSpace::kLastUse, keys, &last_use));
  for (size_t i = 0; i < listed.size(); ++i) {
    sessions[i].last_use_ms = LastUseOf(last_use[i]);
  }
  return sessions;
}

Result<CommitRecord> CatalogueImpl::GetCommit(const DomainId& domain,
                                              const CommitId& commit) {
  const std::string key = DomainKey(domain, commit.view());
  const Result<PinnedBytes> bytes = engine_->Get({ObjectSpace::kCommit, key});
  if (!bytes.ok()) {
    return bytes.status().WithContext("commit " + commit.ShortHex());
  }
  REPRISE_ASSIGN_OR_RETURN(CommitRecord record, DecodeCommit(bytes->view()));
  const CommitId found = CommitIdOf(bytes->view());
  if (found == commit) return record;
  return DataLossError("commit: it is " + found.ShortHex() + ", its key says " +
                       commit.ShortHex());
}

Result<CommitRecord> CatalogueImpl::FindCommitOf(const SessionRecord& session,
                                                 const CommitId& commit,
                                                 bool* is_root) {
  *is_root = session.head == commit ||
             std::ranges::find(session.recent, commit) != session.recent.end();
  if (!*is_root) {
    REPRISE_ASSIGN_OR_RETURN(const bool is_ancestor,
                             IsAncestor(session.domain, session.head, commit));
    if (!is_ancestor) {
      return NotFoundError("commit " + commit.ShortHex() +
                           " is no ancestor of the session's head");
    }
  }
  return GetCommit(session.domain, commit);
}

// A root's commit object alone is touched: collectors take commits touched in
// their epoch for roots, so that a move behind the back of their listing does
// not hide it. A commit that no root keeps needs all of its parts checked.
Status CatalogueImpl::RetainExisting(const SessionRecord& session,
                                     const CommitId& id,
                                     const CommitRecord& commit, bool is_root,
                                     Epoch epoch) {
  const std::string key = DomainKey(session.domain, id.view());
  const ObjectRef ref{ObjectSpace::kCommit, key};
  std::vector<bool> present;
  REPRISE_RETURN_IF_ERROR(engine_->Touch({&ref, 1}, epoch, &present));
  std::vector<SegmentId> missing;
  if (present[0] && !is_root) {
    REPRISE_RETURN_IF_ERROR(Retain(session.domain, commit, nullptr, epoch,
                                   /*needs_state=*/false, &missing));
  }
  if (present[0] && missing.empty()) return Status();
  return NotFoundError(
      "commit " + id.ShortHex() + ": " +
      (present[0] ? std::to_string(missing.size()) + " of its segments are gone"
                  : std::string("it is gone")));
}

Result<CommitOutcome> CatalogueImpl::Fork(const DomainId& tenant,
                                          std::string_view from,
                                          const CommitId& commit,
                                          std::string_view to) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(from));
  REPRISE_RETURN_IF_ERROR(CheckSessionName(to));
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  REPRISE_ASSIGN_OR_RETURN(const VersionedSession source,
                           LoadSession(tenant, from));
  const CommitId id = commit.IsZero() ? source.record.head : commit;
  bool is_root = false;
  REPRISE_ASSIGN_OR_RETURN(const CommitRecord record,
                           FindCommitOf(source.record, id, &is_root));
  REPRISE_RETURN_IF_ERROR(
      RetainExisting(source.record, id, record, is_root, begun.epoch));
  SessionRecord fork = NewSession(source.record.domain);
  fork.policy = source.record.policy;
  fork.ttl_ms = source.record.ttl_ms;
  fork.labels = source.record.labels;
  return Swing(tenant, to, 0, Advance(fork, id, record), begun,
               options_.durability);
}

Result<CommitRecord> CatalogueImpl::CutCommit(const SessionRecord& session,
                                              const RewindTarget& target) {
  REPRISE_ASSIGN_OR_RETURN(CommitRecord commit,
                           GetCommit(session.domain, session.head));
  if (target.token_count > commit.token_count) {
    return InvalidArgumentError(
        "rewind: to token " + std::to_string(target.token_count) +
        ", the session has " + std::to_string(commit.token_count));
  }
  const bool is_whole = target.token_count == commit.token_count;
  const size_t whole = target.token_count / kSegmentTokens;
  const bool is_cut = target.token_count % kSegmentTokens != 0;
  commit.parent = session.head;
  commit.time_ms = clock_->WallMs();
  commit.pending = target.pending;
  commit.token_count = target.token_count;
  // At the same token it ends as it did; inside of the tail, the tail is cut.
  if (!is_whole) {
    if (!is_cut || whole < commit.segments.size()) {
      commit.tail = SegmentId();
      commit.segments.resize(whole + (is_cut ? 1 : 0));
    }
    commit.end = is_cut ? CommitEnd::kCut : CommitEnd::kNothing;
  }
  REPRISE_RETURN_IF_ERROR(ValidateCommit(commit));
  return commit;
}

Result<CommitOutcome> CatalogueImpl::Rewind(const DomainId& tenant,
                                            std::string_view name,
                                            uint64_t expected_incarnation,
                                            uint64_t expected_version,
                                            const RewindTarget& target) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(name));
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  REPRISE_ASSIGN_OR_RETURN(const VersionedSession session,
                           LoadSession(tenant, name));
  const SessionRecord& record = session.record;
  if (record.incarnation != expected_incarnation ||
      record.version != expected_version) {
    return FailedPreconditionError(
        "rewind: session is at incarnation " +
        std::to_string(record.incarnation) + " version " +
        std::to_string(record.version) + ", expected was incarnation " +
        std::to_string(expected_incarnation) + " version " +
        std::to_string(expected_version));
  }
  CommitId id = target.commit;
  CommitRecord commit;
  if (id.IsZero()) {
    REPRISE_ASSIGN_OR_RETURN(commit, CutCommit(record, target));
    const Bytes bytes = EncodeCommit(commit);
    id = CommitIdOf(bytes);
    REPRISE_RETURN_IF_ERROR(PutCommit(record.domain, id, bytes, begun.epoch));
  } else {
    bool is_root = false;
    REPRISE_ASSIGN_OR_RETURN(commit, FindCommitOf(record, id, &is_root));
    REPRISE_RETURN_IF_ERROR(
        RetainExisting(record, id, commit, is_root, begun.epoch));
  }
  return Swing(tenant, name, session.version, Advance(record, id, commit),
               begun, options_.durability);
}

Status CatalogueImpl::RemoveSession(const DomainId& tenant,
                                    std::string_view name) {
  REPRISE_RETURN_IF_ERROR(CheckSessionName(name));
  const std::string key = DomainKey(tenant, AsBytes(name));
  while (true) {
    const Result<HeadRecord> read = engine_->GetHead(HeadSpace::kSession, key);
    if (read.status().Is(StatusCode::kNotFound)) {
      return NotFoundError("session does not exist");
    }
    if (!read.ok()) return read.status().WithContext("remove session");
    const Status removed = engine_->RemoveHead(
        HeadSpace::kSession, key, read->version, options_.durability);
    if (removed.ok()) break;
    // It moved meanwhile; it is to go all the same.
    if (!removed.Is(StatusCode::kFailedPrecondition)) return removed;
  }
  return ForgetLastUse(key);
}

Result<int64_t> CatalogueImpl::LastUse(const std::string& key) {
  const std::string_view view = key;
  std::vector<HeadRecord> written;
  REPRISE_RETURN_IF_ERROR(
      engine_->GetHeads(HeadSpace::kLastUse, {&view, 1}, &written));
  int64_t written_ms = 0;
  if (written[0].version != 0) {
    // Not 0 for a damaged one: nobody may be removed for it.
    REPRISE_ASSIGN_OR_RETURN(written_ms,
                             DecodeLastUse(written[0].value.view()));
  }
  std::lock_guard lock(last_use_mutex_);
  const auto found = last_use_ms_.find(key);
  const int64_t gathered_ms = found == last_use_ms_.end() ? 0 : found->second;
  return std::max(written_ms, gathered_ms);
}

Status CatalogueImpl::ForgetLastUse(const std::string& key) {
  {
    std::lock_guard lock(last_use_mutex_);
    last_use_ms_.erase(key);
  }
  const Result<HeadRecord> last_use =
      engine_->GetHead(HeadSpace::kLastUse, key);
  if (!last_use.ok()) return Status();
  const Status removed = engine_->RemoveHead(
      HeadSpace::kLastUse, key, last_use->version, Durability::kWritten);
  // Written anew meanwhile: the collector finds it.
  return removed.Is(StatusCode::kFailedPrecondition) ? Status() : removed;
}

void CatalogueImpl::MarkUsed(const DomainId& tenant, std::string_view name) {
  const int64_t now_ms = clock_->MonotonicMs();
  bool is_due = false;
  {
    std::lock_guard lock(last_use_mutex_);
    last_use_ms_[DomainKey(tenant, AsBytes(name))] = clock_->WallMs();
    is_due = now_ms - last_flush_ms_ >= kLastUseFlushMs;
    if (is_due) last_flush_ms_ = now_ms;
  }
  // A failure loses times of last use and nothing else.
  if (is_due) (void)Flush();
}

Status CatalogueImpl::Flush() {
  std::map<std::string, int64_t> used;
  {
    std::lock_guard lock(last_use_mutex_);
    used.swap(last_use_ms_);
  }
  if (used.empty()) return Status();
  std::vector<std::string_view> keys;
  std::vector<Bytes> values;
  for (const auto& [key, time_ms] : used) {
    keys.push_back(key);
    values.push_back(EncodeLastUse(time_ms));
  }
  std::vector<HeadRecord> now;
  REPRISE_RETURN_IF_ERROR(engine_->GetHeads(HeadSpace::kLastUse, keys, &now));
  std::vector<HeadStore::Swap> swaps;
  for (size_t i = 0; i < keys.size(); ++i) {
    swaps.push_back({HeadSpace::kLastUse, keys[i], now[i].version, values[i]});
  }
  std::vector<Result<HeadVersion>> answers;
  engine_->CompareAndSwapMany(swaps, Durability::kWritten, &answers);
  for (const Result<HeadVersion>& answer : answers) {
    // One that lost was written by somebody else this very moment.
    if (!answer.ok() && !answer.status().Is(StatusCode::kFailedPrecondition)) {
      return answer.status().WithContext("write last use");
    }
  }
  return Status();
}

}  // namespace reprise
