#include "store/publisher.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "base/limits.h"
#include "store/coverage.h"
#include "store/key_arena.h"
#include "store/stages.h"

namespace reprise {
namespace {

Status Invalid(const std::string& what) { return InvalidArgumentError(what); }

Status CheckSegment(const SegmentRecord& segment) {
  if (segment.tokens.empty() || segment.tokens.size() > kSegmentTokens) {
    return Invalid("segment has " + std::to_string(segment.tokens.size()) +
                   " tokens, 1 to 64 are allowed");
  }
  if (segment.first_token % kSegmentTokens != 0) {
    return Invalid("first token is " + std::to_string(segment.first_token) +
                   ", no multiple of 64");
  }
  if (segment.first_token + segment.tokens.size() > kMaxSessionTokens) {
    return Invalid("first token is " + std::to_string(segment.first_token) +
                   ", sessions have at most " +
                   std::to_string(kMaxSessionTokens) + " tokens");
  }
  const bool is_first = segment.parent == RootSegmentId(segment.model);
  if (is_first != (segment.first_token == 0)) {
    return Invalid("first token is " + std::to_string(segment.first_token) +
                   (is_first ? " after the model's root" : ", not its root"));
  }
  return Status();
}

bool IsStoredTier(Tier tier) {
  return tier >= Tier::kExact && tier <= Tier::kArchive;
}

// A shared frame lies with the lowest tier that uses it.
bool SpaceFits(ObjectSpace space, Tier tier, bool is_tail) {
  if (is_tail) return space == ObjectSpace::kTailFrame;
  return space >= FrameSpaceOf(tier, false) &&
         space <= ObjectSpace::kFrameArchive;
}

Status CheckRendition(const Rendition& rendition, bool is_tail) {
  if (!IsStoredTier(rendition.tier) || !IsStoredTier(rendition.basis)) {
    return Invalid("tier is " + std::string(TierName(rendition.tier)) +
                   " on basis " + std::string(TierName(rendition.basis)) +
                   ", exact to archive are stored");
  }
  if (rendition.codec == CodecId()) return Invalid("codec is 0");
  if (rendition.other_weights && rendition.profile.IsZero()) {
    return Invalid("it has no profile that could be of other weights");
  }
  if (rendition.frames.empty() ||
      rendition.frames.size() > kMaxFramesPerRendition) {
    return Invalid(std::to_string(rendition.frames.size()) + " frames, 1 to " +
                   std::to_string(kMaxFramesPerRendition) + " are allowed");
  }
  for (const FrameRef& frame : rendition.frames) {
    if (!SpaceFits(frame.space, rendition.tier, is_tail)) {
      return Invalid(
          "a frame lies in " + std::string(ObjectSpaceName(frame.space)) +
          ", the rendition is " + std::string(TierName(rendition.tier)));
    }
    if (frame.bytes == 0 || frame.bytes > kMaxFrameBytes) {
      return Invalid("a frame has " + std::to_string(frame.bytes) +
                     " bytes, 1 to " + std::to_string(kMaxFrameBytes) +
                     " are allowed");
    }
  }
  return Status();
}

// Puts frames in order of their index; (*positions)[i] is where the i-th was.
Status SortFrames(std::vector<FrameRef>* frames,
                  std::vector<uint32_t>* positions) {
  positions->resize(frames->size());
  std::iota(positions->begin(), positions->end(), 0u);
  std::ranges::sort(*positions, {},
                    [&](uint32_t i) { return (*frames)[i].index; });
  std::vector<FrameRef> sorted;
  sorted.reserve(frames->size());
  for (const uint32_t i : *positions) {
    if (!sorted.empty() && sorted.back().index == (*frames)[i].index) {
      return Invalid("two frames have index " +
                     std::to_string(sorted.back().index));
    }
    sorted.push_back((*frames)[i]);
  }
  *frames = std::move(sorted);
  return Status();
}

// As good or better in both respects, so that the other adds nothing.
bool IsAsGood(const Rendition& a, const Rendition& b) {
  return a.tier <= b.tier && a.basis <= b.basis;
}

}  // namespace

Status Publisher::Add(const PublishItem& item,
                      std::shared_ptr<const StoredModel> model,
                      int64_t now_ms) {
  Work work;
  work.segment = item.segment;
  work.rendition = item.rendition;
  work.model = std::move(model);
  REPRISE_RETURN_IF_ERROR(CheckSegment(work.segment));
  REPRISE_RETURN_IF_ERROR(
      CheckRendition(work.rendition, work.segment.is_tail()));
  REPRISE_RETURN_IF_ERROR(SortFrames(&work.rendition.frames, &work.positions));
  REPRISE_RETURN_IF_ERROR(CheckStages(work.rendition, work.segment.is_tail()));
  REPRISE_RETURN_IF_ERROR(CheckCoverage(work.model->spec, work.model->groups,
                                        work.rendition.frames));
  work.id = work.segment.Id();
  if (!ids_.insert(work.id).second) {
    return Invalid("the segment is given twice");
  }
  // What covers everything once has this size, whatever the item says.
  work.rendition.raw_bytes =
      work.segment.tokens.size() * work.model->spec.token_bytes();
  if (work.rendition.time_ms == 0) work.rendition.time_ms = now_ms;
  open_.push_back(static_cast<uint32_t>(works_.size()));
  works_.push_back(std::move(work));
  return Status();
}

Status Publisher::AddLowered(const LoweredItem& lowered,
                             std::shared_ptr<const StoredModel> model,
                             int64_t now_ms) {
  REPRISE_RETURN_IF_ERROR(Add(lowered.item, std::move(model), now_ms));
  works_.back().source = lowered.source;
  return Status();
}

Status Publisher::CheckParents() {
  std::unordered_map<SegmentId, const SegmentRecord*, DigestHash> given;
  for (const Work& work : works_) {
    if (!work.segment.is_tail()) given.emplace(work.id, &work.segment);
  }
  KeyArena arena;
  std::vector<ObjectRef> refs;
  std::vector<uint32_t> children;
  for (uint32_t i = 0; i < works_.size(); ++i) {
    const SegmentRecord& segment = works_[i].segment;
    if (segment.first_token == 0 || given.contains(segment.parent)) continue;
    refs.push_back({ObjectSpace::kSegment, arena.Add(domain_, segment.parent)});
    children.push_back(i);
  }
  std::vector<Result<PinnedBytes>> values;
  if (!refs.empty()) engine_->GetMany(refs, &values);
  std::vector<SegmentRecord> parents(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    Result<SegmentRecord> parent =
        values[i].ok() ? DecodeSegment(values[i]->view()) : values[i].status();
    if (!parent.ok()) {
      return FailedPreconditionError(
          "item " + std::to_string(children[i]) + ": its parent " +
          works_[children[i]].segment.parent.ShortHex() +
          " can't be read: " + std::string(parent.status().message()));
    }
    parents[i] = *std::move(parent);
    given.emplace(works_[children[i]].segment.parent, &parents[i]);
  }
  for (uint32_t i = 0; i < works_.size(); ++i) {
    const SegmentRecord& segment = works_[i].segment;
    if (segment.first_token == 0) continue;
    const SegmentRecord& parent = *given.at(segment.parent);
    if (parent.model != segment.model ||
        parent.first_token + kSegmentTokens != segment.first_token) {
      return Invalid("item " + std::to_string(i) + ": first token is " +
                     std::to_string(segment.first_token) +
                     ", its parent begins at " +
                     std::to_string(parent.first_token));
    }
  }
  return Status();
}

Status Publisher::FindFrames() {
  KeyArena arena;
  std::vector<ObjectRef> refs;
  for (const Work& work : works_) {
    for (const FrameRef& frame : work.rendition.frames) {
      refs.push_back({frame.space, arena.AddFrame(domain_, work.id, frame)});
    }
  }
  std::vector<bool> all_present;
  REPRISE_RETURN_IF_ERROR(engine_->Touch(refs, epoch_, &all_present));
  auto next = all_present.begin();
  for (uint32_t i = 0; i < works_.size(); ++i) {
    const auto end = next + works_[i].rendition.frames.size();
    Status status =
        CheckAgainstStored(&works_[i], std::vector<bool>(next, end));
    if (!status.ok()) return status.WithContext("item " + std::to_string(i));
    next = end;
  }
  SettleMissing();
  return Status();
}

// Compares the frames that are present with what the item says of them; notes
// the missing.
Status Publisher::CheckAgainstStored(Work* work,
                                     const std::vector<bool>& present) {
  KeyArena arena;
  std::vector<uint32_t> unknown;
  std::vector<std::string_view> unknown_keys;
  for (uint32_t i = 0; i < present.size(); ++i) {
    if (!present[i]) {
      work->outcome.missing.push_back(work->positions[i]);
      continue;
    }
    const FrameRef& frame = work->rendition.frames[i];
    const std::string_view key = arena.AddFrame(domain_, work->id, frame);
    const auto facts = facts_->Find(frame.space, key);
    if (facts && CompareFacts(*facts, frame, work->segment, work->id).ok()) {
      continue;
    }
    unknown.push_back(i);
    unknown_keys.push_back(key);
  }
  return ReadFacts(work, unknown, unknown_keys);
}

// Reads frames that another daemon took, or that were forgotten. A frame that
// is damaged is removed, so that it can be put again, and reported missing.
Status Publisher::ReadFacts(Work* work, std::span<const uint32_t> frames,
                            std::span<const std::string_view> keys) {
  FrameView view;
  for (size_t i = 0; i < frames.size(); ++i) {
    const FrameRef& frame = work->rendition.frames[frames[i]];
    const ObjectRef ref{frame.space, keys[i]};
    const Result<PinnedBytes> bytes = engine_->Get(ref);
    Status status = bytes.status();
    if (status.ok()) {
      status =
          CheckFrame(bytes->view(), work->model->id, work->model->spec, &view);
    }
    if (status.Is(StatusCode::kDataLoss) || status.Is(StatusCode::kNotFound)) {
      REPRISE_ASSIGN_OR_RETURN(
          [[maybe_unused]] const uint64_t removed,
          engine_->RemoveIfUntouched({&ref, 1}, UINT64_MAX));
      work->outcome.missing.push_back(work->positions[frames[i]]);
      continue;
    }
    REPRISE_RETURN_IF_ERROR(status);
    const FrameFacts facts = FactsOf(view);
    facts_->Add(frame.space, keys[i], facts);
    REPRISE_RETURN_IF_ERROR(
        CompareFacts(facts, frame, work->segment, work->id));
  }
  return Status();
}

void Publisher::SettleMissing() {
  std::erase_if(open_, [this](uint32_t i) {
    PublishOutcome& outcome = works_[i].outcome;
    if (outcome.missing.empty()) return false;
    outcome.kind = PublishOutcome::Kind::kMissingFrames;
    std::ranges::sort(outcome.missing);
    return true;
  });
}

bool Publisher::NextSet(const Work& work, const StoredSegment& stored,
                        RenditionSet* next) {
  bool changed = false;
  bool kept = false;
  for (size_t i = 0; i < stored.set.renditions.size(); ++i) {
    const Rendition& old = stored.set.renditions[i];
    // One that lost a frame is of no use to anybody.
    if (!stored.complete[i]) {
      changed = true;
      continue;
    }
    kept = kept || IsAsGood(old, work.rendition);
    next->renditions.push_back(old);
  }
  if (kept) return changed;
  std::erase_if(next->renditions, [&](const Rendition& old) {
    return old.tier == work.rendition.tier;
  });
  next->renditions.push_back(work.rendition);
  std::ranges::sort(next->renditions, {}, &Rendition::tier);
  return true;
}

Result<bool> Publisher::NextLowered(const Work& work,
                                    const StoredSegment& stored,
                                    RenditionSet* next) {
  const Rendition& made = work.rendition;
  *next = stored.set;
  const auto source =
      std::ranges::find(stored.set.renditions, *work.source, &Rendition::id);
  if (!stored.status.ok() || source == stored.set.renditions.end()) {
    return false;
  }
  if (made.tier <= source->tier || made.basis < source->effective()) {
    return Invalid("lowered to " + std::string(TierName(made.tier)) +
                   " on basis " + std::string(TierName(made.basis)) +
                   ", its source is " + std::string(TierName(source->tier)) +
                   " on basis " + std::string(TierName(source->basis)));
  }
  for (size_t i = 0; i < stored.set.renditions.size(); ++i) {
    const Rendition& old = stored.set.renditions[i];
    const bool is_as_good = old.tier == made.tier && old.basis <= made.basis;
    if (is_as_good && stored.complete[i]) return false;
  }
  std::erase_if(next->renditions,
                [&](const Rendition& old) { return old.tier == made.tier; });
  next->renditions.push_back(made);
  std::ranges::sort(next->renditions, {}, &Rendition::tier);
  return true;
}

Status Publisher::SwapRound(const std::function<Status()>& check_deadline) {
  std::vector<SegmentRef> refs;
  for (const uint32_t i : open_) {
    refs.push_back({works_[i].id, works_[i].space()});
  }
  std::vector<StoredSegment> stored;
  REPRISE_RETURN_IF_ERROR(
      ReadSegments(engine_, domain_, refs, epoch_, &stored));

  KeyArena arena;
  std::vector<HeadStore::Swap> swaps;
  std::vector<uint32_t> swapping;
  for (size_t k = 0; k < open_.size(); ++k) {
    Work& work = works_[open_[k]];
    RenditionSet next;
    bool changes = false;
    if (work.source) {
      REPRISE_ASSIGN_OR_RETURN(changes, NextLowered(work, stored[k], &next));
    } else {
      if (!stored[k].status.ok()) work.put_segment = true;
      work.segment_damaged |= stored[k].status.Is(StatusCode::kDataLoss);
      changes = NextSet(work, stored[k], &next);
    }
    const bool ours = std::ranges::any_of(
        next.renditions,
        [&](const Rendition& each) { return each.id == work.rendition.id; });
    work.outcome.kind =
        ours ? PublishOutcome::Kind::kPublished : PublishOutcome::Kind::kKept;
    if (!changes && !work.put_segment) continue;
    work.record = EncodeRenditionSet(next);
    swaps.push_back({HeadSpace::kRendition, arena.Add(domain_, work.id),
                     stored[k].version, work.record});
    swapping.push_back(open_[k]);
  }
  open_.clear();
  if (swaps.empty()) return Status();
  REPRISE_RETURN_IF_ERROR(check_deadline());
  std::vector<Result<HeadVersion>> answers;
  engine_->CompareAndSwapMany(swaps, Durability::kWritten, &answers);
  for (size_t k = 0; k < answers.size(); ++k) {
    if (answers[k].ok()) continue;
    // Somebody else was faster: look again at what is there now.
    if (!answers[k].status().Is(StatusCode::kFailedPrecondition)) {
      return answers[k].status();
    }
    open_.push_back(swapping[k]);
  }
  return Status();
}

Status Publisher::PutSegments() {
  std::vector<std::string> keys;
  std::vector<Bytes> values;
  std::vector<ObjectPut> puts;
  keys.reserve(works_.size());
  values.reserve(works_.size());
  for (const Work& work : works_) {
    if (!work.put_segment) continue;
    keys.push_back(DomainKey(domain_, work.id.view()));
    values.push_back(EncodeSegment(work.segment));
    puts.push_back({work.space(), keys.back(), values.back()});
    if (!work.segment_damaged) continue;
    const ObjectRef damaged{work.space(), keys.back()};
    REPRISE_ASSIGN_OR_RETURN(
        [[maybe_unused]] const uint64_t removed,
        engine_->RemoveIfUntouched({&damaged, 1}, UINT64_MAX));
  }
  if (puts.empty()) return Status();
  return engine_->Put(puts, epoch_, Durability::kWritten);
}

void Publisher::TakeOutcomes(std::vector<PublishOutcome>* out) {
  out->clear();
  for (Work& work : works_) out->push_back(std::move(work.outcome));
}

}  // namespace reprise
