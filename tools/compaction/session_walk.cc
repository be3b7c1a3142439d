#include "tools/compaction/session_walk.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "store/tier_map.h"

namespace reprise {
namespace {

constexpr uint32_t kPageSessions = 64;
// Records read by one call of the engine.
constexpr size_t kReadBatch = 256;

WalkedSession WalkedOf(const HeadStore::ListedHead& listed,
                       const HeadRecord& last_use) {
  WalkedSession walked;
  std::memcpy(walked.tenant.bytes.data(), listed.key.data(), kDomainBytes);
  walked.info.name = listed.key.substr(kDomainBytes);
  Result<SessionRecord> record = DecodeSession(listed.record.value.view());
  walked.record_status = record.status();
  if (record.ok()) walked.info.record = *std::move(record);
  if (last_use.version == 0) return walked;
  const Result<int64_t> time_ms = DecodeLastUse(last_use.value.view());
  walked.last_use_status = time_ms.status();
  if (time_ms.ok()) walked.info.last_use_ms = *time_ms;
  return walked;
}

}  // namespace

Result<std::optional<WalkedSession>> SessionWalk::Next() {
  if (page_.empty() && !is_at_end_) REPRISE_RETURN_IF_ERROR(ReadPage());
  if (page_.empty()) return std::optional<WalkedSession>();
  std::optional<WalkedSession> next = std::move(page_.back());
  page_.pop_back();
  return next;
}

Status SessionWalk::ReadPage() {
  std::vector<HeadStore::ListedHead> listed;
  REPRISE_RETURN_IF_ERROR(engine_->ListHeads(HeadSpace::kSession, "", cursor_,
                                             kPageSessions, &listed));
  std::vector<std::string_view> keys;
  for (const HeadStore::ListedHead& head : listed) keys.push_back(head.key);
  std::vector<HeadRecord> last_use;
  REPRISE_RETURN_IF_ERROR(
      engine_->GetHeads(HeadSpace::kLastUse, keys, &last_use));
  is_at_end_ = listed.empty();
  for (size_t i = listed.size(); i-- > 0;) {
    page_.push_back(WalkedOf(listed[i], last_use[i]));
  }
  if (!listed.empty()) cursor_ = listed.back().key;
  return Status();
}

SessionSegments::SessionSegments(Catalogue* catalogue,
                                 const SessionRecord& session)
    : catalogue_(catalogue), domain_(session.domain), commits_(session.recent) {
  commits_.insert(commits_.begin(), session.head);
}

SessionSegments::SessionSegments(Catalogue* catalogue, const DomainId& domain,
                                 const CommitId& commit)
    : catalogue_(catalogue), domain_(domain), commits_{commit} {}

Status SessionSegments::Next(std::vector<SegmentUse>* out) {
  out->clear();
  REPRISE_ASSIGN_OR_RETURN(const CommitRecord commit,
                           catalogue_->GetCommit(domain_, commits_[next_]));
  for (const SegmentId& id : commit.segments) out->push_back({id, false});
  if (!commit.tail.IsZero()) out->push_back({commit.tail, true});
  std::ranges::sort(*out, {}, &SegmentUse::id);
  out->erase(std::unique(out->begin(), out->end(),
                         [](const SegmentUse& a, const SegmentUse& b) {
                           return a.id == b.id;
                         }),
             out->end());
  std::erase_if(*out, [this](const SegmentUse& use) {
    return std::ranges::binary_search(seen_, SegmentHash(domain_, use.id));
  });
  for (const SegmentUse& use : *out) {
    seen_.push_back(SegmentHash(domain_, use.id));
  }
  std::ranges::sort(seen_);
  ++next_;
  return Status();
}

Status SessionRenditions::Read() {
  records_.clear();
  next_ = 0;
  if (read_ == uses_.size()) {
    uses_.clear();
    read_ = 0;
    const Status status = segments_.Next(&uses_);
    if (status.ok()) return status;
    uses_.clear();
    if (!status.Is(StatusCode::kNotFound) &&
        !status.Is(StatusCode::kDataLoss)) {
      return status;
    }
    segments_.SkipCommit();
    return Status();
  }
  const size_t end = std::min(uses_.size(), read_ + kReadBatch);
  std::vector<std::string> keys;
  for (size_t i = read_; i < end; ++i) {
    keys.push_back(DomainKey(domain(), uses_[i].id.view()));
  }
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  const Status status =
      catalogue_->engine()->GetHeads(HeadSpace::kRendition, views, &records_);
  if (!status.ok()) {
    records_.clear();
    return status;
  }
  first_ = read_;
  read_ = end;
  return Status();
}

}  // namespace reprise
