// DeriveRenditions, DropRenditions and DropNamed: sets of renditions changed
// without touching a frame.
//
// Why a derived rendition needs no touch of the frames that it shares: the
// record that named them before is swapped only if it still has the version
// that was read, so they were named all the time, and what a record names is
// not swept. Why a reader is not harmed by a drop: it took its lease within
// max_commit_ms of reading the record, and a collection that condemns the
// frames because of the drop waits longer before it looks at leases again.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

#include "store/catalogue_impl.h"
#include "store/key_arena.h"

namespace reprise {
namespace {

// Records changed by one call of the engine.
constexpr size_t kSinkBatch = 256;

bool IsStoredTier(Tier tier) {
  return tier >= Tier::kExact && tier <= Tier::kArchive;
}

Status CheckTier(const std::string& what, Tier tier) {
  if (IsStoredTier(tier)) return Status();
  return InvalidArgumentError(what + ": tier is " +
                              std::to_string(static_cast<unsigned>(tier)) +
                              ", 1 to 4 are stored");
}

RenditionId DrawRenditionId() {
  RenditionId id;
  const uint64_t words[] = {RandomId64(), RandomId64()};
  static_assert(sizeof(words) == sizeof(id.bytes));
  std::memcpy(id.bytes.data(), words, sizeof(words));
  return id;
}

const Rendition* Find(const RenditionSet& set, Tier tier) {
  const auto it = std::ranges::find(set.renditions, tier, &Rendition::tier);
  return it == set.renditions.end() ? nullptr : &*it;
}

// How many of a rendition's frames, from the first on, are there.
class Presence {
 public:
  Presence(const RenditionSet& set, std::span<const size_t> present)
      : set_(set), present_(present) {}
  size_t Of(const Rendition& rendition) const {
    return present_[static_cast<size_t>(&rendition - set_.renditions.data())];
  }
  bool IsWhole(const Rendition& rendition) const {
    return Of(rendition) == rendition.frames.size();
  }

 private:
  const RenditionSet& set_;
  const std::span<const size_t> present_;
};

SinkOutcome Derive(const RenditionSet& set, const Presence& presence,
                   const Derivation& derivation, int64_t now_ms,
                   RenditionSet* next) {
  const Rendition* const from = Find(set, derivation.from);
  if (from == nullptr) return SinkOutcome::kNoRendition;
  const Rendition* const there = Find(set, derivation.to);
  if (there != nullptr && there->basis <= from->basis &&
      presence.IsWhole(*there)) {
    return SinkOutcome::kKept;
  }
  const std::vector<StagePrefix> prefixes = PrefixesOf(*from);
  const auto prefix =
      std::ranges::find(prefixes, derivation.to, &StagePrefix::tier);
  if (prefix == prefixes.end()) return SinkOutcome::kNotStaged;
  if (presence.Of(*from) < prefix->frame_count) {
    return SinkOutcome::kMissingFrames;
  }
  Rendition derived = Offer{from, *prefix}.Cut();
  derived.id = DrawRenditionId();
  derived.time_ms = now_ms;
  std::ranges::copy_if(
      set.renditions, std::back_inserter(next->renditions),
      [&](const Rendition& old) { return old.tier != derivation.to; });
  next->renditions.push_back(std::move(derived));
  std::ranges::sort(next->renditions, {}, &Rendition::tier);
  return SinkOutcome::kDone;
}

SinkOutcome Drop(const RenditionSet& set, const Presence& presence, Tier tier,
                 RenditionSet* next) {
  if (Find(set, tier) == nullptr) return SinkOutcome::kNoRendition;
  if (set.renditions.size() == 1) return SinkOutcome::kLast;
  bool can_be_read = false;
  for (const Rendition& each : set.renditions) {
    if (each.tier == tier) continue;
    can_be_read = can_be_read || presence.IsWhole(each);
    next->renditions.push_back(each);
  }
  return can_be_read ? SinkOutcome::kDone : SinkOutcome::kMissingFrames;
}

SinkOutcome DropIds(const RenditionSet& set, const Presence& presence,
                    const RenditionDrop& drop, RenditionSet* next) {
  bool is_served = drop.lowest == Tier::kTokens;
  for (const Rendition& each : set.renditions) {
    if (std::ranges::find(drop.renditions, each.id) != drop.renditions.end()) {
      continue;
    }
    is_served = is_served ||
                (each.effective() <= drop.lowest && presence.IsWhole(each));
    next->renditions.push_back(each);
  }
  if (next->renditions.size() == set.renditions.size()) {
    return SinkOutcome::kNoRendition;
  }
  if (is_served) return SinkOutcome::kDone;
  return next->renditions.empty() ? SinkOutcome::kLast
                                  : SinkOutcome::kMissingFrames;
}

// Some segments of a call, read once.
class SinkReader {
 public:
  SinkReader(Engine* engine, const DomainId& domain,
             std::span<const SegmentId> segments)
      : engine_(engine), domain_(domain), segments_(segments) {
    for (const SegmentId& id : segments)
      keys_.push_back(arena_.Add(domain, id));
  }

  // A damaged record is none that anything could be derived from.
  Status Read() {
    REPRISE_RETURN_IF_ERROR(
        engine_->GetHeads(HeadSpace::kRendition, keys_, &records_));
    sets_.resize(segments_.size());
    std::vector<ObjectRef> refs;
    for (size_t i = 0; i < segments_.size(); ++i) {
      if (records_[i].version == 0) continue;
      Result<RenditionSet> set = DecodeRenditionSet(records_[i].value.view());
      if (!set.ok()) continue;
      sets_[i] = *std::move(set);
      for (const Rendition& rendition : sets_[i].renditions) {
        for (const FrameRef& frame : rendition.frames) {
          refs.push_back(
              {frame.space, arena_.AddFrame(domain_, segments_[i], frame)});
        }
      }
    }
    std::vector<bool> exists;
    REPRISE_RETURN_IF_ERROR(engine_->Exists(refs, &exists));
    auto next = exists.begin();
    for (const RenditionSet& set : sets_) {
      auto& present = present_.emplace_back();
      for (size_t r = 0; r < set.renditions.size(); ++r) {
        const auto end =
            next + static_cast<ptrdiff_t>(set.renditions[r].frames.size());
        present[r] = static_cast<size_t>(std::find(next, end, false) - next);
        next = end;
      }
    }
    return Status();
  }

  std::string_view key(size_t i) const { return keys_[i]; }
  HeadVersion version(size_t i) const { return records_[i].version; }
  const RenditionSet& set(size_t i) const { return sets_[i]; }
  std::span<const size_t> present(size_t i) const { return present_[i]; }

 private:
  Engine* const engine_;
  const DomainId domain_;
  const std::span<const SegmentId> segments_;
  KeyArena arena_;
  std::vector<std::string_view> keys_;
  std::vector<HeadRecord> records_;
  std::vector<RenditionSet> sets_;
  std::vector<std::array<size_t, kMaxRenditionsPerSet>> present_;
};

}  // namespace

// Until no record was changed by somebody else between read and swap.
Status CatalogueImpl::SwapSets(const DomainId& domain,
                               std::span<const SegmentId> segments,
                               size_t first_index, const NextSet& next_set,
                               const Begun& begun, std::span<SinkOutcome> out) {
  std::vector<SegmentId> open(segments.begin(), segments.end());
  std::vector<size_t> places(segments.size());
  for (size_t i = 0; i < places.size(); ++i) places[i] = i;
  while (!open.empty()) {
    SinkReader reader(engine_, domain, open);
    REPRISE_RETURN_IF_ERROR(reader.Read());
    std::vector<Bytes> records;
    std::vector<HeadStore::Swap> swaps;
    std::vector<size_t> swapping;
    records.reserve(open.size());
    for (size_t i = 0; i < open.size(); ++i) {
      RenditionSet next;
      const SinkOutcome outcome = next_set(
          first_index + places[i], reader.set(i), reader.present(i), &next);
      out[places[i]] = outcome;
      if (outcome != SinkOutcome::kDone) continue;
      records.push_back(EncodeRenditionSet(next));
      swaps.push_back({HeadSpace::kRendition, reader.key(i), reader.version(i),
                       records.back()});
      swapping.push_back(i);
    }
    if (swaps.empty()) return Status();
    REPRISE_RETURN_IF_ERROR(CheckDeadline(begun));
    std::vector<Result<HeadVersion>> answers;
    engine_->CompareAndSwapMany(swaps, options_.durability, &answers);
    std::vector<SegmentId> still_open;
    std::vector<size_t> still_places;
    for (size_t k = 0; k < answers.size(); ++k) {
      if (answers[k].ok()) continue;
      if (!answers[k].status().Is(StatusCode::kFailedPrecondition)) {
        return answers[k].status().WithContext("sink");
      }
      still_open.push_back(open[swapping[k]]);
      still_places.push_back(places[swapping[k]]);
    }
    open = std::move(still_open);
    places = std::move(still_places);
  }
  return Status();
}

Status CatalogueImpl::Sink(const DomainId& domain,
                           std::span<const SegmentId> segments,
                           const NextSet& next_set,
                           std::vector<SinkOutcome>* out) {
  REPRISE_ASSIGN_OR_RETURN(const Begun begun, Begin());
  out->assign(segments.size(), SinkOutcome::kNoRendition);
  for (size_t done = 0; done < segments.size(); done += kSinkBatch) {
    const size_t count = std::min(kSinkBatch, segments.size() - done);
    REPRISE_RETURN_IF_ERROR(SwapSets(domain, segments.subspan(done, count),
                                     done, next_set, begun,
                                     std::span(*out).subspan(done, count)));
  }
  return Status();
}

Status CatalogueImpl::DeriveRenditions(const DomainId& domain,
                                       std::span<const SegmentId> segments,
                                       const Derivation& derivation,
                                       std::vector<SinkOutcome>* out) {
  out->clear();
  REPRISE_RETURN_IF_ERROR(CheckTier("derive from", derivation.from));
  REPRISE_RETURN_IF_ERROR(CheckTier("derive", derivation.to));
  if (derivation.to <= derivation.from) {
    return InvalidArgumentError(
        "derive: " + std::string(TierName(derivation.to)) +
        " is no lower tier than " + std::string(TierName(derivation.from)));
  }
  const int64_t now_ms = clock_->WallMs();
  return Sink(
      domain, segments,
      [&](size_t, const RenditionSet& set, std::span<const size_t> present,
          RenditionSet* next) {
        return Derive(set, Presence(set, present), derivation, now_ms, next);
      },
      out);
}

Status CatalogueImpl::DropRenditions(const DomainId& domain,
                                     std::span<const SegmentId> segments,
                                     Tier tier, std::vector<SinkOutcome>* out) {
  out->clear();
  REPRISE_RETURN_IF_ERROR(CheckTier("drop", tier));
  return Sink(
      domain, segments,
      [&](size_t, const RenditionSet& set, std::span<const size_t> present,
          RenditionSet* next) {
        return Drop(set, Presence(set, present), tier, next);
      },
      out);
}

Status CatalogueImpl::DropNamed(const DomainId& domain,
                                std::span<const RenditionDrop> drops,
                                std::vector<SinkOutcome>* out) {
  out->clear();
  std::vector<SegmentId> segments;
  segments.reserve(drops.size());
  for (const RenditionDrop& drop : drops) {
    if (drop.lowest != Tier::kTokens) {
      REPRISE_RETURN_IF_ERROR(CheckTier("drop down to", drop.lowest));
    }
    segments.push_back(drop.segment);
  }
  return Sink(
      domain, segments,
      [&](size_t index, const RenditionSet& set,
          std::span<const size_t> present, RenditionSet* next) {
        return DropIds(set, Presence(set, present), drops[index], next);
      },
      out);
}

}  // namespace reprise
