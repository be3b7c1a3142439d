#include "store/store_walk.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "store/finding_book.h"
#include "store/frame_references.h"
#include "store/job_record.h"
#include "store/mark_set.h"
#include "store/quarantine.h"
#include "store/rendition_check.h"
#include "store/session_check.h"

namespace reprise {
namespace {

constexpr uint32_t kListed = 256;
constexpr uint32_t kRecordsListed = 64;
constexpr uint32_t kSessionsListed = 16;
constexpr uint64_t kMostHeldBytes = 32ull << 20;
constexpr int kMostLooks = 4;

// In the order of the walk; part of cursors, so never reused.
enum class Part : uint8_t {
  kModels = 0,
  kProfiles = 1,
  kSegments = 2,
  kTails = 3,
  kRenditions = 4,
  kCommits = 5,
  kMeta = 6,
  kLeases = 7,
  kLastUses = 8,
  kSessions = 9,
  kUnreferenced = 10,
  kDone = 11,
};

// What may lie around without anybody referring to it.
constexpr ObjectSpace kCollectedSpaces[] = {
    ObjectSpace::kCommit,      ObjectSpace::kSegment,
    ObjectSpace::kTail,        ObjectSpace::kTailFrame,
    ObjectSpace::kFrameExact,  ObjectSpace::kFrameNear,
    ObjectSpace::kFrameCoarse, ObjectSpace::kFrameArchive};

uint64_t HashOf(std::string_view key) { return Checksum(AsBytes(key)); }

std::string_view KindOf(ObjectSpace space) { return ObjectSpaceName(space); }

// Whether an object is what its key says.
Status CheckObject(ObjectSpace space, std::string_view key, ByteView bytes) {
  if (key.size() != kDomainKeyBytes) {
    return DataLossError(std::string(KindOf(space)) + ": its key has " +
                         std::to_string(key.size()) + " bytes, " +
                         std::to_string(kDomainKeyBytes) + " are wanted");
  }
  Sha256Digest found;
  if (space == ObjectSpace::kModel) {
    REPRISE_ASSIGN_OR_RETURN(const ModelSpec spec, DecodeModelSpec(bytes));
    found.bytes = ModelIdOf(spec).bytes;
  } else if (space == ObjectSpace::kProfile) {
    found = Sha256(bytes);
  } else if (space == ObjectSpace::kCommit) {
    REPRISE_RETURN_IF_ERROR(DecodeCommit(bytes).status());
    found.bytes = CommitIdOf(bytes).bytes;
  } else {
    REPRISE_ASSIGN_OR_RETURN(const SegmentRecord segment, DecodeSegment(bytes));
    found.bytes = segment.Id().bytes;
    if (segment.is_tail() != (space == ObjectSpace::kTail)) {
      return DataLossError(
          "segment record: " + std::to_string(segment.tokens.size()) +
          " tokens, in the wrong space");
    }
  }
  if (std::memcmp(found.bytes.data(), key.data() + kDomainBytes, 32) == 0) {
    return Status();
  }
  return DataLossError(std::string(KindOf(space)) + ": it is " +
                       found.ShortHex() + ", its key says " +
                       ToHex(AsBytes(key).subspan(kDomainBytes, 6)));
}

// Small records by the front of their keys; those of later releases are none
// of our business.
Status CheckMeta(std::string_view key, ByteView bytes) {
  if (key == kStoreKey) return DecodeStore(bytes).status();
  if (key == kEpochKey) return DecodeEpoch(bytes).status();
  if (key == kClockKey) return DecodeClock(bytes).status();
  if (key.starts_with(JobKey(""))) return DecodeJob(bytes).status();
  if (key.starts_with("profile/")) return DecodeProfileRecord(bytes).status();
  if (key.starts_with(kQuarantinePrefix)) {
    return DecodeQuarantine(bytes).status();
  }
  return Status();
}

class StoreWalkImpl final : public StoreWalk {
 public:
  StoreWalkImpl(Catalogue* catalogue, const WalkOptions& options)
      : catalogue_(catalogue),
        engine_(catalogue->engine()),
        options_(options),
        models_(catalogue),
        renditions_(catalogue, &models_, options.read_frames),
        sessions_(catalogue, &models_, &book_, options.set_aside,
                  MarkFunction()) {}

  Status Step(uint64_t bytes) override {
    const uint64_t held = std::clamp<uint64_t>(bytes, 1, kMostHeldBytes);
    switch (part_) {
      case Part::kModels:
        return StepObjects(ObjectSpace::kModel, held);
      case Part::kProfiles:
        if (!options_.read_frames) return NextPart();
        return StepObjects(ObjectSpace::kProfile, held);
      case Part::kSegments:
        return StepObjects(ObjectSpace::kSegment, held);
      case Part::kTails:
        return StepObjects(ObjectSpace::kTail, held);
      case Part::kRenditions:
        return StepRenditions(held);
      case Part::kCommits:
        return StepObjects(ObjectSpace::kCommit, held);
      case Part::kMeta:
        return StepHeads(HeadSpace::kMeta);
      case Part::kLeases:
        return StepHeads(HeadSpace::kLease);
      case Part::kLastUses:
        return StepHeads(HeadSpace::kLastUse);
      case Part::kSessions:
        return StepSessions(held);
      case Part::kUnreferenced:
        return StepUnreferenced();
      case Part::kDone:
        break;
    }
    return Status();
  }

  bool done() const override { return part_ == Part::kDone; }
  const FsckReport& report() const override { return book_.report; }

  std::string cursor() const override {
    std::string cursor(1, static_cast<char>(part_));
    return cursor + key_;
  }

  Status SkipTo(std::string_view cursor) override {
    if (cursor.empty()) return Status();
    const auto part = static_cast<uint8_t>(cursor[0]);
    if (part >= static_cast<uint8_t>(Part::kUnreferenced)) {
      return InvalidArgumentError("walk: part " + std::to_string(part) +
                                  " of the cursor, at most 9 is known");
    }
    part_ = static_cast<Part>(part);
    key_ = cursor.substr(1);
    if (part_ != Part::kSessions) return Status();
    // Which of them are touched is written down nowhere.
    key_.clear();
    return LoadQuarantine();
  }

  void AddCounts(const FsckReport& earlier) override {
    FsckReport& report = book_.report;
    if (part_ != Part::kSessions) report.sessions += earlier.sessions;
    report.commits += earlier.commits;
    report.segments += earlier.segments;
    report.renditions += earlier.renditions;
    report.frames += earlier.frames;
    report.frame_bytes += earlier.frame_bytes;
    report.bytes_read += earlier.bytes_read;
    report.set_aside += earlier.set_aside;
  }

 private:
  SessionChecker::Mark MarkFunction() {
    if (!options_.count_unreferenced) return nullptr;
    return [this](std::string_view key) { marked_.Add(HashOf(key)); };
  }

  Status NextPart() {
    key_.clear();
    page_.clear();
    part_ = static_cast<Part>(static_cast<uint8_t>(part_) + 1);
    if (part_ == Part::kSessions) return LoadQuarantine();
    if (part_ != Part::kUnreferenced) return Status();
    if (!options_.count_unreferenced) part_ = Part::kDone;
    marked_.Seal();
    return Status();
  }

  // A listing that can't be read ends its part: what lies behind it is not
  // known.
  Status EndListing(const Status& status, std::string_view what) {
    if (!status.Is(StatusCode::kDataLoss)) return status;
    book_.Add(
        {.kind = what, .what = "listing: " + std::string(status.message())});
    return NextPart();
  }

  // --- Objects. ---

  Status StepObjects(ObjectSpace space, uint64_t held) {
    std::vector<ObjectStore::Listed> listed;
    const Status status = engine_->List(space, "", key_, kListed, &listed);
    if (!status.ok()) return EndListing(status, KindOf(space));
    if (listed.empty()) return NextPart();
    uint64_t bytes = 0;
    std::vector<ObjectRef> refs;
    for (const ObjectStore::Listed& object : listed) {
      bytes += object.bytes;
      if (!refs.empty() && bytes > held) break;
      refs.push_back({space, object.key});
    }
    std::vector<Result<PinnedBytes>> values;
    engine_->GetMany(refs, &values);
    for (size_t i = 0; i < refs.size(); ++i) {
      if (values[i].ok()) book_.report.bytes_read += values[i]->size();
      if (Verify(space, refs[i].key, values[i]).ok()) {
        Count(space);
        continue;
      }
      REPRISE_RETURN_IF_ERROR(FindObject(space, refs[i].key));
    }
    key_ = std::string(refs.back().key);
    return Status();
  }

  // What was removed since it was listed is no damage.
  static Status Verify(ObjectSpace space, std::string_view key,
                       const Result<PinnedBytes>& value) {
    if (value.status().Is(StatusCode::kNotFound)) return Status();
    if (!value.ok()) return value.status();
    return CheckObject(space, key, value->view());
  }

  void Count(ObjectSpace space) {
    FsckReport& report = book_.report;
    report.commits += space == ObjectSpace::kCommit ? 1 : 0;
    report.segments +=
        space == ObjectSpace::kSegment || space == ObjectSpace::kTail ? 1 : 0;
  }

  // Something failed: read again, for it may have been our memory.
  Status FindObject(ObjectSpace space, std::string_view key) {
    const Status status = Verify(space, key, engine_->Get({space, key}));
    Count(space);
    if (status.ok()) return Status();
    const bool is_damage = status.Is(StatusCode::kDataLoss);
    if (!is_damage && !status.Is(StatusCode::kUnimplemented)) return status;
    FsckFinding finding;
    finding.kind = KindOf(space);
    finding.what = std::string(status.message());
    QuarantineRecord record;
    record.holds = QuarantineHolds::kObject;
    return FindInPlace(StoredPlace::Of(space, key), std::move(finding),
                       std::move(record), is_damage);
  }

  // What stays where it is: docs/format/records.md, section 9. What was set
  // aside by an earlier walk is no finding again.
  Status FindInPlace(const StoredPlace& place, FsckFinding finding,
                     QuarantineRecord record, bool is_damage) {
    REPRISE_ASSIGN_OR_RETURN(const auto known, FindQuarantine(engine_, place));
    const bool is_ours = !known || known->time_ms >= options_.since_ms;
    FindingBook::Bad bad{.left = Tier::kTokens};
    if (!known && options_.set_aside && is_damage) {
      record.was = place;
      record.time_ms = catalogue_->clock()->WallMs();
      record.reason = finding.what;
      REPRISE_RETURN_IF_ERROR(WriteQuarantine(engine_, place, record));
      finding.is_set_aside = true;
      ++book_.report.set_aside;
    }
    if (is_ours && book_.IsNewPlace(place.key)) {
      finding.is_set_aside |= known.has_value();
      bad.finding = book_.Add(std::move(finding));
    }
    book_.AddBad(place.key, bad);
    return Status();
  }

  // --- Renditions and their frames. ---

  Status StepRenditions(uint64_t held) {
    if (page_.empty()) {
      const Status status = engine_->ListHeads(HeadSpace::kRendition, "", key_,
                                               kRecordsListed, &page_);
      if (!status.ok()) return EndListing(status, "rendition");
      if (page_.empty()) return NextPart();
    }
    const auto heads =
        std::span(page_).first(RenditionChecker::CountFor(page_, held));
    std::vector<RecordVerdict> verdicts;
    REPRISE_RETURN_IF_ERROR(
        renditions_.Check(heads, held, &verdicts, &book_.report.bytes_read));
    for (size_t i = 0; i < heads.size(); ++i) {
      book_.report.renditions += verdicts[i].rendition_count;
      book_.report.frames += verdicts[i].frame_count;
      book_.report.frame_bytes += verdicts[i].frame_bytes;
      if (verdicts[i].ok()) continue;
      REPRISE_RETURN_IF_ERROR(LookAgain(heads[i].key));
    }
    key_ = heads.back().key;
    page_.erase(page_.begin(),
                page_.begin() + static_cast<ptrdiff_t>(heads.size()));
    return Status();
  }

  // A record in which something is wrong, until it stands still while it is
  // looked at.
  Status LookAgain(const std::string& key) {
    for (int look = 0; look < kMostLooks; ++look) {
      HeadStore::ListedHead head;
      head.key = key;
      Result<HeadRecord> record = engine_->GetHead(HeadSpace::kRendition, key);
      if (record.status().Is(StatusCode::kNotFound)) return Status();
      if (!record.ok()) {
        if (!record.status().Is(StatusCode::kDataLoss)) return record.status();
        return FindRecord(key, record.status(), ByteView());
      }
      head.record = *std::move(record);
      std::vector<RecordVerdict> verdicts;
      REPRISE_RETURN_IF_ERROR(renditions_.Check(
          {&head, 1}, kMostHeldBytes, &verdicts, &book_.report.bytes_read));
      if (verdicts[0].ok()) return Status();
      const Result<HeadRecord> after =
          engine_->GetHead(HeadSpace::kRendition, key);
      if (!after.ok() || after->version != head.record.version) continue;
      if (!verdicts[0].status.ok()) {
        return FindRecord(key, verdicts[0].status, head.record.value.view());
      }
      return FindParts(key, head.record.value.view(), verdicts[0]);
    }
    // It changes faster than we look: somebody saves it.
    return Status();
  }

  Status FindRecord(const std::string& key, const Status& status,
                    ByteView bytes) {
    FsckFinding finding;
    finding.kind = "rendition";
    finding.what = std::string(status.message());
    return FindInPlace(StoredPlace::Of(HeadSpace::kRendition, key),
                       std::move(finding), CopyOf(bytes),
                       status.Is(StatusCode::kDataLoss));
  }

  static QuarantineRecord CopyOf(ByteView bytes) {
    QuarantineRecord record;
    record.holds =
        bytes.empty() ? QuarantineHolds::kNothing : QuarantineHolds::kCopy;
    record.copy.assign(bytes.begin(), bytes.end());
    return record;
  }

  // Frames and renditions of a record that can be read.
  Status FindParts(const std::string& key, ByteView bytes,
                   const RecordVerdict& verdict) {
    REPRISE_ASSIGN_OR_RETURN(const RenditionSet set, DecodeRenditionSet(bytes));
    DomainId domain;
    SegmentId segment;
    std::memcpy(domain.bytes.data(), key.data(), kDomainBytes);
    std::memcpy(segment.bytes.data(), key.data() + kDomainBytes, 32);
    const FindingBook::Bad bad = BadOf(set, verdict);
    std::vector<FrameRef> frames;
    std::string reason;
    for (const RecordVerdict::BadFrame& each : verdict.frames) {
      frames.push_back(each.frame);
      if (reason.empty()) reason = std::string(each.status.message());
    }
    if (options_.set_aside && !frames.empty()) {
      REPRISE_RETURN_IF_ERROR(
          catalogue_->SetAsideFrames(domain, segment, frames, reason));
    }
    if (options_.set_aside && !verdict.renditions.empty()) {
      REPRISE_RETURN_IF_ERROR(DropBad(domain, segment, set, bytes, verdict));
    }
    REPRISE_ASSIGN_OR_RETURN(const RenditionSet now, SetNow(key));
    for (const RecordVerdict::BadFrame& each : verdict.frames) {
      const FrameRef& frame = each.frame;
      book_.IsNewPlace(FrameKey(domain, segment, frame.rendition, frame.index));
      Find(key, "frame", each.status, segment, bad,
           options_.set_aside && !Names(now, frame));
    }
    for (const RecordVerdict::BadRendition& each : verdict.renditions) {
      Find(key, "rendition", each.status, segment, bad, options_.set_aside);
    }
    return Status();
  }

  void Find(const std::string& key, std::string_view kind, const Status& status,
            const SegmentId& segment, FindingBook::Bad bad, bool is_set_aside) {
    FsckFinding finding;
    finding.kind = kind;
    finding.what = std::string(kind) + " of segment " + segment.ShortHex() +
                   ": " + std::string(status.message());
    finding.is_set_aside = is_set_aside;
    book_.report.set_aside += is_set_aside ? 1 : 0;
    bad.finding = book_.Add(std::move(finding));
    book_.AddBad(key, bad);
  }

  Status DropBad(const DomainId& domain, const SegmentId& segment,
                 const RenditionSet& set, ByteView bytes,
                 const RecordVerdict& verdict) {
    const std::string key = DomainKey(domain, segment.view());
    QuarantineRecord record = CopyOf(bytes);
    const StoredPlace place = StoredPlace::Of(HeadSpace::kRendition, key);
    record.was = place;
    record.time_ms = catalogue_->clock()->WallMs();
    record.reason = std::string(verdict.renditions[0].status.message());
    record.lost_tier = BadOf(set, verdict).lost_tier;
    REPRISE_RETURN_IF_ERROR(WriteQuarantine(engine_, place, record));
    RenditionDrop drop;
    drop.segment = segment;
    drop.lowest = Tier::kTokens;
    for (const auto& each : verdict.renditions) {
      drop.renditions.push_back(each.id);
    }
    std::vector<SinkOutcome> outcomes;
    return catalogue_->DropNamed(domain, {&drop, 1}, &outcomes);
  }

  Result<RenditionSet> SetNow(const std::string& key) {
    const Result<HeadRecord> head =
        engine_->GetHead(HeadSpace::kRendition, key);
    if (head.status().Is(StatusCode::kNotFound)) return RenditionSet();
    if (!head.ok()) return head.status();
    return DecodeRenditionSet(head->value.view());
  }

  static bool Names(const RenditionSet& set, const FrameRef& frame) {
    return std::ranges::any_of(set.renditions, [&](const Rendition& each) {
      return std::ranges::find(each.frames, frame) != each.frames.end();
    });
  }

  // What was lost with it, and what is left without it.
  static FindingBook::Bad BadOf(const RenditionSet& set,
                                const RecordVerdict& verdict) {
    FindingBook::Bad bad;
    RenditionSet rest;
    std::vector<size_t> present;
    for (const Rendition& rendition : set.renditions) {
      const bool is_bad = std::ranges::find(verdict.renditions, rendition.id,
                                            &RecordVerdict::BadRendition::id) !=
                          verdict.renditions.end();
      size_t whole = is_bad ? 0 : rendition.frames.size();
      for (const RecordVerdict::BadFrame& each : verdict.frames) {
        const auto at = std::ranges::find(rendition.frames, each.frame);
        whole = std::min<size_t>(
            whole, static_cast<size_t>(at - rendition.frames.begin()));
      }
      present.push_back(whole);
      if (whole == rendition.frames.size()) continue;
      const auto tier = static_cast<uint8_t>(rendition.effective());
      bad.lost_tier = bad.lost_tier == 0 ? tier : std::min(bad.lost_tier, tier);
    }
    rest = WithoutMissing(set, present, 0, [] { return RenditionId(); });
    const Rendition* const best = rest.Best(Tier::kArchive);
    bad.left = best == nullptr ? Tier::kTokens : best->effective();
    return bad;
  }

  // --- Small records. ---

  Status StepHeads(HeadSpace space) {
    std::vector<HeadStore::ListedHead> listed;
    const Status status = engine_->ListHeads(space, "", key_, kListed, &listed);
    if (!status.ok()) return EndListing(status, HeadSpaceName(space));
    if (listed.empty()) return NextPart();
    for (const HeadStore::ListedHead& head : listed) {
      book_.report.bytes_read += head.record.value.size();
      const Status checked =
          CheckHead(space, head.key, head.record.value.view());
      if (checked.ok()) continue;
      // It may be gone, or written anew: no damage then.
      const Result<HeadRecord> again = engine_->GetHead(space, head.key);
      if (!again.ok() || again->version != head.record.version) continue;
      book_.Add({.kind = HeadSpaceName(space),
                 .what = std::string(checked.message())});
    }
    key_ = listed.back().key;
    return Status();
  }

  static Status CheckHead(HeadSpace space, std::string_view key,
                          ByteView bytes) {
    if (space == HeadSpace::kLease) return DecodeLease(bytes).status();
    if (space == HeadSpace::kLastUse) return DecodeLastUse(bytes).status();
    return CheckMeta(key, bytes);
  }

  // --- Sessions. ---

  // What was set aside before, and what this walk found before it was cut off.
  Status LoadQuarantine() {
    std::string cursor;
    for (bool end = false; !end;) {
      std::vector<Quarantined> listed;
      REPRISE_RETURN_IF_ERROR(
          ListQuarantine(engine_, kListed, &cursor, &listed, &end));
      for (const Quarantined& each : listed) AddQuarantined(each.record);
    }
    return Status();
  }

  void AddQuarantined(const QuarantineRecord& record) {
    size_t index = FindingBook::kNoFinding;
    const bool is_ours =
        record.time_ms >= options_.since_ms && book_.IsNewPlace(record.was.key);
    if (is_ours) {
      FsckFinding finding;
      const bool is_frame =
          !record.was.is_head && record.was.key.size() == kFrameKeyBytes;
      finding.kind = is_frame ? "frame" : record.was.SpaceName();
      finding.what = record.reason;
      finding.is_set_aside = true;
      index = book_.Add(std::move(finding));
    }
    if (record.was.Is(HeadSpace::kSession)) return;
    if (record.was.key.size() < kDomainKeyBytes) return;
    book_.AddBad(record.was.key.substr(0, kDomainKeyBytes),
                 {.lost_tier = record.lost_tier, .finding = index});
  }

  // Many small steps: else one that is cut off soon would never get on.
  Status StepSessions(uint64_t bytes) {
    constexpr int kMostSteps = 256;
    const uint64_t end = book_.report.bytes_read + bytes;
    for (int i = 0; i < kMostSteps && part_ == Part::kSessions; ++i) {
      REPRISE_RETURN_IF_ERROR(StepSession());
      if (book_.report.bytes_read >= end) break;
    }
    return Status();
  }

  Status StepSession() {
    if (sessions_.busy()) {
      REPRISE_RETURN_IF_ERROR(sessions_.Step());
      if (!sessions_.busy()) key_ = at_session_;
      return Status();
    }
    if (page_.empty()) {
      const Status status = engine_->ListHeads(HeadSpace::kSession, "", key_,
                                               kSessionsListed, &page_);
      if (!status.ok()) return EndListing(status, "session");
      if (page_.empty()) return NextPart();
    }
    at_session_ = page_.front().key;
    REPRISE_RETURN_IF_ERROR(sessions_.Begin(page_.front()));
    page_.erase(page_.begin());
    if (!sessions_.busy()) key_ = at_session_;
    return Status();
  }

  // --- What no session leads to. ---

  Status StepUnreferenced() {
    constexpr size_t kSpaces = std::size(kCollectedSpaces);
    if (space_ == kSpaces) return StepUnreferencedRecords();
    const ObjectSpace space = kCollectedSpaces[space_];
    std::vector<ObjectStore::Listed> listed;
    const Status status = engine_->List(space, "", key_, 1000, &listed);
    if (!status.ok() && !status.Is(StatusCode::kDataLoss)) return status;
    if (listed.empty()) {
      key_.clear();
      ++space_;
      return Status();
    }
    key_ = listed.back().key;
    const bool is_frame = space >= ObjectSpace::kTailFrame;
    FrameReferences references(engine_);
    const auto owner = [&](const ObjectStore::Listed& object) {
      return std::string_view(object.key).substr(0, kDomainKeyBytes);
    };
    for (const ObjectStore::Listed& object : listed) {
      const bool is_marked = marked_.Contains(HashOf(owner(object)));
      if (is_frame && is_marked) references.Add(object.key);
    }
    REPRISE_RETURN_IF_ERROR(references.Load());
    std::erase_if(listed, [&](const ObjectStore::Listed& object) {
      return is_frame ? references.Names(space, object.key)
                      : marked_.Contains(HashOf(object.key));
    });
    REPRISE_RETURN_IF_ERROR(EraseQuarantined(engine_, space, &listed));
    book_.report.unreferenced += listed.size();
    return Status();
  }

  Status StepUnreferencedRecords() {
    std::vector<HeadStore::ListedHead> listed;
    const Status status =
        engine_->ListHeads(HeadSpace::kRendition, "", key_, 1000, &listed);
    if (!status.ok() && !status.Is(StatusCode::kDataLoss)) return status;
    if (listed.empty()) {
      part_ = Part::kDone;
      return Status();
    }
    key_ = listed.back().key;
    for (const HeadStore::ListedHead& head : listed) {
      const bool is_marked = marked_.Contains(HashOf(head.key));
      book_.report.unreferenced += is_marked ? 0 : 1;
    }
    return Status();
  }

  Catalogue* const catalogue_;
  Engine* const engine_;
  const WalkOptions options_;
  FindingBook book_;
  CheckedModels models_;
  RenditionChecker renditions_;
  SessionChecker sessions_;

  Part part_ = Part::kModels;
  std::string key_;                          // in it: checked up to there
  std::vector<HeadStore::ListedHead> page_;  // what comes next
  std::string at_session_;
  size_t space_ = 0;  // of kCollectedSpaces
  MarkSet marked_;    // hashes of keys that sessions lead to
};

}  // namespace

std::unique_ptr<StoreWalk> MakeStoreWalk(Catalogue* catalogue,
                                         const WalkOptions& options) {
  return std::make_unique<StoreWalkImpl>(catalogue, options);
}

}  // namespace reprise
