#include "tools/compaction/sink_batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace reprise {

namespace {

bool AreEqual(ByteView a, ByteView b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

bool MadeRendition::HasMakerOf(const MadeRendition& other) const {
  return model == other.model && rendition.codec == other.rendition.codec &&
         rendition.profile == other.rendition.profile &&
         rendition.tier == other.rendition.tier;
}

Status BatchSettler::Settle(SinkBatch* batch) {
  REPRISE_RETURN_IF_ERROR(Put(*batch));
  REPRISE_RETURN_IF_ERROR(Check(batch));
  if (batch->made.empty()) return Status();
  REPRISE_RETURN_IF_ERROR(Publish(*batch));
  return DropSources(*batch);
}

Status BatchSettler::Put(const SinkBatch& batch) {
  REPRISE_RETURN_IF_ERROR(shared_.Pass(batch.frame_bytes));
  std::vector<FramePut> puts;
  for (const MadeRendition& made : batch.made) {
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
  REPRISE_RETURN_IF_ERROR(shared_.catalogue->PutFrames(batch.domain, puts));
  return shared_.catalogue->engine()->Sync();
}

// What fails is settled, and leaves the batch.
Status BatchSettler::Check(SinkBatch* batch) {
  std::vector<const MadeRendition*> impure;
  for (const MadeRendition& made : batch->made) {
    const auto liar = std::ranges::find_if(
        impure,
        [&](const MadeRendition* each) { return made.HasMakerOf(*each); });
    if (liar != impure.end()) {
      made.item->Settle(SinkResult::kFailedCheck,
                        (*liar)->item->report->reason);
      continue;
    }
    bool is_pure = true;
    const Status status = ReadBack(made, &is_pure);
    if (IsStoreFailure(status)) return status;
    if (status.ok()) continue;
    made.item->Settle(SinkResult::kFailedCheck,
                      "read back: " + std::string(status.message()));
    if (!is_pure) impure.push_back(&made);
  }
  std::erase_if(batch->made, [](const MadeRendition& made) {
    return made.item->report->result != SinkResult::kNotDone;
  });
  return Status();
}

// *is_pure becomes false when its decoder gives something else than before, of
// the same bytes.
Status BatchSettler::ReadBack(const MadeRendition& made, bool* is_pure) {
  SinkItem* const item = made.item;
  LoadedFrames loaded;
  REPRISE_RETURN_IF_ERROR(LoadFrames(shared_, item, made.rendition, &loaded));
  for (size_t i = 0; i < made.frames.size(); ++i) {
    if (AreEqual(loaded.bytes[i], made.frames[i])) continue;
    return DataLossError("frame " + std::to_string(i) + " of " +
                         std::to_string(made.frames.size()) +
                         " is not the bytes that were written");
  }
  const auto tokens = static_cast<uint32_t>(item->segment.tokens.size());
  for (size_t g = 0; g < made.model->groups.size(); ++g) {
    REPRISE_RETURN_IF_ERROR(OfFrames(coder_.Decode(
        *made.model, item->segment, loaded.frames, g, &decoded_)));
    if (!made.values.empty() && Checksum(decoded_) != made.values[g]) {
      *is_pure = false;
      return DataLossError("values of layer group " + std::to_string(g) +
                           " are not those that the encoder's frames gave");
    }
    const std::string over = FindErrorOver(
        made.model->groups[g], tokens, made.rows[g], decoded_,
        made.codec.max_relative_error, &item->report->worst_error);
    if (!over.empty()) return DataLossError(over);
  }
  return Status();
}

Status BatchSettler::Publish(const SinkBatch& batch) {
  std::vector<LoweredItem> items;
  for (const MadeRendition& made : batch.made) {
    items.push_back({{made.item->segment, made.rendition}, made.source});
  }
  std::vector<PublishOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(
      shared_.catalogue->PublishLowered(batch.domain, items, &outcomes));
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].kind == PublishOutcome::Kind::kPublished) continue;
    batch.made[i].item->Settle(SinkResult::kChanged,
                               outcomes[i].kind == PublishOutcome::Kind::kKept
                                   ? "its source was replaced"
                                   : "its new frames are gone");
  }
  return Status();
}

Status BatchSettler::DropSources(const SinkBatch& batch) {
  std::vector<const MadeRendition*> published;
  std::vector<RenditionDrop> drops;
  for (const MadeRendition& made : batch.made) {
    if (made.item->report->result != SinkResult::kNotDone) continue;
    published.push_back(&made);
    drops.push_back({made.item->task->segment, made.item->plan.drops,
                     made.rendition.effective()});
  }
  if (published.empty()) return Status();
  std::vector<SinkOutcome> outcomes;
  REPRISE_RETURN_IF_ERROR(
      shared_.catalogue->DropNamed(batch.domain, drops, &outcomes));
  for (size_t i = 0; i < published.size(); ++i) {
    SinkItem* const item = published[i]->item;
    if (outcomes[i] != SinkOutcome::kDone) {
      item->Settle(SinkResult::kChanged, "its renditions were replaced");
      continue;
    }
    item->report->bytes_after = BytesAfter(*item, &published[i]->rendition);
    item->Settle(SinkResult::kEncoded);
  }
  return Status();
}

}  // namespace reprise
