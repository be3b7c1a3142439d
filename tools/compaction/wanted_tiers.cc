#include "tools/compaction/wanted_tiers.h"

#include <algorithm>
#include <utility>

namespace reprise {
namespace {

constexpr size_t kMaxProblems = 100;

bool Names(const SessionRecord& session, const CommitId& commit) {
  return session.head == commit ||
         std::ranges::find(session.recent, commit) != session.recent.end();
}

}  // namespace

SessionWish WishOf(const PolicyRules& rules, const WalkedSession& session,
                   int64_t now_ms) {
  SessionWish wish;
  for (const Status* status :
       {&session.record_status, &session.last_use_status}) {
    if (status->ok()) continue;
    wish.problem = std::string(status->message());
    return wish;
  }
  const SessionRecord& record = session.info.record;
  wish.is_pinned = IsPinned(record, now_ms);
  if (wish.is_pinned) return wish;
  wish.is_expired = IsExpired(rules, session.info, now_ms);
  const Result<Policy> policy = PolicyOf(rules, record);
  if (!policy.ok()) {
    wish.problem = std::string(policy.status().message());
    return wish;
  }
  wish.ladder = policy->ladder;
  const Tier wanted = WantedTier(*policy, IdleMs(session.info, now_ms));
  wish.wanted = WantedOf(wanted);
  wish.tiers = TiersDownTo(*policy, wanted);
  return wish;
}

WantedTiers::WantedTiers(Catalogue* catalogue, const PolicyRules* rules,
                         const Options& options)
    : catalogue_(catalogue),
      rules_(rules),
      options_(options),
      walk_(catalogue->engine()),
      map_(options.seed) {}

Status WantedTiers::Step() {
  step_added_ = 0;
  if (phase_ == Phase::kBegin) {
    // Some uses may not be written down yet.
    REPRISE_RETURN_IF_ERROR(catalogue_->Flush());
    phase_ = Phase::kSessions;
  }
  while (!done() && step_added_ < options_.step_segments) {
    if (current_ && current_->segments.done()) current_.reset();
    if (current_) {
      REPRISE_RETURN_IF_ERROR(Expand());
    } else if (phase_ == Phase::kSessions) {
      REPRISE_RETURN_IF_ERROR(NextSession());
    } else {
      REPRISE_RETURN_IF_ERROR(NextLease());
    }
  }
  return Status();
}

Status WantedTiers::NextSession() {
  REPRISE_ASSIGN_OR_RETURN(std::optional<WalkedSession> session, walk_.Next());
  if (!session) {
    phase_ = Phase::kLeases;
    return Status();
  }
  ++step_added_;
  ++report_.sessions;
  const SessionWish wish = WishOf(*rules_, *session, options_.now_ms);
  report_.pinned_sessions += wish.is_pinned ? 1 : 0;
  report_.expired_sessions += wish.is_expired ? 1 : 0;
  if (!wish.problem.empty()) AddProblem(session->info.name, wish.problem);
  if (!session->record_status.ok()) {
    // Its objects lie in one of these two.
    left_alone_.insert(session->tenant);
    left_alone_.insert(PrivateDomain(session->tenant, session->info.name));
    return Status();
  }
  SessionSegments segments(catalogue_, session->info.record);
  current_ = Current{*std::move(session), false, false, wish.wanted,
                     std::move(segments)};
  return Status();
}

// One at a time: a lease may be large.
Status WantedTiers::NextLease() {
  std::vector<HeadStore::ListedHead> listed;
  REPRISE_RETURN_IF_ERROR(catalogue_->engine()->ListHeads(
      HeadSpace::kLease, "", lease_cursor_, 1, &listed));
  if (listed.empty()) {
    phase_ = Phase::kDone;
    return Status();
  }
  const Result<LeaseRecord> lease = DecodeLease(listed[0].record.value.view());
  if (lease.status().Is(StatusCode::kUnimplemented)) return lease.status();
  lease_cursor_ = listed[0].key;
  ++step_added_;
  // A damaged one protects nothing that anyone could name.
  if (!lease.ok() || lease->expires_wall_ms <= catalogue_->clock()->WallMs()) {
    return Status();
  }
  ++report_.leases;
  for (const SegmentId& id : lease->segments) {
    map_.Add(SegmentHash(lease->domain, id), Wanted::kLeftAlone);
  }
  step_added_ += lease->segments.size();
  if (lease->commit.IsZero()) return Status();
  current_ = Current{WalkedSession(), true, false, Wanted::kLeftAlone,
                     SessionSegments(catalogue_, lease->domain, lease->commit)};
  return Status();
}

Status WantedTiers::Expand() {
  const Status expanded = current_->segments.Next(&uses_);
  if (expanded.Is(StatusCode::kNotFound) ||
      expanded.Is(StatusCode::kDataLoss)) {
    return MissCommit(expanded);
  }
  REPRISE_RETURN_IF_ERROR(expanded);
  const DomainId& domain = current_->segments.domain();
  for (const SegmentUse& use : uses_) {
    map_.Add(SegmentHash(domain, use.id), current_->wanted);
  }
  step_added_ += uses_.size() + 1;
  return Status();
}

Status WantedTiers::MissCommit(const Status& missed) {
  ++step_added_;
  const DomainId domain = current_->segments.domain();
  // What only a lease or a session that was just removed refers to may be gone.
  if (missed.Is(StatusCode::kNotFound) && current_->is_lease) {
    current_->segments.SkipCommit();
    return Status();
  }
  const WalkedSession& session = current_->session;
  if (missed.Is(StatusCode::kNotFound) && !current_->was_read_again) {
    const Result<SessionInfo> now =
        catalogue_->GetSession(session.tenant, session.info.name);
    if (now.status().Is(StatusCode::kNotFound)) {
      current_.reset();
      return Status();
    }
    if (!now.ok() && !now.status().Is(StatusCode::kDataLoss)) {
      return now.status();
    }
    if (now.ok() && !Names(now->record, current_->segments.next_commit())) {
      // Its head moved on: it is in use, and so is all that it refers to.
      WalkedSession again = session;
      again.info = *now;
      current_ = Current{std::move(again), false, true, Wanted::kLeftAlone,
                         SessionSegments(catalogue_, now->record)};
      return Status();
    }
  }
  AddProblem(session.info.name, std::string(missed.message()));
  left_alone_.insert(domain);
  current_->segments.SkipCommit();
  return Status();
}

void WantedTiers::AddProblem(const std::string& session,
                             const std::string& reason) {
  ++report_.problem_count;
  if (report_.problems.size() < kMaxProblems) {
    report_.problems.push_back({session, reason});
  }
}

std::optional<TierMap::Entry> WantedTiers::Find(const DomainId& domain,
                                                const SegmentId& id) const {
  std::optional<TierMap::Entry> entry = map_.Find(SegmentHash(domain, id));
  if (!left_alone_.contains(domain)) return entry;
  if (!entry) entry.emplace();
  entry->wanted = Wanted::kLeftAlone;
  entry->is_shared = true;
  return entry;
}

}  // namespace reprise
