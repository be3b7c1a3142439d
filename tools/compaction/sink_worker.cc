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

// The store as a whole fails: nothing that another task could do better.
bool IsStoreFailure(const Status& status) {
  switch (status.code()) {
    case StatusCode::kUnavailable:
    case StatusCode::kResourceExhausted:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

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

// Once `added` is there (null: nothing) and what the plan drops is gone.
uint64_t BytesAfter(const RenditionSet& set, const SinkPlan& plan,
                    const Rendition* added) {
  std::vector<const Rendition*> left;
  if (added != nullptr) left.push_back(added);
  for (const Rendition& each : set.renditions) {
    const bool goes =
        std::ranges::find(plan.drops, each.id) != plan.drops.end();
    if (!goes) left.push_back(&each);
  }
  return UniqueFrameBytes(left);
}

std::string Text(const Status& status) { return std::string(status.message()); }

// What a codec says of some frames never means that the store fails.
Status OfFrames(const Status& status) {
  return status.ok() ? status : DataLossError(Text(status));
}

}  // namespace

void SinkWorker::Settle(Item* item, SinkResult result, std::string reason) {
  item->report->result = result;
  item->report->reason = std::move(reason);
}

Status SinkWorker::Pass(uint64_t bytes) {
  if (!*shared_.stopped && shared_.rate->Acquire(bytes)) return Status();
  return UnavailableError("sink: stopped");
}

Status SinkWorker::Run(std::span<const SinkTask> tasks,
                       std::span<SinkReport> reports) {
  items_.clear();
  made_.clear();
  made_bytes_ = 0;
  if (tasks.empty()) return Status();
  domain_ = tasks.front().domain;
  REPRISE_RETURN_IF_ERROR(ReadItems(tasks, reports));
  for (Item& item : items_) PlanItem(&item);
  REPRISE_RETURN_IF_ERROR(CompareExisting());
  REPRISE_RETURN_IF_ERROR(Derive());
  REPRISE_RETURN_IF_ERROR(Drop());
  for (Item& item : items_) {
    if (item.plan.way != SinkWay::kEncode) continue;
    REPRISE_RETURN_IF_ERROR(Pass(0));
    REPRISE_RETURN_IF_ERROR(Encode(&item));
    if (made_bytes_ >= shared_.batch_bytes) REPRISE_RETURN_IF_ERROR(Flush());
  }
  return Flush();
}

// --- What is stored, and what is to be done. ---

Status SinkWorker::ReadItems(std::span<const SinkTask> tasks,
                             std::span<SinkReport> reports) {
  std::vector<Item*> all;
  for (size_t i = 0; i < tasks.size(); ++i) {
    items_.push_back({&tasks[i], &reports[i], {}, {}, {}});
    all.push_back(&items_.back());
  }
  REPRISE_RETURN_IF_ERROR(ReadFrom(ObjectSpace::kSegment, all));
  std::erase_if(all, [](const Item* item) {
    return item->report->result != SinkResult::kNothingToDo;
  });
  // Ids don't say what is a tail.
  return ReadFrom(ObjectSpace::kTail, std::move(all));
}

Status SinkWorker::ReadFrom(ObjectSpace space, std::vector<Item*> items) {
  std::vector<SegmentRef> refs;
  for (const Item* item : items) refs.push_back({item->task->segment, space});
  std::vector<StoredSegment> stored;
  REPRISE_RETURN_IF_ERROR(ReadSegments(shared_.catalogue->engine(), domain_,
                                       refs, /*touch_epoch=*/{}, &stored));
  for (size_t i = 0; i < items.size(); ++i) {
    Item* const item = items[i];
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
      Settle(item, SinkResult::kNotDone);
    } else if (is_gone) {
      Settle(item, SinkResult::kNothingToDo, "no such segment is stored");
    } else {
      Settle(item, SinkResult::kUnreadable, Text(status));
    }
  }
  return Status();
}

void SinkWorker::PlanItem(Item* item) {
  if (item->report->result != SinkResult::kNotDone) return;
  if (item->task->wanted <= Tier::kExact) {
    Settle(item, SinkResult::kNothingToDo);
    return;
  }
  item->plan = PlanSink(item->set, item->segment.is_tail(), item->task->wanted);
  if (item->plan.way == SinkWay::kNothing) {
    Settle(item, SinkResult::kNothingToDo);
  }
}

// --- Without a codec. ---

// Another's rendition of this tier is as little trusted as one of ours.
Status SinkWorker::CompareExisting() {
  for (Item& item : items_) {
    if (item.plan.way != SinkWay::kDrop || !item.plan.is_apart) continue;
    REPRISE_RETURN_IF_ERROR(Pass(0));
    const Status status = Compare(&item);
    if (IsStoreFailure(status)) return status;
    if (status.ok()) continue;
    // It can't be decoded: made anew, out of what is better.
    item.plan.there = nullptr;
    item.plan.way = SinkWay::kEncode;
  }
  return Status();
}

Status SinkWorker::Compare(Item* item) {
  Loaded there;
  Loaded source;
  REPRISE_RETURN_IF_ERROR(Load(item, *item->plan.there, &there));
  REPRISE_ASSIGN_OR_RETURN(const auto model,
                           shared_.shelf->Model(domain_, item->segment.model));
  const Tier wanted = item->task->wanted;
  const LadderTier* const rung = item->task->ladder == nullptr
                                     ? nullptr
                                     : item->task->ladder->Find(wanted);
  const double limit = rung == nullptr ? DefaultMaxRelativeError(wanted)
                                       : rung->max_relative_error;
  bool has_source = false;
  for (const Rendition* each : item->plan.sources) {
    const Status status = Load(item, *each, &source);
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
    Settle(item, SinkResult::kFailedCheck, std::move(over));
    item->plan.way = SinkWay::kNothing;
    return Status();
  }
  return Status();
}

Status SinkWorker::Derive() {
  std::map<std::pair<Tier, Tier>, std::vector<Item*>> calls;
  for (Item& item : items_) {
    if (item.plan.way != SinkWay::kDerive) continue;
    calls[{item.plan.sources[0]->tier, item.task->wanted}].push_back(&item);
  }
  for (const auto& [tiers, items] : calls) {
    std::vector<SegmentId> segments;
    for (const Item* item : items) segments.push_back(item->task->segment);
    std::vector<SinkOutcome> outcomes;
    REPRISE_RETURN_IF_ERROR(shared_.catalogue->DeriveRenditions(
        domain_, segments, {tiers.first, tiers.second}, &outcomes));
    for (size_t i = 0; i < items.size(); ++i) {
      Item* const item = items[i];
      if (outcomes[i] == SinkOutcome::kDone ||
          outcomes[i] == SinkOutcome::kKept) {
        continue;
      }
      item->plan.way = SinkWay::kNothing;
      if (outcomes[i] == SinkOutcome::kMissingFrames) {
        Settle(item, SinkResult::kUnreadable, "frames of its stages are gone");
      } else {
        Settle(item, SinkResult::kChanged, "its stages were replaced");
      }
    }
  }
  return Status();
}

// All whose new rendition is there, or that need none.
Status SinkWorker::Drop() {
  std::vector<Item*> items;
  std::vector<RenditionDrop> drops;
  for (Item& item : items_) {
    const SinkWay way = item.plan.way;
    if (way != SinkWay::kDrop && way != SinkWay::kDropAll &&
        way != SinkWay::kDerive) {
      continue;
    }
    items.push_back(&item);
    drops.push_back({item.task->segment, item.plan.drops, item.plan.remains});
  }
  if (items.empty()) return Status();
  REPRISE_RETURN_IF_ERROR(Pass(0));
  std::vector<SinkOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(
      shared_.catalogue->DropNamed(domain_, drops, &outcomes));
  for (size_t i = 0; i < items.size(); ++i) {
    Item* const item = items[i];
    if (outcomes[i] != SinkOutcome::kDone) {
      Settle(item, SinkResult::kChanged, "its renditions were replaced");
      continue;
    }
    const bool is_derived = item->plan.way == SinkWay::kDerive;
    Rendition derived;
    if (is_derived) {
      const Rendition& source = *item->plan.sources[0];
      for (const StagePrefix& prefix : PrefixesOf(source)) {
        if (prefix.tier != item->task->wanted) continue;
        derived = Offer{&source, prefix}.Cut();
      }
    }
    item->report->bytes_after =
        BytesAfter(item->set, item->plan, is_derived ? &derived : nullptr);
    Settle(item, is_derived ? SinkResult::kDerived : SinkResult::kDropped);
  }
  return Status();
}

// --- With a codec. ---

Status SinkWorker::Load(Item* item, const Rendition& rendition,
                        Loaded* loaded) {
  loaded->codec = FindCodec(rendition.codec);
  if (loaded->codec == nullptr) {
    return UnimplementedError(
        "codec " + std::to_string(static_cast<unsigned>(rendition.codec)) +
        " is not built");
  }
  REPRISE_ASSIGN_OR_RETURN(
      loaded->profile,
      shared_.shelf->Profile(domain_, *loaded->codec, rendition.profile));
  REPRISE_RETURN_IF_ERROR(Pass(rendition.stored_bytes()));
  shared_.catalogue->GetFrames(domain_, item->task->segment, rendition.frames,
                               &loaded->pins);
  loaded->bytes.clear();
  for (const Result<PinnedBytes>& frame : loaded->pins) {
    if (!frame.ok()) return frame.status();
    loaded->bytes.push_back(frame->view());
  }
  item->report->bytes_read += rendition.stored_bytes();
  loaded->frames = {&rendition, loaded->bytes, loaded->codec,
                    loaded->profile.get()};
  return Status();
}

Status SinkWorker::Encode(Item* item) {
  auto model = shared_.shelf->Model(domain_, item->segment.model);
  if (IsStoreFailure(model.status())) return model.status();
  if (!model.ok()) {
    Settle(item, SinkResult::kUnreadable, Text(model.status()));
    return Status();
  }
  if (item->task->ladder == nullptr) {
    Settle(item, SinkResult::kSkipped, "no ladder says how to encode");
    return Status();
  }
  auto codec = shared_.shelf->ForTier(domain_, **model, *item->task->ladder,
                                      item->task->wanted);
  if (IsStoreFailure(codec.status())) return codec.status();
  if (!codec.ok()) {
    Settle(item, SinkResult::kSkipped, Text(codec.status()));
    return Status();
  }
  for (const Rendition* source : item->plan.sources) {
    Made made;
    made.item = item;
    made.model = *model;
    made.codec = *codec;
    const Status status = EncodeFrom(*source, item, &made);
    if (status.ok()) return status;
    if (IsStoreFailure(status)) return status;
    Settle(item, SinkResult::kUnreadable, Text(status));
  }
  return Status();
}

Status SinkWorker::EncodeFrom(const Rendition& source, Item* item, Made* made) {
  Loaded loaded;
  REPRISE_RETURN_IF_ERROR(Load(item, source, &loaded));
  Rendition& rendition = made->rendition;
  rendition.id = DrawRenditionId();
  rendition.tier = item->task->wanted;
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
  Settle(item, SinkResult::kNotDone);
  for (size_t g = 0; g < made->model->groups.size(); ++g) {
    REPRISE_RETURN_IF_ERROR(OfFrames(
        coder_.Decode(*made->model, item->segment, loaded.frames, g, &rows_)));
    REPRISE_RETURN_IF_ERROR(EncodeGroup(g, rows_, made));
    if (item->report->result != SinkResult::kNotDone) return Status();
    item->report->raw_bytes += rows_.size();
  }
  for (const Bytes& frame : made->frames) made_bytes_ += frame.size();
  made_.push_back(std::move(*made));
  return Status();
}

Status SinkWorker::EncodeGroup(size_t group, const Bytes& rows, Made* made) {
  Item* const item = made->item;
  Result<std::vector<Bytes>> frames =
      coder_.Encode(*made->model, item->segment, made->codec, group, rows);
  if (!frames.ok()) {
    Settle(item, SinkResult::kSkipped, Text(frames.status()));
    return Status();
  }
  const CodecChoice& choice = made->codec.choice;
  const LayerGroup& layers = made->model->groups[group].layers;
  Rendition own = made->rendition;  // of this group alone
  own.frames.clear();
  std::vector<ByteView> views;
  for (uint8_t stage = 0; stage < frames->size(); ++stage) {
    const Bytes& frame = (*frames)[stage];
    // A codec may be better than the tier is; then its frames count as it.
    const Tier tier = WorseOf(
        choice.codec->stage_tier(stage, choice.options.get()), own.tier);
    FrameRef ref;
    ref.rendition = own.id;
    ref.space = FrameSpaceOf(tier, item->segment.is_tail());
    ref.stage = stage;
    ref.first_layer = static_cast<uint16_t>(layers.first_layer);
    ref.layer_count = static_cast<uint16_t>(layers.layer_count);
    ref.index = FrameIndex(stage, static_cast<uint32_t>(group), 0);
    ref.bytes = static_cast<uint32_t>(frame.size());
    ref.checksum = Checksum(frame);
    own.frames.push_back(ref);
    views.push_back(frame);
  }
  Status decoded = coder_.Decode(
      *made->model, item->segment,
      {&own, views, choice.codec, made->codec.profile.get()}, group, &decoded_);
  if (!decoded.ok()) {
    Settle(item, SinkResult::kFailedCheck, Text(decoded));
    return Status();
  }
  std::string over = FindErrorOver(
      made->model->groups[group],
      static_cast<uint32_t>(item->segment.tokens.size()), rows, decoded_,
      made->codec.max_relative_error, &item->report->worst_error);
  if (!over.empty()) {
    Settle(item, SinkResult::kFailedCheck, std::move(over));
    return Status();
  }
  made->values.push_back(Checksum(decoded_));
  for (size_t i = 0; i < frames->size(); ++i) {
    made->rendition.frames.push_back(own.frames[i]);
    made->frames.push_back(std::move((*frames)[i]));
  }
  return Status();
}

Status SinkWorker::Flush() {
  if (made_.empty()) return Status();
  REPRISE_RETURN_IF_ERROR(PutMade());
  for (Made& made : made_) {
    const Status status = ReadBack(&made);
    if (IsStoreFailure(status)) return status;
    if (!status.ok()) {
      Settle(made.item, SinkResult::kFailedCheck, "read back: " + Text(status));
    }
  }
  std::erase_if(made_, [](const Made& made) {
    return made.item->report->result != SinkResult::kNotDone;
  });
  REPRISE_RETURN_IF_ERROR(PublishMade());
  REPRISE_RETURN_IF_ERROR(DropSources());
  made_.clear();
  made_bytes_ = 0;
  return Status();
}

Status SinkWorker::PutMade() {
  REPRISE_RETURN_IF_ERROR(Pass(made_bytes_));
  std::vector<FramePut> puts;
  for (const Made& made : made_) {
    const CodecChoice& choice = made.codec.choice;
    for (size_t i = 0; i < made.frames.size(); ++i) {
      const uint8_t stage = made.rendition.frames[i].stage;
      const Tier tier =
          WorseOf(choice.codec->stage_tier(stage, choice.options.get()),
                  made.rendition.tier);
      puts.push_back({made.rendition.id, tier, made.frames[i]});
      made.item->report->bytes_written += made.frames[i].size();
    }
  }
  REPRISE_RETURN_IF_ERROR(shared_.catalogue->PutFrames(domain_, puts));
  return shared_.catalogue->engine()->Sync();
}

Status SinkWorker::ReadBack(Made* made) {
  // In order of stages: as it will be read once it is published.
  std::ranges::sort(made->rendition.frames, {}, &FrameRef::index);
  Loaded loaded;
  REPRISE_RETURN_IF_ERROR(Load(made->item, made->rendition, &loaded));
  for (size_t g = 0; g < made->model->groups.size(); ++g) {
    REPRISE_RETURN_IF_ERROR(OfFrames(coder_.Decode(
        *made->model, made->item->segment, loaded.frames, g, &decoded_)));
    if (Checksum(decoded_) == made->values[g]) continue;
    return DataLossError("values of layer group " + std::to_string(g) +
                         " are not those that the encoder's frames gave");
  }
  return Status();
}

Status SinkWorker::PublishMade() {
  std::vector<LoweredItem> items;
  for (const Made& made : made_) {
    items.push_back({{made.item->segment, made.rendition}, made.source});
  }
  std::vector<PublishOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(
      shared_.catalogue->PublishLowered(domain_, items, &outcomes));
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].kind == PublishOutcome::Kind::kPublished) continue;
    Settle(made_[i].item, SinkResult::kChanged,
           outcomes[i].kind == PublishOutcome::Kind::kKept
               ? "its source was replaced"
               : "its new frames are gone");
  }
  return Status();
}

Status SinkWorker::DropSources() {
  std::vector<const Made*> published;
  std::vector<RenditionDrop> drops;
  for (const Made& made : made_) {
    if (made.item->report->result != SinkResult::kNotDone) continue;
    published.push_back(&made);
    drops.push_back({made.item->task->segment, made.item->plan.drops,
                     made.rendition.effective()});
  }
  if (published.empty()) return Status();
  std::vector<SinkOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(
      shared_.catalogue->DropNamed(domain_, drops, &outcomes));
  for (size_t i = 0; i < published.size(); ++i) {
    Item* const item = published[i]->item;
    if (outcomes[i] != SinkOutcome::kDone) {
      Settle(item, SinkResult::kChanged, "its renditions were replaced");
      continue;
    }
    item->report->bytes_after =
        BytesAfter(item->set, item->plan, &published[i]->rendition);
    Settle(item, SinkResult::kEncoded);
  }
  return Status();
}

}  // namespace reprise
