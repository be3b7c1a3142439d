#include "tools/compaction/sink_worker.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <utility>

#include "store/segment_reader.h"
#include "store/stages.h"

namespace reprise {
namespace {

RenditionId DrawRenditionId() {
  std::random_device device;
  RenditionId id;
  for (size_t at = 0; at < id.bytes.size(); at += sizeof(uint32_t)) {
    const uint32_t word = device();
    std::memcpy(id.bytes.data() + at, &word, sizeof(word));
  }
  return id;
}

uint64_t BytesOf(const RenditionSet& set) {
  std::vector<const Rendition*> all;
  for (const Rendition& each : set.renditions) all.push_back(&each);
  return UniqueFrameBytes(all);
}

// Of the encoder's frame of one group and stage.
FrameRef RefOf(const MadeRendition& made, size_t group, uint8_t stage,
               const Bytes& frame) {
  const CodecChoice& choice = made.codec.choice;
  const LayerGroup& layers = made.model->groups[group].layers;
  // A codec may be better than the tier is; then its frames count as it.
  const Tier tier =
      WorseOf(choice.codec->stage_tier(stage, choice.options.get()),
              made.rendition.tier);
  FrameRef ref;
  ref.rendition = made.rendition.id;
  ref.space = FrameSpaceOf(tier, made.item->segment.is_tail());
  ref.stage = stage;
  ref.first_layer = static_cast<uint16_t>(layers.first_layer);
  ref.layer_count = static_cast<uint16_t>(layers.layer_count);
  ref.index = FrameIndex(stage, static_cast<uint32_t>(group), 0);
  ref.bytes = static_cast<uint32_t>(frame.size());
  ref.checksum = Checksum(frame);
  return ref;
}

// Into the order of stages: as they will be read once they are published.
void SortFrames(MadeRendition* made) {
  std::vector<std::pair<FrameRef, Bytes>> all;
  for (size_t i = 0; i < made->frames.size(); ++i) {
    all.emplace_back(made->rendition.frames[i], std::move(made->frames[i]));
  }
  std::ranges::sort(all, {}, [](const auto& each) { return each.first.index; });
  for (size_t i = 0; i < all.size(); ++i) {
    made->rendition.frames[i] = all[i].first;
    made->frames[i] = std::move(all[i].second);
  }
}

// What is lost when the process ends, however slowly it is told to work.
constexpr std::chrono::seconds kMostBatchTime{1};

std::string Text(const Status& status) { return std::string(status.message()); }

}  // namespace

Status SinkWorker::Run(std::span<const SinkTask> tasks,
                       std::span<SinkReport> reports) {
  if (tasks.empty()) return Status();
  domain_ = tasks.front().domain;
  items_ = std::make_shared<std::deque<SinkItem>>();
  // What a run that failed left is forgotten.
  open_ = {.domain = domain_, .items = items_};
  REPRISE_RETURN_IF_ERROR(ReadItems(tasks, reports));
  for (SinkItem& item : *items_) {
    if (item.report->result != SinkResult::kNotDone) continue;
    item.tiers = item.task->tiers;
    REPRISE_RETURN_IF_ERROR(PlanItem(&item));
  }
  REPRISE_RETURN_IF_ERROR(CompareExisting());
  REPRISE_RETURN_IF_ERROR(Derive());
  REPRISE_RETURN_IF_ERROR(Drop());
  for (SinkItem& item : *items_) {
    if (item.plan.way != SinkWay::kEncode) continue;
    REPRISE_RETURN_IF_ERROR(shared_.Pass(0));
    REPRISE_RETURN_IF_ERROR(Encode(&item));
    if (open_.frame_bytes < shared_.batch_bytes &&
        open_.row_bytes < shared_.batch_row_bytes &&
        std::chrono::steady_clock::now() - open_.begun < kMostBatchTime) {
      continue;
    }
    REPRISE_RETURN_IF_ERROR(Flush());
  }
  return Flush();
}

// --- What is stored, and what is to be done. ---

Status SinkWorker::ReadItems(std::span<const SinkTask> tasks,
                             std::span<SinkReport> reports) {
  std::vector<SinkItem*> all;
  for (size_t i = 0; i < tasks.size(); ++i) {
    items_->push_back({&tasks[i], &reports[i]});
    all.push_back(&items_->back());
  }
  REPRISE_RETURN_IF_ERROR(ReadFrom(ObjectSpace::kSegment, all));
  std::erase_if(all, [](const SinkItem* item) {
    return item->report->result != SinkResult::kNothingToDo;
  });
  // Ids don't say what is a tail.
  return ReadFrom(ObjectSpace::kTail, std::move(all));
}

Status SinkWorker::ReadFrom(ObjectSpace space, std::vector<SinkItem*> items) {
  std::vector<SegmentRef> refs;
  for (const SinkItem* item : items)
    refs.push_back({item->task->segment, space});
  std::vector<StoredSegment> stored;
  REPRISE_RETURN_IF_ERROR(ReadSegments(shared_.catalogue->engine(), domain_,
                                       refs, /*touch_epoch=*/{}, &stored));
  for (size_t i = 0; i < items.size(); ++i) {
    SinkItem* const item = items[i];
    StoredSegment& found = stored[i];
    Status status = found.status;
    const bool is_gone = status.Is(StatusCode::kNotFound);
    if (status.ok()) status = found.rendition_status;
    if (IsStoreFailure(status)) return status;
    if (status.ok()) {
      item->segment = std::move(found.segment);
      item->set = std::move(found.set);
      item->report->bytes_before = BytesOf(item->set);
      item->report->bytes_after = item->report->bytes_before;
      item->Settle(SinkResult::kNotDone);
    } else if (is_gone) {
      item->Settle(SinkResult::kNothingToDo, "no such segment is stored");
    } else {
      item->Settle(SinkResult::kUnreadable, Text(status));
    }
  }
  return Status();
}

Status SinkWorker::PlanItem(SinkItem* item) {
  REPRISE_ASSIGN_OR_RETURN(
      SinkChoice choice,
      ChooseSink(item->set, item->segment.is_tail(), item->tiers,
                 [&](Tier tier) { return CanMake(item, tier); }));
  item->plan = std::move(choice.plan);
  item->tier = choice.tier;
  if (item->plan.way != SinkWay::kNothing) return Status();
  if (item->skips.empty()) {
    item->Settle(SinkResult::kNothingToDo);
  } else {
    item->Settle(SinkResult::kSkipped, item->skips);
  }
  return Status();
}

Result<bool> SinkWorker::CanMake(SinkItem* item, Tier tier) {
  Result<TierCodec> codec =
      FailedPreconditionError("no ladder says how to encode");
  if (item->task->ladder != nullptr) {
    codec = shared_.shelf->ForTier(domain_, item->segment.model,
                                   *item->task->ladder, tier);
  }
  if (codec.ok()) {
    item->codec = *std::move(codec);
    return true;
  }
  const Status& status = codec.status();
  if (IsStoreFailure(status)) return status;
  if (!item->skips.empty()) item->skips += "; ";
  item->skips += Text(status);
  return false;
}

// --- Without a codec. ---

// Another's rendition of this tier is as little trusted as one of ours.
Status SinkWorker::CompareExisting() {
  for (SinkItem& item : *items_) {
    while (item.plan.way == SinkWay::kDrop && item.plan.is_apart) {
      REPRISE_RETURN_IF_ERROR(shared_.Pass(0));
      const Status status = Compare(&item);
      if (IsStoreFailure(status)) return status;
      if (status.ok()) break;
      REPRISE_RETURN_IF_ERROR(PlanAnew(&item));
    }
  }
  return Status();
}

// Made anew, out of what is better; or, as any tier that can't be made, passed
// over.
Status SinkWorker::PlanAnew(SinkItem* item) {
  item->plan.there = nullptr;
  item->plan.way = SinkWay::kEncode;
  REPRISE_ASSIGN_OR_RETURN(const bool can, CanMake(item, item->tier));
  if (can) return Status();
  std::erase_if(item->tiers, [&](Tier tier) { return tier >= item->tier; });
  return PlanItem(item);
}

Status SinkWorker::Compare(SinkItem* item) {
  LoadedFrames there;
  LoadedFrames source;
  REPRISE_RETURN_IF_ERROR(LoadFrames(shared_, item, *item->plan.there, &there));
  REPRISE_ASSIGN_OR_RETURN(const auto model,
                           shared_.shelf->Model(domain_, item->segment.model));
  const LadderTier* const rung = item->task->ladder == nullptr
                                     ? nullptr
                                     : item->task->ladder->Find(item->tier);
  const double limit = rung == nullptr ? DefaultMaxRelativeError(item->tier)
                                       : rung->max_relative_error;
  bool has_source = false;
  for (const Rendition* each : item->plan.sources) {
    const Status status = LoadFrames(shared_, item, *each, &source);
    if (IsStoreFailure(status)) return status;
    if ((has_source = status.ok())) break;
  }
  const auto tokens = static_cast<uint32_t>(item->segment.tokens.size());
  for (size_t g = 0; g < model->groups.size(); ++g) {
    REPRISE_RETURN_IF_ERROR(OfFrames(
        coder_.Decode(*model, item->segment, there.frames, g, &decoded_)));
    // What can't be decoded any more is nothing that could be lost.
    if (!has_source ||
        !coder_.Decode(*model, item->segment, source.frames, g, &rows_).ok()) {
      continue;
    }
    std::string over = FindErrorOver(model->groups[g], tokens, rows_, decoded_,
                                     limit, &item->report->worst_error);
    if (over.empty()) continue;
    item->Settle(SinkResult::kFailedCheck, std::move(over));
    item->plan.way = SinkWay::kNothing;
    return Status();
  }
  return Status();
}

Status SinkWorker::Derive() {
  std::map<std::pair<Tier, Tier>, std::vector<SinkItem*>> calls;
  for (SinkItem& item : *items_) {
    if (item.plan.way != SinkWay::kDerive) continue;
    calls[{item.plan.sources[0]->tier, item.tier}].push_back(&item);
  }
  for (const auto& [tiers, items] : calls) {
    std::vector<SegmentId> segments;
    for (const SinkItem* item : items) segments.push_back(item->task->segment);
    std::vector<SinkOutcome> outcomes;
    REPRISE_RETURN_IF_ERROR(shared_.catalogue->DeriveRenditions(
        domain_, segments, {tiers.first, tiers.second}, &outcomes));
    for (size_t i = 0; i < items.size(); ++i) {
      SinkItem* const item = items[i];
      if (outcomes[i] == SinkOutcome::kDone ||
          outcomes[i] == SinkOutcome::kKept) {
        continue;
      }
      item->plan.way = SinkWay::kNothing;
      if (outcomes[i] == SinkOutcome::kMissingFrames) {
        item->Settle(SinkResult::kUnreadable, "frames of its stages are gone");
      } else {
        item->Settle(SinkResult::kChanged, "its stages were replaced");
      }
    }
  }
  return Status();
}

// All whose new rendition is there, or that need none.
Status SinkWorker::Drop() {
  std::vector<SinkItem*> items;
  std::vector<RenditionDrop> drops;
  for (SinkItem& item : *items_) {
    const SinkWay way = item.plan.way;
    if (way != SinkWay::kDrop && way != SinkWay::kDropAll &&
        way != SinkWay::kDerive) {
      continue;
    }
    items.push_back(&item);
    drops.push_back({item.task->segment, item.plan.drops, item.plan.remains});
  }
  if (items.empty()) return Status();
  REPRISE_RETURN_IF_ERROR(shared_.Pass(0));
  std::vector<SinkOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(
      shared_.catalogue->DropNamed(domain_, drops, &outcomes));
  for (size_t i = 0; i < items.size(); ++i) {
    SinkItem* const item = items[i];
    if (outcomes[i] != SinkOutcome::kDone) {
      item->Settle(SinkResult::kChanged, "its renditions were replaced");
      continue;
    }
    const bool is_derived = item->plan.way == SinkWay::kDerive;
    Rendition derived;
    if (is_derived) {
      const Rendition& source = *item->plan.sources[0];
      for (const StagePrefix& prefix : PrefixesOf(source)) {
        if (prefix.tier != item->tier) continue;
        derived = Offer{&source, prefix}.Cut();
      }
    }
    item->report->bytes_after =
        BytesAfter(*item, is_derived ? &derived : nullptr);
    item->Settle(is_derived ? SinkResult::kDerived : SinkResult::kDropped);
  }
  return Status();
}

// --- With a codec. ---

Status SinkWorker::Encode(SinkItem* item) {
  auto model = shared_.shelf->Model(domain_, item->segment.model);
  if (IsStoreFailure(model.status())) return model.status();
  if (!model.ok()) {
    item->Settle(SinkResult::kUnreadable, Text(model.status()));
    return Status();
  }
  for (const Rendition* source : item->plan.sources) {
    MadeRendition made;
    made.item = item;
    made.model = *model;
    made.codec = item->codec;
    const Status status = EncodeFrom(*source, item, &made);
    if (status.ok()) return status;
    if (IsStoreFailure(status)) return status;
    item->Settle(SinkResult::kUnreadable, Text(status));
  }
  return Status();
}

Status SinkWorker::EncodeFrom(const Rendition& source, SinkItem* item,
                              MadeRendition* made) {
  LoadedFrames loaded;
  REPRISE_RETURN_IF_ERROR(LoadFrames(shared_, item, source, &loaded));
  Rendition& rendition = made->rendition;
  rendition.id = DrawRenditionId();
  rendition.tier = item->tier;
  // The values were computed from what the source is worth, whatever is said of
  // the new ones.
  rendition.basis = source.effective();
  rendition.codec = made->codec.choice.codec->id();
  if (made->codec.profile != nullptr) {
    rendition.profile = made->codec.profile->id();
    rendition.other_weights = made->codec.other_weights || source.other_weights;
  }
  rendition.writer = source.writer;
  made->source = source.id;
  const bool is_probe = std::ranges::none_of(
      open_.made,
      [&](const MadeRendition& other) { return made->HasMakerOf(other); });
  item->Settle(SinkResult::kNotDone);
  const auto tokens = static_cast<uint32_t>(item->segment.tokens.size());
  uint64_t row_bytes = 0;
  for (size_t g = 0; g < made->model->groups.size(); ++g) {
    Bytes& rows = made->rows.emplace_back(
        TakeRows(GroupRowBytes(made->model->groups[g], tokens)));
    REPRISE_RETURN_IF_ERROR(OfFrames(
        coder_.Decode(*made->model, item->segment, loaded.frames, g, &rows)));
    EncodeGroup(g, is_probe, made);
    if (item->report->result != SinkResult::kNotDone) {
      TakeBackRows(made);
      return Status();
    }
    row_bytes += rows.size();
  }
  item->report->raw_bytes += row_bytes;
  open_.row_bytes += row_bytes;
  for (const Bytes& frame : made->frames) open_.frame_bytes += frame.size();
  SortFrames(made);
  open_.made.push_back(std::move(*made));
  return Status();
}

void SinkWorker::EncodeGroup(size_t group, bool is_probe, MadeRendition* made) {
  SinkItem* const item = made->item;
  const ByteView rows = made->rows[group];
  Result<std::vector<Bytes>> frames =
      coder_.Encode(*made->model, item->segment, made->codec, group, rows);
  if (!frames.ok()) {
    item->Settle(SinkResult::kSkipped, Text(frames.status()));
    return;
  }
  Rendition own = made->rendition;  // of this group alone
  own.frames.clear();
  std::vector<ByteView> views;
  for (uint8_t stage = 0; stage < frames->size(); ++stage) {
    own.frames.push_back(RefOf(*made, group, stage, (*frames)[stage]));
    views.push_back((*frames)[stage]);
  }
  const StoredFrames stored{&own, views, made->codec.choice.codec,
                            made->codec.profile.get()};
  if (is_probe) {
    Probe(group, stored, made);
  } else if (const Status named =
                 coder_.CheckFrames(*made->model, item->segment, stored);
             !named.ok()) {
    item->Settle(SinkResult::kFailedCheck, Text(named));
  }
  for (size_t i = 0; i < frames->size(); ++i) {
    made->rendition.frames.push_back(own.frames[i]);
    made->frames.push_back(std::move((*frames)[i]));
  }
}

void SinkWorker::Probe(size_t group, const StoredFrames& stored,
                       MadeRendition* made) {
  SinkItem* const item = made->item;
  const Status decoded =
      coder_.Decode(*made->model, item->segment, stored, group, &decoded_);
  if (!decoded.ok()) {
    item->Settle(SinkResult::kFailedCheck, Text(decoded));
    return;
  }
  made->values.push_back(Checksum(decoded_));
  std::string over = FindErrorOver(
      made->model->groups[group],
      static_cast<uint32_t>(item->segment.tokens.size()), made->rows[group],
      decoded_, made->codec.max_relative_error, &item->report->worst_error);
  if (!over.empty()) item->Settle(SinkResult::kFailedCheck, std::move(over));
}

// At most one batch is on its way while the next is encoded.
Status SinkWorker::Flush() {
  if (open_.made.empty()) return Status();
  REPRISE_RETURN_IF_ERROR(Finish());
  settling_ = std::move(open_);
  open_ = SinkBatch();
  open_.domain = settling_.domain;
  open_.items = settling_.items;
  // Where no thread can be had, Finish does it.
  settled_ = std::async(std::launch::async | std::launch::deferred,
                        [this] { return settler_.Settle(&settling_); });
  return Status();
}

Status SinkWorker::Finish() {
  if (!settled_.valid()) return Status();
  const Status status = settled_.get();
  for (MadeRendition& made : settling_.made) TakeBackRows(&made);
  settling_ = SinkBatch();
  return status;
}

Bytes SinkWorker::TakeRows(uint64_t bytes) {
  const auto found = std::ranges::find(spare_rows_, bytes, &Bytes::size);
  if (found == spare_rows_.end()) return Bytes();
  Bytes rows = std::move(*found);
  spare_rows_.erase(found);
  spare_bytes_ -= bytes;
  return rows;
}

void SinkWorker::TakeBackRows(MadeRendition* made) {
  for (Bytes& rows : made->rows) {
    spare_bytes_ += rows.size();
    spare_rows_.push_back(std::move(rows));
  }
  made->rows.clear();
  while (spare_bytes_ > shared_.batch_row_bytes) {
    spare_bytes_ -= spare_rows_.front().size();
    spare_rows_.pop_front();
  }
}

}  // namespace reprise
