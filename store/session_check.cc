#include "store/session_check.h"

#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "store/quarantine.h"

namespace reprise {
namespace {

constexpr size_t kSegmentsAtOnce = 256;

bool IsDamage(const Status& status) {
  return status.Is(StatusCode::kDataLoss) || status.Is(StatusCode::kNotFound) ||
         status.Is(StatusCode::kUnimplemented);
}

}  // namespace

Status SessionChecker::Begin(const HeadStore::ListedHead& head) {
  ++book_->report.sessions;
  book_->report.bytes_read += head.record.value.size();
  Result<SessionRecord> record = DecodeSession(head.record.value.view());
  if (!record.ok()) return FindDamagedRecord(head, record.status());
  Session session;
  session.key = head.key;
  std::memcpy(session.tenant.bytes.data(), head.key.data(), kDomainBytes);
  session.name = head.key.substr(kDomainBytes);
  session.record = *std::move(record);
  session.roots = {session.record.head};
  session.roots.insert(session.roots.end(), session.record.recent.begin(),
                       session.record.recent.end());
  session.touched.session = session.name;
  session.touched.tokens = session.record.token_count;
  session_ = std::move(session);
  return Status();
}

Status SessionChecker::FindDamagedRecord(const HeadStore::ListedHead& head,
                                         const Status& status) {
  // Read again: what failed may have been our memory, not the store's.
  const Result<HeadRecord> again =
      engine_->GetHead(HeadSpace::kSession, head.key);
  if (again.status().Is(StatusCode::kNotFound)) return Status();
  if (again.ok() && DecodeSession(again->value.view()).ok()) return Status();
  FsckFinding finding;
  finding.kind = "session";
  finding.what = std::string(status.message());
  finding.session = head.key.substr(kDomainBytes);
  if (set_aside_ && again.ok() && status.Is(StatusCode::kDataLoss)) {
    const ByteView bytes = again->value.view();
    const StoredPlace place = StoredPlace::Of(HeadSpace::kSession, head.key);
    QuarantineRecord record;
    record.holds = QuarantineHolds::kCopy;
    record.was = place;
    record.time_ms = catalogue_->clock()->WallMs();
    record.reason = finding.what;
    record.copy.assign(bytes.begin(), bytes.end());
    REPRISE_RETURN_IF_ERROR(WriteQuarantine(engine_, place, record));
    const Status removed = engine_->RemoveHead(
        HeadSpace::kSession, head.key, again->version, Durability::kWritten);
    if (removed.Is(StatusCode::kFailedPrecondition)) return Status();
    REPRISE_RETURN_IF_ERROR(removed);
    finding.is_set_aside = true;
    ++book_->report.set_aside;
  }
  book_->AddTouched({.session = finding.session});
  book_->Add(std::move(finding));
  return Status();
}

Status SessionChecker::Step() {
  if (!session_->commit) return OpenRoot();
  if (session_->next < session_->refs.size()) return CheckBatch();
  NextRoot();
  return Status();
}

void SessionChecker::NextRoot() {
  Session& session = *session_;
  session.commit.reset();
  if (++session.root < session.roots.size()) return;
  if (session.is_touched) book_->AddTouched(std::move(session.touched));
  session_.reset();
}

Status SessionChecker::OpenRoot() {
  Session& session = *session_;
  const DomainId& domain = session.record.domain;
  const CommitId& id = session.roots[session.root];
  Result<CommitRecord> commit = catalogue_->GetCommit(domain, id);
  if (!commit.ok()) {
    if (!IsDamage(commit.status())) return commit.status();
    return LostRoot(commit.status());
  }
  if (mark_) mark_(DomainKey(domain, id.view()));
  session.refs = SegmentRefsOf(*commit);
  session.next = 0;
  if (session.at_head()) {
    session.head_segments = commit->segments;
  } else {
    // What it shares with the head was looked at with it.
    const auto [end, unused] =
        std::ranges::mismatch(commit->segments, session.head_segments);
    session.next = static_cast<size_t>(end - commit->segments.begin());
  }
  session.commit = *std::move(commit);
  CheckModel();
  return Status();
}

Status SessionChecker::LostRoot(const Status& status) {
  Session& session = *session_;
  if (!StillNames()) {
    session_.reset();
    return Status();
  }
  const CommitId& id = session.roots[session.root];
  const std::string key = DomainKey(session.record.domain, id.view());
  uint64_t token = 0;
  if (session.at_head()) {
    const Result<uint64_t> kept =
        catalogue_->SalvageHead(session.tenant, session.name, !set_aside_);
    if (kept.ok()) {
      token = *kept;
    } else if (!kept.status().Is(StatusCode::kFailedPrecondition)) {
      return kept.status();
    }
  }
  const FindingBook::Bad* const known = book_->FindBad(key);
  size_t finding = known != nullptr ? known->finding : FindingBook::kNoFinding;
  if (known == nullptr) {
    finding =
        book_->Add({.kind = "commit", .what = std::string(status.message())});
    book_->AddBad(key, {.finding = finding});
  }
  book_->NameSession(finding, session.name, token);
  Touch(token, Tier::kTokens);
  NextRoot();
  return Status();
}

void SessionChecker::CheckModel() {
  Session& session = *session_;
  const ModelId& id = session.commit->model;
  Status status;
  if (id != session.record.model) {
    status =
        DataLossError("commit: its model is " + id.ShortHex() +
                      ", the session's " + session.record.model.ShortHex());
  } else {
    status = models_->Get(session.record.domain, id).status;
  }
  if (status.ok()) return;
  // A damaged model was found as an object; a missing one only here, once.
  const std::string key = DomainKey(session.record.domain, id.view());
  if (const FindingBook::Bad* const known = book_->FindBad(key)) {
    book_->NameSession(known->finding, session.name, 0);
    return;
  }
  const size_t finding = book_->Add({.kind = "model",
                                     .what = std::string(status.message()),
                                     .session = session.name});
  book_->AddBad(key, {.finding = finding});
}

Status SessionChecker::CheckBatch() {
  Session& session = *session_;
  const size_t count =
      std::min(kSegmentsAtOnce, session.refs.size() - session.next);
  const auto refs = std::span(session.refs).subspan(session.next, count);
  std::vector<StoredSegment> stored;
  REPRISE_RETURN_IF_ERROR(
      ReadSegments(engine_, session.record.domain, refs, {}, &stored));
  for (size_t i = 0; i < count; ++i) {
    book_->report.bytes_read += stored[i].rendition_record_bytes;
    const uint64_t token = (session.next + i) * kSegmentTokens;
    if (mark_) mark_(DomainKey(session.record.domain, refs[i].id.view()));
    REPRISE_RETURN_IF_ERROR(CheckOne(refs[i], token, stored[i]));
    if (!session_) return Status();  // it is gone
  }
  session.next += count;
  return Status();
}

// What is wrong with the segment at this place in its commit.
Status SessionChecker::ProblemOf(const SegmentRef& ref, uint64_t token,
                                 const StoredSegment& stored) const {
  const CommitRecord& commit = *session_->commit;
  if (!stored.status.ok()) {
    return stored.status.WithContext("segment " + ref.id.ShortHex());
  }
  const size_t index = token / kSegmentTokens;
  const SegmentId parent =
      index == 0 ? RootSegmentId(commit.model) : commit.segments[index - 1];
  const SegmentRecord& segment = stored.segment;
  if (segment.parent != parent || segment.model != commit.model ||
      segment.first_token != token) {
    return DataLossError("segment record: begins at token " +
                         std::to_string(segment.first_token) + " after " +
                         segment.parent.ShortHex() + ", its commit has it at " +
                         std::to_string(token) + " after " + parent.ShortHex());
  }
  return stored.rendition_status.WithContext("segment " + ref.id.ShortHex());
}

// What there is of it, as far as is known.
Tier SessionChecker::LeftOf(const StoredSegment& stored,
                            const FindingBook::Bad* bad) const {
  if (!stored.status.ok() || !stored.rendition_status.ok()) {
    return Tier::kTokens;
  }
  const Rendition* const best = stored.set.Best(Tier::kArchive);
  const Tier now = best == nullptr ? Tier::kTokens : best->effective();
  // What was set aside is not in the set any more.
  return bad == nullptr || set_aside_ ? now : WorseOf(now, bad->left);
}

Status SessionChecker::CheckOne(const SegmentRef& ref, uint64_t token,
                                const StoredSegment& stored) {
  Session& session = *session_;
  const std::string key = DomainKey(session.record.domain, ref.id.view());
  const FindingBook::Bad* bad = book_->FindBad(key);
  Status problem = ProblemOf(ref, token, stored);
  if (!problem.ok()) {
    if (!IsDamage(problem)) return problem;
    // It may have been replaced, or removed with its session, since the commit
    // was read.
    std::vector<StoredSegment> again;
    REPRISE_RETURN_IF_ERROR(
        ReadSegments(engine_, session.record.domain, {&ref, 1}, {}, &again));
    problem = ProblemOf(ref, token, again[0]);
    if (problem.ok()) return Status();
    if (!StillNames()) {
      session_.reset();
      return Status();
    }
    const bool is_object = !again[0].status.ok();
    if (is_object && set_aside_) {
      REPRISE_RETURN_IF_ERROR(
          DropAllRenditions(catalogue_, session.record.domain, ref.id));
    }
    if (bad == nullptr) {
      const bool is_tail = ref.space == ObjectSpace::kTail;
      const size_t finding =
          book_->Add({.kind = !is_object ? "rendition"
                              : is_tail  ? "tail"
                                         : "segment",
                      .what = std::string(problem.message())});
      book_->AddBad(key, {.left = Tier::kTokens, .finding = finding});
      bad = book_->FindBad(key);
    }
  } else if (bad == nullptr) {
    return Status();
  }
  const Tier left = problem.ok() ? LeftOf(stored, bad) : Tier::kTokens;
  const uint8_t lost = bad == nullptr ? 0 : bad->lost_tier;
  // Saved again since, or nothing of what counts was lost.
  const bool is_healed =
      problem.ok() && (lost == 0 || static_cast<uint8_t>(left) <= lost);
  if (is_healed) return Status();
  if (bad != nullptr) book_->NameSession(bad->finding, session.name, token);
  Touch(token, left);
  return Status();
}

void SessionChecker::Touch(uint64_t token, Tier left) {
  Session& session = *session_;
  TouchedSession& touched = session.touched;
  if (session.is_touched) {
    // The head's own state is what a restore asks for.
    if (touched.is_head && !session.at_head()) return;
    if (token >= touched.recompute_from_token) return;
  }
  session.is_touched = true;
  touched.recompute_from_token = token;
  touched.left = left;
  touched.is_head = session.at_head();
}

bool SessionChecker::StillNames() const {
  const CommitId& id = session_->roots[session_->root];
  const Result<HeadRecord> head =
      engine_->GetHead(HeadSpace::kSession, session_->key);
  if (!head.ok()) return !head.status().Is(StatusCode::kNotFound);
  const Result<SessionRecord> record = DecodeSession(head->value.view());
  if (!record.ok()) return true;
  return record->head == id ||
         std::ranges::find(record->recent, id) != record->recent.end();
}

}  // namespace reprise
