#include "store/marker.h"

#include <cstring>

#include "base/check.h"
#include "store/quarantine.h"

namespace reprise {
namespace {

// Ids are digests: their first bytes are as good as any hash of them.
uint64_t HashOf(const DomainId& domain, const uint8_t* id) {
  return LoadLe<uint64_t>(domain.bytes.data()) ^ LoadLe<uint64_t>(id);
}
uint64_t HashOfKey(std::string_view key) {
  REPRISE_CHECK(key.size() >= kDomainKeyBytes);
  const auto* bytes = reinterpret_cast<const uint8_t*>(key.data());
  return LoadLe<uint64_t>(bytes) ^ LoadLe<uint64_t>(bytes + kDomainBytes);
}
uint64_t WithRendition(uint64_t segment, const uint8_t* rendition) {
  return segment * 0x9e3779b97f4a7c15 ^ LoadLe<uint64_t>(rendition);
}

std::string_view DomainText(const DomainId& domain) {
  return AsText(domain.bytes);
}

}  // namespace

Status Marker::Step() {
  switch (phase_) {
    case Phase::kSessions:
      return StepSessions();
    case Phase::kLeases:
      return StepLeases();
    case Phase::kYoungCommits:
      return StepYoungCommits();
    case Phase::kExpand:
      return StepExpand();
    case Phase::kDone:
      break;
  }
  return Status();
}

Status Marker::StepSessions() {
  std::vector<HeadStore::ListedHead> listed;
  REPRISE_RETURN_IF_ERROR(catalogue_->engine()->ListHeads(
      HeadSpace::kSession, "", cursor_, options_.step_objects, &listed));
  for (const HeadStore::ListedHead& head : listed) {
    const Result<SessionRecord> session =
        DecodeSession(head.record.value.view());
    if (!session.ok()) {
      return session.status().WithContext("collect: what a session keeps");
    }
    roots_.push_back({session->domain, session->head, true});
    for (const CommitId& recent : session->recent) {
      roots_.push_back({session->domain, recent, true});
    }
  }
  if (listed.empty()) {
    REPRISE_RETURN_IF_ERROR(KeepOfLostSessions());
    phase_ = Phase::kLeases;
    cursor_.clear();
  } else {
    cursor_ = listed.back().key;
  }
  return Status();
}

// What they kept is not known: neither in their tenant's domain nor in one of
// their own is anything garbage.
Status Marker::KeepOfLostSessions() {
  std::string cursor;
  for (bool end = false; !end;) {
    std::vector<Quarantined> listed;
    REPRISE_RETURN_IF_ERROR(ListQuarantine(
        catalogue_->engine(), options_.step_objects, &cursor, &listed, &end));
    for (const Quarantined& each : listed) {
      const std::string& key = each.record.was.key;
      if (!each.record.was.Is(HeadSpace::kSession)) continue;
      if (key.size() <= kDomainBytes) continue;
      DomainId tenant;
      std::memcpy(tenant.bytes.data(), key.data(), kDomainBytes);
      const DomainId own = PrivateDomain(tenant, key.substr(kDomainBytes));
      kept_domains_.emplace(DomainText(tenant));
      kept_domains_.emplace(DomainText(own));
    }
  }
  return Status();
}

Status Marker::StepLeases() {
  std::vector<HeadStore::ListedHead> listed;
  REPRISE_RETURN_IF_ERROR(catalogue_->engine()->ListHeads(
      HeadSpace::kLease, "", cursor_, options_.step_objects, &listed));
  for (const HeadStore::ListedHead& head : listed) {
    REPRISE_RETURN_IF_ERROR(AddLease(head));
  }
  if (listed.empty()) {
    phase_ = Phase::kYoungCommits;
    cursor_.clear();
  } else {
    cursor_ = listed.back().key;
  }
  return Status();
}

Status Marker::AddLease(const HeadStore::ListedHead& listed) {
  const Result<LeaseRecord> lease = DecodeLease(listed.record.value.view());
  const int64_t now_ms = catalogue_->clock()->WallMs();
  if (lease.status().Is(StatusCode::kUnimplemented)) return lease.status();
  if (!lease.ok() ||
      lease->expires_wall_ms + options_.lease_grace_ms <= now_ms) {
    // A damaged one protects nothing that anyone could name.
    ++expired_leases_;
    const Status removed = catalogue_->engine()->RemoveHead(
        HeadSpace::kLease, listed.key, listed.record.version,
        Durability::kWritten);
    // Renewed or released just now: it shows again in the next pass.
    return removed.Is(StatusCode::kFailedPrecondition) ? Status() : removed;
  }
  for (size_t i = 0; i < lease->segments.size(); ++i) {
    const uint64_t segment =
        HashOf(lease->domain, lease->segments[i].bytes.data());
    segments_.Add(segment);
    leased_.Add(WithRendition(segment, lease->renditions[i].bytes.data()));
  }
  if (!lease->commit.IsZero()) {
    roots_.push_back({lease->domain, lease->commit, false});
  }
  return Status();
}

Status Marker::StepYoungCommits() {
  std::vector<ObjectStore::Listed> listed;
  REPRISE_RETURN_IF_ERROR(catalogue_->engine()->List(
      ObjectSpace::kCommit, "", cursor_, options_.step_objects, &listed));
  for (const ObjectStore::Listed& object : listed) {
    if (object.epoch < options_.epoch) continue;
    Root root;
    std::memcpy(root.domain.bytes.data(), object.key.data(), kDomainBytes);
    std::memcpy(root.commit.bytes.data(), object.key.data() + kDomainBytes, 32);
    roots_.push_back(root);
  }
  if (listed.empty()) {
    phase_ = Phase::kExpand;
    cursor_.clear();
  } else {
    cursor_ = listed.back().key;
  }
  return Status();
}

Status Marker::StepExpand() {
  uint64_t added = 0;
  while (!roots_.empty()) {
    // It stays on the list until it is done: an error loses nothing.
    REPRISE_RETURN_IF_ERROR(Expand(roots_.back(), &added));
    roots_.pop_back();
    if (added >= options_.step_objects) return Status();
  }
  segments_.Seal();
  leased_.Seal();
  phase_ = Phase::kDone;
  return Status();
}

Status Marker::Expand(const Root& root, uint64_t* added) {
  ++*added;
  const uint64_t hash = HashOf(root.domain, root.commit.bytes.data());
  if (commits_.contains(hash)) return Status();
  const Result<CommitRecord> commit =
      catalogue_->GetCommit(root.domain, root.commit);
  const bool is_missing = commit.status().Is(StatusCode::kNotFound);
  if (commit.ok()) {
    for (const SegmentId& id : commit->segments) {
      segments_.Add(HashOf(root.domain, id.bytes.data()));
    }
    if (!commit->tail.IsZero()) {
      segments_.Add(HashOf(root.domain, commit->tail.bytes.data()));
    }
    *added += commit->segments.size();
  } else if (!is_missing && !commit.status().Is(StatusCode::kDataLoss)) {
    return commit.status();
  } else if (root.of_session || !is_missing) {
    // What a session's commit refers to is not known any more; a lease's or an
    // unborn commit may well be gone already.
    kept_domains_.emplace(DomainText(root.domain));
  }
  // Not before a session's root was looked at as one.
  if (commit.ok() || root.of_session) commits_.insert(hash);
  return Status();
}

bool Marker::IsKept(std::string_view key) const {
  return !kept_domains_.empty() &&
         kept_domains_.contains(std::string(key.substr(0, kDomainBytes)));
}

bool Marker::IsMarkedSegment(std::string_view key) const {
  return segments_.Contains(HashOfKey(key)) || IsKept(key);
}

bool Marker::IsMarkedCommit(std::string_view key) const {
  return commits_.contains(HashOfKey(key)) || IsKept(key);
}

bool Marker::IsLeasedFrame(std::string_view key) const {
  REPRISE_CHECK(key.size() == kFrameKeyBytes);
  const auto* rendition =
      reinterpret_cast<const uint8_t*>(key.data()) + kDomainKeyBytes;
  return leased_.Contains(WithRendition(HashOfKey(key), rendition)) ||
         IsKept(key);
}

}  // namespace reprise
