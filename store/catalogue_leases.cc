// Leases: what a reader names stays readable until it ends.
//
// Why it is enough to write the record: what a root reached when it was read
// was not condemned before; a collector that condemns it later waits longer
// than the reader may take until its lease is there, and looks again. What no
// root reaches is touched first.
#include <string>

#include "base/limits.h"
#include "store/catalogue_impl.h"

namespace reprise {

Status CheckLeaseMs(int64_t lease_ms) {
  if (lease_ms >= 1 && lease_ms <= kMaxLeaseMs) return Status();
  return InvalidArgumentError("lease: " + std::to_string(lease_ms) +
                              " ms, 1 to " + std::to_string(kMaxLeaseMs) +
                              " are allowed");
}

Result<uint64_t> CatalogueImpl::WriteLease(const LeaseRecord& record,
                                           const Begun& begun) {
  if (record.segments.size() > kMaxLeaseEntries) {
    return InvalidArgumentError(
        "lease: " + std::to_string(record.segments.size()) +
        " renditions, at most " + std::to_string(kMaxLeaseEntries));
  }
  const Bytes bytes = EncodeLease(record);
  while (true) {
    const uint64_t lease = RandomId64();
    REPRISE_RETURN_IF_ERROR(CheckDeadline(begun));
    const Result<HeadVersion> made = engine_->CompareAndSwap(
        HeadSpace::kLease, LeaseKey(lease), 0, bytes, Durability::kWritten);
    if (made.ok()) return lease;
    // The number is taken: draw another one.
    if (!made.status().Is(StatusCode::kFailedPrecondition)) {
      return made.status().WithContext("lease");
    }
  }
}

Result<uint64_t> CatalogueImpl::Lease(const DomainId& domain,
                                      std::span<const SegmentId> segments,
                                      const TierWish& wish, int64_t lease_ms) {
  FetchRequest request;
  request.segments = segments;
  request.lowest = wish.lowest;
  request.highest = wish.highest;
  REPRISE_RETURN_IF_ERROR(CheckLeaseMs(lease_ms));
  request.lease_ms = lease_ms;
  REPRISE_ASSIGN_OR_RETURN(const FetchPlan plan, PlanFetch(domain, request));
  return plan.lease;
}

Status CatalogueImpl::RenewLease(uint64_t lease, int64_t lease_ms) {
  REPRISE_RETURN_IF_ERROR(CheckLeaseMs(lease_ms));
  const std::string key = LeaseKey(lease);
  while (true) {
    const Result<HeadRecord> read = engine_->GetHead(HeadSpace::kLease, key);
    if (!read.ok()) return read.status().WithContext("renew lease");
    REPRISE_ASSIGN_OR_RETURN(LeaseRecord record,
                             DecodeLease(read->value.view()));
    const int64_t now_ms = clock_->WallMs();
    // Once over, what it held may be gone.
    if (record.expires_wall_ms <= now_ms) {
      return NotFoundError("renew lease: it ended " +
                           std::to_string(now_ms - record.expires_wall_ms) +
                           " ms ago");
    }
    record.expires_wall_ms = now_ms + lease_ms;
    const Result<HeadVersion> swapped =
        engine_->CompareAndSwap(HeadSpace::kLease, key, read->version,
                                EncodeLease(record), Durability::kWritten);
    if (swapped.ok()) return Status();
    if (!swapped.status().Is(StatusCode::kFailedPrecondition)) {
      return swapped.status().WithContext("renew lease");
    }
  }
}

Status CatalogueImpl::ReleaseLease(uint64_t lease) {
  const std::string key = LeaseKey(lease);
  while (true) {
    const Result<HeadRecord> read = engine_->GetHead(HeadSpace::kLease, key);
    if (read.status().Is(StatusCode::kNotFound)) return Status();
    if (!read.ok()) return read.status().WithContext("release lease");
    Status removed = engine_->RemoveHead(HeadSpace::kLease, key, read->version,
                                         Durability::kWritten);
    if (!removed.Is(StatusCode::kFailedPrecondition)) return removed;
  }
}

}  // namespace reprise
